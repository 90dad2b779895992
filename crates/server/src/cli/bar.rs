//! How far long work is, on standard error: a bar in a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::output::{Output, duration, printable};

const WIDTH: usize = 24;
const REDRAWN: Duration = Duration::from_millis(100);
const REPEATED: Duration = Duration::from_secs(10);

/// The state of the work. It ends with the value.
#[derive(Debug)]
pub(crate) struct Bar {
    terminal: bool,
    silent: bool,
    began: Instant,
    shown: Option<Instant>,
}

impl Bar {
    /// A bar that is seen when the work takes long enough. Programs that want JSON get none.
    pub(crate) fn new(output: &Output) -> Self {
        Self { terminal: io::stderr().is_terminal(), silent: output.is_json(), began: Instant::now(), shown: None }
    }

    /// Begins again, with the next part of the work.
    pub(crate) fn restart(&mut self) {
        self.began = Instant::now();
    }

    /// Shows that `done` of the work (0 to 1) is done, and what it is.
    pub(crate) fn at(&mut self, done: f64, what: &str) {
        let pause = if self.terminal { REDRAWN } else { REPEATED };
        if self.silent || self.shown.unwrap_or(self.began).elapsed() < pause {
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(done, what, self.began.elapsed());
        // Nobody is left to be told when this fails.
        let _ = if self.terminal {
            write!(io::stderr().lock(), "\r\u{1b}[2K{line}").and_then(|()| io::stderr().flush())
        } else {
            writeln!(io::stderr().lock(), "{line}")
        };
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.terminal && self.shown.is_some() {
            let _ = write!(io::stderr().lock(), "\r\u{1b}[2K");
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a part of a short bar, and a guess at seconds"
)]
fn line(done: f64, what: &str, elapsed: Duration) -> String {
    let done = done.clamp(0.0, 1.0);
    let full = (done * WIDTH as f64) as usize;
    let left = elapsed.as_secs_f64() * (1.0 - done) / done.max(0.001);
    let bar: String = (0..WIDTH).map(|place| if place < full { '#' } else { '-' }).collect();
    let left = if done >= 1.0 { String::new() } else { format!(", {} left", duration(left.ceil() as u64)) };
    format!("[{bar}] {:3.0} %  {}{left}", done * 100.0, printable(what))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::line;

    #[test]
    fn the_time_that_is_left_follows_from_what_was_done() {
        let after = Duration::from_secs(30);
        assert_eq!(
            line(0.25, "acme: 25 of 100", after),
            "[######------------------]  25 %  acme: 25 of 100, 1 min 30 s left"
        );
        assert_eq!(line(1.0, "acme", after), "[########################] 100 %  acme");
        assert_eq!(line(7.0, "a\u{1b}", after), "[########################] 100 %  a\\u001b");
        assert!(line(0.0, "acme", after).starts_with("[------------------------]   0 %"));
    }
}
