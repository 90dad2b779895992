//! Passwords: hashing and checking on a bounded set of workers.
//!
//! A hash costs tens of milliseconds and megabytes on purpose. As many run at once as there are workers, with memory
//! that is used again; a bounded number waits; whoever comes then is told to try later. A user that does not exist
//! costs as much as one that does.

mod stored;

pub use stored::{Hashing, StoredPassword};

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::Block;
use grantor_model::{Error, Secret};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::entropy::Entropy;

/// Bytes of the longest line of a list of passwords.
const LONGEST_LINE: u64 = 4_096;

/// How long a password waits for a worker.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// The workers.
#[derive(Debug)]
pub struct Passwords {
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    hashed: AtomicU64,
    queue: usize,
    memory: Arc<Memory>,
    /// The folder of lists of passwords that are too common.
    lists: PathBuf,
}

/// Blocks of 1 KiB that a worker keeps: what the default takes.
const KEPT_BLOCKS: usize = 8_192;

/// Argon2 memory that is used again instead of being asked from the system for each hash.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    free: Mutex<Vec<Vec<Block>>>,
}

impl Memory {
    /// Runs `work` with `blocks` blocks.
    pub(crate) fn with<T>(&self, blocks: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
        let taken = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = taken.unwrap_or_default();
        memory.resize(blocks, Block::new());
        let result = work(&mut memory);
        // What an unusual hash needed goes back to the system.
        if memory.len() > KEPT_BLOCKS {
            return result;
        }
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        result
    }
}

/// What a check found out.
#[derive(Debug)]
pub struct Checked {
    /// Whether the password is right.
    pub right: bool,
    /// The password hashed as the realm wants it now, when it is stored otherwise.
    pub rehashed: Option<StoredPassword>,
}

impl Passwords {
    /// `workers` hashes at once, at most `queue` waiting. `lists` is the folder of lists of common passwords.
    pub fn new(workers: usize, queue: usize, lists: PathBuf) -> Self {
        Self {
            running: Arc::new(Semaphore::new(workers.max(1))),
            waiting: AtomicUsize::new(0),
            hashed: AtomicU64::new(0),
            queue,
            memory: Arc::default(),
            lists,
        }
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many hashes were computed since the start.
    pub fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    /// Checks a password. Without a stored one, as much work is done and the answer is no.
    ///
    /// # Errors
    /// When too many wait already.
    pub async fn check(
        &self,
        stored: Option<StoredPassword>,
        password: Secret,
        wanted: Hashing,
        entropy: &Entropy,
    ) -> Result<Checked, Error> {
        let salt = entropy.bytes::<16>()?;
        self.run(move |memory| {
            let Some(stored) = stored else {
                wanted.hash(&password, salt, memory);
                return Checked { right: false, rehashed: None };
            };
            let Some(right) = stored.matches(&password, memory) else {
                // A hash that cannot be computed takes as long as one that can.
                wanted.hash(&password, salt, memory);
                return Checked { right: false, rehashed: None };
            };
            let outdated = right && !stored.is_hashed_by(&wanted);
            Checked { right, rehashed: outdated.then(|| wanted.hash(&password, salt, memory)).flatten() }
        })
        .await
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// When too many wait already.
    pub async fn hash(&self, password: Secret, wanted: Hashing, entropy: &Entropy) -> Result<StoredPassword, Error> {
        let salt = entropy.bytes::<16>()?;
        let made = self.run(move |memory| wanted.hash(&password, salt, memory)).await?;
        made.ok_or_else(|| Error::internal("the realm's password policy names a hash that cannot be made"))
    }

    /// Whether a password is a line of a list, in whatever case. Lists are read anew each time: passwords are set rarely,
    /// and a list may have millions.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub async fn is_listed(&self, list: &str, password: &Secret) -> Result<bool, Error> {
        let (path, wanted) = (self.lists.join(list), Zeroizing::new(password.expose().to_lowercase()));
        let shown = path.display().to_string();
        let read = move || -> std::io::Result<bool> {
            let mut lines = BufReader::new(File::open(path)?);
            let mut line = Vec::new();
            loop {
                line.clear();
                if lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
                    return Ok(false);
                }
                if String::from_utf8_lossy(line.trim_ascii_end()).to_lowercase() == *wanted {
                    return Ok(true);
                }
            }
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(|error| Error::internal(error.to_string()))?;
        read.map_err(|error| Error::internal(format!("the list of common passwords {shown} cannot be read: {error}")))
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Memory) -> T + Send + 'static) -> Result<T, Error> {
        let place = Waiting::enter(&self.waiting, self.queue)?;
        let permit = match tokio::time::timeout(PATIENCE, self.running.clone().acquire_owned()).await {
            Ok(permit) => permit.map_err(|error| Error::internal(error.to_string()))?,
            Err(_) => return Err(Error::unavailable("the workers that check passwords are busy for too long")),
        };
        drop(place);
        self.hashed.fetch_add(1, Ordering::Relaxed);
        let memory = self.memory.clone();
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&memory);
            drop(permit);
            result
        });
        done.await.map_err(|error| Error::internal(error.to_string()))
    }
}

/// A place in the queue, given back when the caller goes away as well.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize, queue: usize) -> Result<Self, Error> {
        if waiting.fetch_add(1, Ordering::Relaxed) >= queue {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::unavailable("too many passwords wait to be checked"));
        }
        Ok(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Hashing, Passwords};
    use crate::entropy::Entropy;
    use grantor_model::Secret;

    #[tokio::test]
    async fn a_flood_is_told_to_come_later() {
        let passwords = Passwords::new(1, 4, std::path::PathBuf::new());
        let entropy = Entropy::new();
        let one = || passwords.check(None, Secret::new("x"), Hashing::default(), &entropy);
        let many: Vec<_> = (0..12).map(|_| one()).collect();
        let mut refused = 0;
        for result in join_all(many).await {
            refused += usize::from(result.is_err());
        }
        assert!(refused >= 6, "{refused} of 12 were refused");
        assert_eq!(passwords.waiting(), 0);
    }

    async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
        let mut pinned: Vec<_> = futures.into_iter().map(Box::pin).collect();
        let mut done: Vec<Option<T>> = pinned.iter().map(|_| None).collect();
        std::future::poll_fn(|context| {
            for (future, slot) in pinned.iter_mut().zip(&mut done) {
                if slot.is_none()
                    && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
                {
                    *slot = Some(value);
                }
            }
            if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        done.into_iter().flatten().collect()
    }

    #[tokio::test]
    async fn a_new_hash_is_right_once_and_for_one_password() {
        let (passwords, entropy) = (Passwords::new(1, 4, std::path::PathBuf::new()), Entropy::new());
        let stored = passwords.hash(Secret::new("пароль"), Hashing::default(), &entropy).await.expect("hashed");
        let check = |text: &str| passwords.check(Some(stored.clone()), Secret::new(text), Hashing::default(), &entropy);
        assert!(check("пароль").await.expect("checked").right);
        assert!(check("пароль").await.expect("checked").rehashed.is_none());
        assert!(!check("Пароль").await.expect("checked").right);
    }
}
