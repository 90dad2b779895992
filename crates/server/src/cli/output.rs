//! What commands print, for people or for programs, and the one form of their errors.
//!
//! Much of what is printed comes from elsewhere: claims of a stranger's token, a server's error text. Nothing that a
//! terminal would act on instead of showing it gets through [`Output`]; single values are made one line by
//! [`printable`], which [`table`] and [`pairs`] do by themselves.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use grantor_model::Instant;
use serde::Serialize;
use time::OffsetDateTime;

/// Where a command prints, and for whom.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    terminal: bool,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Stdout,
    #[cfg(test)]
    Memory(std::sync::Mutex<Vec<u8>>),
}

impl Output {
    /// Standard output; `json` when a program reads it.
    #[must_use]
    pub(crate) fn new(json: bool) -> Self {
        Self { json, terminal: io::stdout().is_terminal(), sink: Sink::Stdout }
    }

    /// An output that keeps what is printed, for [`Output::taken`].
    #[cfg(test)]
    pub(crate) fn captured(json: bool, terminal: bool) -> Self {
        Self { json, terminal, sink: Sink::Memory(std::sync::Mutex::new(Vec::new())) }
    }

    /// What was printed since this was last called.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> String {
        match &self.sink {
            Sink::Stdout => String::new(),
            Sink::Memory(kept) => {
                let mut kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                String::from_utf8_lossy(&std::mem::take(&mut *kept)).into_owned()
            }
        }
    }

    /// Whether a program reads what is printed.
    #[must_use]
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person reads it as it is printed.
    #[must_use]
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Prints a text, which may have several lines, and ends the last one.
    ///
    /// # Errors
    /// When it cannot be written. A reader that had enough and closed the pipe is no error.
    pub(crate) fn line(&self, text: impl fmt::Display) -> Result<(), CliError> {
        let mut text = harmless(&text.to_string(), &['\n']);
        text.push('\n');
        self.raw(text.as_bytes())
    }

    /// Prints a value as indented JSON, whatever was asked for.
    ///
    /// # Errors
    /// As [`Output::line`], and when the value cannot be JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), CliError> {
        // What is escaped in `line` stands in strings only, where `\u` means the same to whoever reads the JSON.
        let text = serde_json::to_string_pretty(value);
        self.line(text.map_err(|error| format!("the answer cannot be written as JSON: {error}"))?)
    }

    /// Prints a value as JSON for programs, and as `people` puts it for people.
    ///
    /// # Errors
    /// As [`Output::json`].
    pub(crate) fn show(&self, value: &impl Serialize, people: impl FnOnce() -> String) -> Result<(), CliError> {
        if self.json { self.json(value) } else { self.line(people()) }
    }

    /// Prints bytes as they are: for what this program wrote itself, such as a completion script.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), CliError> {
        let written = match &self.sink {
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
            #[cfg(test)]
            Sink::Memory(kept) => kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).write_all(bytes),
        };
        match written {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(CliError::new(format!("standard output cannot be written: {error}"))),
        }
    }

    /// Says something beside the answer, on standard error, where no program takes it for the answer.
    pub(crate) fn note(&self, text: impl fmt::Display) {
        // Nobody is left to be told when this fails.
        let _ = writeln!(io::stderr().lock(), "{}", harmless(&text.to_string(), &['\n']));
    }
}

/// Why a command failed, what to do about it, and what the process says to its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CliError {
    problem: String,
    hint: Option<String>,
    code: u8,
}

impl CliError {
    /// The exit code of a command that was called wrongly, as clap has it.
    pub(crate) const USAGE: u8 = 2;

    /// The exit code of an import that left something out that guarded access.
    pub(crate) const UNGUARDED: u8 = 2;

    /// An error of exit code 1.
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), hint: None, code: 1 }
    }

    /// The same with what to do about it, in one line or several.
    #[must_use]
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same with another exit code.
    #[must_use]
    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// The same with something before it.
    #[must_use]
    pub(crate) fn prefixed(self, before: &str) -> Self {
        Self { problem: format!("{before}{}", self.problem), ..self }
    }

    /// Prints the error on standard error and turns it into the process's answer.
    #[must_use]
    pub(crate) fn report(&self) -> ExitCode {
        // When standard error is closed, the code still says it.
        let _ = writeln!(io::stderr().lock(), "{}", harmless(&self.to_string(), &['\n']));
        ExitCode::from(self.code)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "error: {}", self.problem)?;
        for line in self.hint.iter().flat_map(|hint| hint.lines()) {
            write!(out, "\n  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CliError {}

impl From<String> for CliError {
    fn from(problem: String) -> Self {
        Self::new(problem)
    }
}

impl From<&str> for CliError {
    fn from(problem: &str) -> Self {
        Self::new(problem)
    }
}

/// The text with everything written as `\u` and four digits that would end the line or make a terminal do something.
#[must_use]
pub(crate) fn printable(text: &str) -> String {
    harmless(text, &[])
}

/// Control characters, and those that show a text in another order than it is read (Unicode Technical Report 36).
fn harmless(text: &str, kept: &[char]) -> String {
    let acts = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) && !kept.contains(&c) {
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Rows under headers, in columns two spaces apart, without a final newline.
#[must_use]
pub(crate) fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let mut lines: Vec<Vec<String>> = vec![headers.iter().map(|header| (*header).to_owned()).collect()];
    lines.extend(rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()));
    aligned(&lines)
}

/// Names and values, one pair a line with the values below each other, without a final newline.
#[must_use]
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let lines: Vec<Vec<String>> = pairs.iter().map(|(name, value)| vec![printable(name), printable(value)]).collect();
    aligned(&lines)
}

fn aligned(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths.iter().copied()) {
            let _ = write!(line, "{cell:width$}  ");
        }
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

/// A moment in seconds since 1970, in UTC and as a distance from `now`: `2026-11-26 01:12:33 UTC (in 4 min 59 s)`.
#[must_use]
pub(crate) fn moment(seconds: i64, now: Instant) -> String {
    format!("{} ({})", utc(seconds), distance(seconds.saturating_sub(now.seconds())))
}

/// A moment in seconds since 1970, in UTC; outside the years of four digits as it is.
#[must_use]
pub(crate) fn utc(seconds: i64) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp(seconds) else { return format!("{seconds} s after 1970") };
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", at.hour(), at.minute(), at.second())
}

/// How far away something is, in its two largest units: `in 4 min 59 s`, `2 d ago`.
#[must_use]
pub(crate) fn distance(seconds: i64) -> String {
    let length = duration(seconds.unsigned_abs());
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {length}"),
        _ => format!("{length} ago"),
    }
}

/// How long something is, in its two largest units: `1 h 30 min`.
#[must_use]
pub(crate) fn duration(seconds: u64) -> String {
    const UNITS: [(u64, &str); 5] = [(31_536_000, "y"), (86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut words = Vec::new();
    for (length, unit) in UNITS {
        let count = rest / length;
        rest %= length;
        if count > 0 {
            words.push(format!("{count} {unit}"));
        } else if !words.is_empty() {
            break;
        }
    }
    words.truncate(2);
    if words.is_empty() { "0 s".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use grantor_model::Instant;
    use serde_json::json;

    use super::{CliError, Output, distance, duration, moment, pairs, printable, table, utc};

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let rows = [row(&["demo", "yes", "a"]), row(&["їжак-client", "no", ""])];
        assert_eq!(
            table(&["CLIENT", "ENABLED", "GRANTS"], &rows),
            "CLIENT       ENABLED  GRANTS\ndemo         yes      a\nїжак-client  no"
        );
        assert_eq!(table(&["CLIENT", "ENABLED"], &[]), "CLIENT  ENABLED");
        assert_eq!(pairs(&[("a", "1".to_owned()), ("long", "2".to_owned())]), "a     1\nlong  2");
    }

    #[test]
    fn a_cell_is_one_line() {
        assert_eq!(table(&["A"], &[row(&["x\ny\u{1b}[31m"])]), "A\nx\\u000ay\\u001b[31m");
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_is_printed() -> Outcome {
        assert_eq!(printable("a\u{9b}b\u{202e}c\td"), "a\\u009bb\\u202ec\\u0009d");
        assert_eq!(printable("ґ é 漢 ✓"), "ґ é 漢 ✓");
        let output = Output::captured(false, false);
        output.line("one\u{1b}]0;title\u{7}\ntwo")?;
        assert_eq!(output.taken(), "one\\u001b]0;title\\u0007\ntwo\n");
        Ok(())
    }

    #[test]
    fn json_stays_json_and_means_the_same() -> Outcome {
        let value = json!({"name": "a\u{9b}\u{202e}\u{1b}\n"});
        let output = Output::captured(true, true);
        output.show(&value, || "never".to_owned())?;
        let text = output.taken();
        assert!(text.ends_with("}\n") && text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text)?, value);
        Output::captured(false, true).show(&value, || "people".to_owned())?;
        Ok(())
    }

    #[test]
    fn an_error_says_what_and_what_to_do() {
        let error = CliError::new("no client is called x").with_hint("grantor client list\nshows them").with_code(3);
        assert_eq!(error.to_string(), "error: no client is called x\n  grantor client list\n  shows them");
        assert_eq!(error.code, 3);
        assert_eq!(error.prefixed("realm a: ").problem, "realm a: no client is called x");
        assert_eq!(CliError::from("plain").to_string(), "error: plain");
        assert_eq!(CliError::from("plain"), CliError::from("plain".to_owned()));
    }

    #[test]
    fn moments_are_read_in_utc() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(1_300_819_380), "2011-03-22 18:43:00 UTC");
        assert_eq!(utc(i64::MAX), "9223372036854775807 s after 1970");
        let now = Instant::from_seconds(1_300_819_380);
        assert_eq!(moment(1_300_819_385, now), "2011-03-22 18:43:05 UTC (in 5 s)");
        assert!(moment(i64::MIN, now).ends_with(" ago)"));
    }

    #[test]
    fn distances_have_two_units_at_most() {
        for (seconds, text) in [
            (0, "now"),
            (1, "in 1 s"),
            (-59, "59 s ago"),
            (299, "in 4 min 59 s"),
            (3_600, "in 1 h"),
            (-3_601, "1 h ago"),
            (90_000, "in 1 d 1 h"),
            (-40_000_000, "1 y 97 d ago"),
        ] {
            assert_eq!(distance(seconds), text);
        }
        assert_eq!(duration(0), "0 s");
        assert_eq!(duration(5_400), "1 h 30 min");
    }
}
