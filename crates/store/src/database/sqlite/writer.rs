//! The one thread that writes to SQLite, and how callers share its commits.
//!
//! SQLite allows one writer at a time, and a durable commit costs an fsync whatever it holds. So the thread
//! takes every batch that is waiting, runs each inside a savepoint of its own, and commits them together: a
//! batch that fails is undone alone, and all others are durable when their callers hear of it.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, oneshot};

use super::super::{Counters, Row, Statement, StoreError};
use super::link::{Link, Place};

/// How many batches may wait. Beyond that callers wait for a place in the queue.
const QUEUE: usize = 1024;

/// How long a caller waits for a place in the queue.
const QUEUE_PATIENCE: Duration = Duration::from_secs(2);

/// How many batches one commit may hold: an fsync is well shared long before, and the first caller should not
/// wait for too many others.
const MOST_BATCHES_PER_COMMIT: usize = 256;

/// The rows of each statement of a batch.
type Answer = Result<Vec<Vec<Row>>, StoreError>;

struct Job {
    batch: Vec<Statement>,
    reply: oneshot::Sender<Answer>,
}

/// The handle of the writing thread. Dropping it lets the thread finish what is waiting, and waits for that.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Opens the writing connection and starts the thread.
    pub(super) fn start(place: Arc<Place>, counters: Arc<Counters>) -> Result<Writer, StoreError> {
        let link = Some(Link::open_writer(&place)?);
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let worker = Worker { place, counters, link };
        let thread = thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || worker.run(waiting))
            .map_err(|error| StoreError::Unavailable(format!("no thread for writing: {error}")))?;
        Ok(Writer { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has a batch committed.
    pub(super) async fn submit(&self, batch: Vec<Statement>) -> Answer {
        let Some(jobs) = &self.jobs else {
            return Err(stopped());
        };
        let (reply, answer) = oneshot::channel();
        match jobs.send_timeout(Job { batch, reply }, QUEUE_PATIENCE).await {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(stopped())),
            Err(SendTimeoutError::Timeout(_)) => Err(StoreError::Unavailable("too many writes are waiting".to_owned())),
            Err(SendTimeoutError::Closed(_)) => Err(stopped()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without a sender the thread ends after the last job it was given.
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writing thread of the database panicked");
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writing thread has stopped".to_owned())
}

/// What lives on the thread.
struct Worker {
    place: Arc<Place>,
    counters: Arc<Counters>,
    link: Option<Link>,
}

impl Worker {
    fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut group: Vec<Job> = Vec::new();
        while waiting.blocking_recv_many(&mut group, MOST_BATCHES_PER_COMMIT) > 0 {
            self.answer_probes(&mut group);
            if group.is_empty() {
                continue;
            }
            let (batches, replies): (Vec<_>, Vec<_>) = group.drain(..).map(|job| (job.batch, job.reply)).unzip();
            let answers = match self.commit(&batches) {
                Ok(answers) => answers,
                Err(error) => {
                    self.give_up(&error);
                    vec![Err(error); replies.len()]
                }
            };
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Sending fails when the caller has gone away; what it wrote stays written.
                drop(reply.send(answer));
            }
        }
    }

    /// Answers the batches without a statement. All they ask is whether the file is in its place: a lock that another
    /// process holds for long must not look like a lost database.
    fn answer_probes(&mut self, group: &mut Vec<Job>) {
        for probe in group.extract_if(.., |job| job.batch.is_empty()) {
            let answer = self.link().map(|_| Vec::new());
            drop(probe.reply.send(answer));
        }
    }

    /// Runs the batches and commits them together. An error concerns all of them.
    fn commit(&mut self, batches: &[Vec<Statement>]) -> Result<Vec<Answer>, StoreError> {
        let link = self.link()?;
        link.control("BEGIN IMMEDIATE")?;
        let mut answers = Vec::with_capacity(batches.len());
        for batch in batches {
            let answer = link.batch(batch);
            // A full disk may end the whole transaction from inside, and with it the batches before this one.
            if let Err(error @ StoreError::Unavailable(_)) = answer {
                return Err(error);
            }
            if !link.in_transaction() {
                return Err(StoreError::Unavailable("the transaction ended too early".to_owned()));
            }
            answers.push(answer);
        }
        link.control("COMMIT")?;
        self.count(batches, &answers);
        Ok(answers)
    }

    /// The connection, opened anew when there is none or when its file has been moved or replaced.
    fn link(&mut self) -> Result<&mut Link, StoreError> {
        if self.link.as_ref().is_some_and(|link| !link.in_place(&self.place)) {
            tracing::warn!("the database file is not the one that was opened; opening it again");
            self.link = None;
            self.place.renew();
        }
        let link = match self.link.take() {
            Some(link) => link,
            None => Link::open_writer(&self.place)?,
        };
        Ok(self.link.insert(link))
    }

    /// Closes the connection, which rolls back whatever is open, so that the next commit starts from nothing.
    fn give_up(&mut self, error: &StoreError) {
        tracing::warn!(%error, "a commit failed");
        self.link = None;
        self.place.renew();
    }

    fn count(&self, batches: &[Vec<Statement>], answers: &[Answer]) {
        let done =
            batches.iter().zip(answers).filter(|(_, answer)| answer.is_ok()).map(|(batch, _)| batch.len() as u64);
        let (batches, statements) = done.fold((0, 0), |(batches, sum), length| (batches + 1, sum + length));
        self.counters.committed(batches, statements);
    }
}
