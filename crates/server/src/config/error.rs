//! What a person reads when the configuration is wrong: where, what, and what was probably meant.

use std::fmt;
use std::path::Path;

use super::origin::Origin;

/// A configuration that cannot be used. Its `Display` is the whole message, of several lines, without a final newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    place: String,
    message: String,
    excerpt: Option<String>,
    hint: Option<String>,
}

impl ConfigError {
    /// Something is wrong with what stands there.
    pub(super) fn at(origin: &Origin, message: impl Into<String>) -> Self {
        let (place, excerpt) = match origin {
            Origin::Default => ("configuration".to_owned(), None),
            Origin::File(mark) => (mark.place(), Some(mark.excerpt())),
            Origin::Environment(name) => (name.clone(), None),
            Origin::Flag(flag) => ((*flag).to_owned(), None),
        };
        Self { place, message: message.into(), excerpt, hint: None }
    }

    /// Something is wrong with the value of a key. A variable and a flag name the key themselves; a place in a file does not.
    pub(super) fn of_key(section: &str, name: &str, origin: &Origin, message: &str) -> Self {
        match origin {
            Origin::Environment(_) | Origin::Flag(_) => Self::at(origin, message),
            Origin::Default | Origin::File(_) => Self::at(origin, format!("{name} in [{section}]: {message}")),
        }
    }

    /// The file as a whole cannot be used.
    pub(super) fn of_file(path: &Path, message: impl Into<String>) -> Self {
        Self { place: path.display().to_string(), message: message.into(), excerpt: None, hint: None }
    }

    /// The same with a last line that says what to do.
    pub(super) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        for line in [&self.excerpt, &self.hint].into_iter().flatten() {
            write!(f, "\n{line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The candidate that a mistyped word most likely stands for, when one is near enough: at most a third of it may differ.
pub(super) fn nearest<T: AsRef<str>>(word: &str, candidates: impl IntoIterator<Item = T>) -> Option<T> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate.as_ref()), candidate))
        .filter(|(distance, candidate)| {
            let longer = word.chars().count().max(candidate.as_ref().chars().count());
            *distance <= (longer / 3).max(1)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters must be inserted, left out or exchanged to make one word the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    // The distances between what has been read of `one` and each beginning of `other`.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (read, letter) in one.chars().enumerate() {
        let mut diagonal = read;
        let mut left = read + 1;
        let mut next = vec![left];
        for (candidate, above) in other.iter().zip(row.iter().skip(1)) {
            let exchanged = diagonal + usize::from(letter != *candidate);
            left = exchanged.min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_levenshtein() {
        let cases = [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("lisen", "listen", 1),
            ("kitten", "sitting", 3),
            ("workres", "workers", 2),
            ("їжак", "жак", 1),
        ];
        for (one, other, expected) in cases {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        let words = ["listen", "ops_listen", "data"];
        assert_eq!(nearest("lisen", words), Some("listen"));
        assert_eq!(nearest("Ops-Listen", words), Some("ops_listen"));
        assert_eq!(nearest("dat", words), Some("data"));
        assert_eq!(nearest("password", words), None);
        assert_eq!(nearest("xy", words), None);
    }
}
