//! Where a value of the configuration came from, down to the line of the file.
//!
//! Lines are kept as they will be shown, so the password of a URL is taken out here, before anything is stored.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::values::{REDACTED, redacted, secret_range};

/// Where a value came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    #[default]
    Default,
    /// A place in the configuration file.
    File(Mark),
    /// The environment variable of this name.
    Environment(String),
    /// This flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(mark) => write!(f, "{}:{}", mark.path.display(), mark.line),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A place in a text file, with the line it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    path: PathBuf,
    line: usize,
    column: usize,
    /// The line as it may be shown.
    text: String,
    /// How many characters of it precede the place.
    before: usize,
    /// How many characters are meant.
    width: usize,
}

impl Mark {
    /// The place of these bytes of the file. A span over several lines is shown up to the end of its first.
    pub(super) fn new(path: &Path, content: &str, span: Range<usize>) -> Self {
        let start = boundary(content, span.start);
        let head = content.get(..start).unwrap_or_default();
        let line_start = head.rfind('\n').map_or(0, |newline| newline + 1);
        let line = content.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let from = boundary(line, start - line_start);
        let to = boundary(line, span.end.saturating_sub(line_start)).max(from);

        let shown = redacted(line);
        let (before, after) = (moved(line, from), moved(line, to));
        let before_text = shown.get(..before).unwrap_or_default();
        let meant = shown.get(before..after).unwrap_or_default();
        Self {
            path: path.to_owned(),
            line: head.matches('\n').count() + 1,
            column: line.get(..from).unwrap_or_default().chars().count() + 1,
            before: before_text.chars().count(),
            width: meant.chars().count().max(1),
            text: shown,
        }
    }

    /// `file:line:column`, as editors and terminals understand it.
    pub(super) fn place(&self) -> String {
        format!("{}:{}:{}", self.path.display(), self.line, self.column)
    }

    /// The line with its number, and below it what is meant.
    pub(super) fn excerpt(&self) -> String {
        // A tab stays a tab, so that the carets stand below what they mean however wide the terminal makes it.
        let margin: String =
            self.text.chars().take(self.before).map(|character| if character == '\t' { '\t' } else { ' ' }).collect();
        let carets = "^".repeat(self.width);
        format!("{:>5} | {}\n{:>5} | {margin}{carets}", self.line, self.text, "")
    }
}

/// The nearest place at or before this one that is not inside a character, nor beyond the end.
fn boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0)
}

/// Where a place of the line is once its secret has been taken out.
fn moved(line: &str, at: usize) -> usize {
    match secret_range(line) {
        Some(secret) if at >= secret.end => at - secret.len() + REDACTED.len(),
        Some(secret) if at > secret.start => secret.start,
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(content: &str, meant: &str) -> Mark {
        let start = content.find(meant).unwrap_or_default();
        Mark::new(Path::new("grantor.toml"), content, start..start + meant.len())
    }

    #[test]
    fn a_place_has_line_column_and_excerpt() {
        let mark = mark("[server]\n\nlisen = \"off\"\r\nx = 1\n", "lisen");
        assert_eq!(mark.place(), "grantor.toml:3:1");
        assert_eq!(mark.excerpt(), "    3 | lisen = \"off\"\n      | ^^^^^");
    }

    #[test]
    fn columns_count_characters_and_tabs_stay() {
        let mark = mark("\tя = \"ї\"\n", "\"ї\"");
        assert_eq!(mark.place(), "grantor.toml:1:6");
        assert_eq!(mark.excerpt(), "    1 | \tя = \"ї\"\n      | \t    ^^^");
    }

    #[test]
    fn a_span_of_several_lines_ends_with_its_first() {
        let mark = mark("a = [\n  1,\n]\n", "[\n  1,\n]");
        assert_eq!(mark.excerpt(), "    1 | a = [\n      |     ^");
    }

    #[test]
    fn a_span_beyond_the_end_is_the_end() {
        for content in ["", "a = ", "a = 1\n"] {
            let mark = Mark::new(Path::new("f"), content, content.len() + 5..content.len() + 9);
            assert_eq!(mark.width, 1, "{content:?}");
        }
    }

    #[test]
    fn the_password_of_a_url_is_not_kept() {
        let content = "url = \"postgres://u:hunter2@db/g\"  # x\n";
        let key = mark(content, "url");
        assert_eq!(key.excerpt(), "    1 | url = \"postgres://u:[redacted]@db/g\"  # x\n      | ^^^");
        let value = mark(content, "\"postgres://u:hunter2@db/g\"");
        assert_eq!(
            value.excerpt(),
            format!("    1 | url = \"postgres://u:[redacted]@db/g\"  # x\n      |       {}", "^".repeat(30))
        );
        let inside = mark(content, "ter2");
        assert!(!format!("{inside:?}").contains("hunter2"));
        assert_eq!(inside.width, REDACTED.len());
    }
}
