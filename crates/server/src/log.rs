//! Where log lines go: to standard error, many with one write.
//!
//! A line for each request is a system call for each request, which costs as much as an Ed25519 signature. Lines are
//! gathered instead, and one thread writes what has come together every few milliseconds. Nothing is dropped: when
//! standard error takes no more, whoever logs waits, as with a line written at once.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How long lines are gathered: short enough for who watches, and all that a killed process can lose.
const GATHER: Duration = Duration::from_millis(10);

/// So many bytes may wait.
const MOST: usize = 1024 * 1024;

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or the end.
    filled: Condvar,
    /// There is room again.
    emptied: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until the end. What cannot be written is lost: there is nowhere to say so.
    fn run(&self, mut out: impl Write) {
        let mut taken = Vec::new();
        loop {
            let mut state = self.lock();
            while state.lines.is_empty() && !state.ended {
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if !state.ended {
                drop(state);
                thread::sleep(GATHER);
                state = self.lock();
            }
            let ended = state.ended;
            std::mem::swap(&mut state.lines, &mut taken);
            drop(state);
            self.emptied.notify_all();
            let _ = out.write_all(&taken).and_then(|()| out.flush());
            taken.clear();
            if ended && self.lock().lines.is_empty() {
                return;
            }
        }
    }
}

/// A place to log to. Clones lead to the same place.
#[derive(Clone)]
pub(crate) struct Lines(Arc<Shared>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        while state.lines.len() >= MOST && !state.ended {
            state = self.0.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let is_first = state.lines.is_empty();
        state.lines.extend_from_slice(line);
        drop(state);
        if is_first {
            self.0.filled.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread that writes. Dropping it writes what is left.
pub(crate) struct Writing {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.filled.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A place to log to, and the thread that writes to `out`.
///
/// # Errors
/// When there is no thread to be had.
pub(crate) fn to(out: impl Write + Send + 'static) -> io::Result<(Lines, Writing)> {
    let shared = Arc::new(Shared::default());
    let writer = shared.clone();
    let thread = thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(out))?;
    Ok((Lines(shared.clone()), Writing { shared, thread: Some(thread) }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::{MOST, to};

    /// Remembers what was written, a write each.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_of_many_threads_is_written_whole_and_few_writes_are_made() {
        let paper = Paper::default();
        let (lines, writing) = to(paper.clone()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let lines = lines.clone();
                scope.spawn(move || {
                    for number in 0..1_000 {
                        (&lines).write_all(format!("{thread} {number}\n").as_bytes()).unwrap();
                    }
                });
            }
        });
        drop(writing);
        let writes = paper.0.lock().unwrap();
        let text = String::from_utf8(writes.concat()).unwrap();
        for thread in 0..4 {
            let own: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(&format!("{thread} "))).collect();
            assert_eq!(own, (0..1_000).map(|number| number.to_string()).collect::<Vec<_>>());
        }
        assert!(writes.len() < 400, "{} writes", writes.len());
    }

    #[test]
    fn more_than_fits_waits_and_is_not_lost() {
        let paper = Paper::default();
        let (lines, writing) = to(paper.clone()).unwrap();
        let line = vec![b'x'; MOST / 2];
        for _ in 0..8 {
            (&lines).write_all(&line).unwrap();
        }
        drop(writing);
        assert_eq!(paper.0.lock().unwrap().iter().map(Vec::len).sum::<usize>(), 4 * MOST);
    }
}
