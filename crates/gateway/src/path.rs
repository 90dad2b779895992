//! Paths: which are refused because two readers could read them differently, and which a pattern means.
//!
//! A path goes on as it came, so it must mean to the upstream what it meant here. What could mean something else is
//! refused: segments of dots, empty segments, escaped slashes and backslashes, parameters behind a semicolon, and
//! escapes of escapes. Everything else is compared decoded, since upstreams decode too.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Why a path is refused, if it is.
pub fn oddity(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        return Some("a path that does not begin with a slash");
    }
    if path.contains("//") {
        return Some("an empty segment");
    }
    if path.bytes().any(|byte| byte <= b' ' || byte >= 0x7f || matches!(byte, b'\\' | b';' | b'#')) {
        return Some("a character that servers read differently");
    }
    if path.contains('%') {
        if let Some(reason) = odd_escape(path.as_bytes()) {
            return Some(reason);
        }
        if percent_decode_str(path).decode_utf8().is_err() {
            return Some("escapes that are no UTF-8");
        }
    }
    path.split('/').any(is_dotted).then_some("a segment of dots")
}

fn odd_escape(path: &[u8]) -> Option<&'static str> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        at += 1;
        if *byte != b'%' {
            continue;
        }
        let (Some(high), Some(low)) = (digit(path.get(at)), digit(path.get(at + 1))) else {
            return Some("a percent sign that begins no escape");
        };
        match high * 16 + low {
            0x2f | 0x5c => return Some("an escaped slash"),
            0x3b => return Some("an escaped semicolon"),
            0x25 => return Some("an escaped percent sign"),
            0..=0x1f | 0x7f => return Some("an escaped control character"),
            _ => {}
        }
        at += 2;
    }
    None
}

/// Whether a segment is `.` or `..`, also when its dots are escaped.
fn is_dotted(segment: &str) -> bool {
    (!segment.is_empty() && segment.len() <= 6) && matches!(&*decoded(segment), "." | "..")
}

fn decoded(segment: &str) -> Cow<'_, str> {
    if segment.contains('%') { percent_decode_str(segment).decode_utf8_lossy() } else { Cow::Borrowed(segment) }
}

/// The decoded segments of a path that is not odd.
pub fn segments(path: &str) -> impl Iterator<Item = Cow<'_, str>> {
    path.split('/').skip(1).map(decoded)
}

/// What a segment of a path may be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// This.
    Literal(String),
    /// One that is not empty.
    One,
    /// Whatever follows, also nothing.
    Rest,
}

/// A pattern of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<Piece>,
}

impl Pattern {
    /// Reads a pattern: `/orders/{id}`, `/files/*`, `/docs/**`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let bad = |why: &str| Err(format!("path {text:?}: {why}"));
        if !text.starts_with('/') {
            return bad("it must begin with a slash");
        }
        let mut pieces = Vec::new();
        for segment in text.split('/').skip(1) {
            if pieces.last() == Some(&Piece::Rest) {
                return bad("nothing can follow **");
            }
            let is_parameter = segment.len() > 2 && segment.starts_with('{') && segment.ends_with('}');
            let piece = match segment {
                "**" => Piece::Rest,
                "*" => Piece::One,
                _ if is_parameter
                    && !segment.get(1..segment.len() - 1).is_some_and(|name| name.contains(['{', '}'])) =>
                {
                    Piece::One
                }
                _ if segment.contains(['*', '{', '}', '?', '#', ';', '\\']) => {
                    return bad("a segment is a text, {name}, * or, at the end, **");
                }
                _ => Piece::Literal(decoded(segment).into_owned()),
            };
            pieces.push(piece);
        }
        if text.len() > 1 && text.replace("**", "").contains("//") {
            return bad("an empty segment");
        }
        Ok(Self { pieces })
    }

    /// Whether it means these segments.
    pub fn means<'a>(&self, mut segments: impl Iterator<Item = Cow<'a, str>>) -> bool {
        for piece in &self.pieces {
            let fits = match (piece, segments.next()) {
                (Piece::Rest, _) => return true,
                (Piece::Literal(text), Some(segment)) => segment == text.as_str(),
                (Piece::One, Some(segment)) => !segment.is_empty(),
                (_, None) => false,
            };
            if !fits {
                return false;
            }
        }
        // Most servers see no difference with a slash at the end: whoever may not do the one may not do the other.
        match (segments.next(), segments.next()) {
            (None, _) => true,
            (Some(last), None) => last.is_empty(),
            _ => false,
        }
    }
}

/// The path below which an API lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    segments: Vec<String>,
}

impl Base {
    /// Reads it: `/`, `/api/orders`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return Ok(Self { segments: Vec::new() });
        }
        if let Some(reason) = oddity(text) {
            return Err(format!("path {text:?}: {reason}"));
        }
        Ok(Self { segments: segments(text).map(Cow::into_owned).collect() })
    }

    /// How many segments it has: of several that fit, the one with the most counts.
    pub fn depth(&self) -> usize {
        self.segments.len()
    }

    /// What lies below it in a path, with the slash before it; `/` for the base itself. `None` for other paths.
    pub fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let mut rest = path;
        for own in &self.segments {
            let after = rest.strip_prefix('/')?;
            let end = after.find('/').unwrap_or(after.len());
            if decoded(after.get(..end)?) != own.as_str() {
                return None;
            }
            rest = after.get(end..)?;
        }
        Some(if rest.is_empty() { "/" } else { rest })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Base, Pattern, oddity, segments};

    #[test]
    fn odd_paths_are_refused() {
        for path in [
            "",
            "a",
            "//",
            "/a//b",
            "/a/../b",
            "/..",
            "/.",
            "/a/.",
            "/%2e%2E/a",
            "/.%2e",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a;x=y",
            "/a%3bx",
            "/a%00",
            "/a%0d%0a",
            "/%",
            "/%2",
            "/%zz",
            "/a%252fb",
            "/a b",
            "/a\u{e9}",
            "/%ff",
            "/a#b",
            "/a\tb",
        ] {
            assert!(oddity(path).is_some(), "{path}");
        }
        for path in ["/", "/a/b/", "/.well-known/x", "/a.b/...", "/a%20b", "/%D0%B0", "/a:b@c,d=e&f+g!h$i'j(k)*~_-"] {
            assert_eq!(oddity(path), None, "{path}");
        }
    }

    #[test]
    fn patterns_mean_whole_paths() {
        let means = |pattern: &str, path: &str| Pattern::read(pattern).expect("a pattern").means(segments(path));
        for (pattern, path) in [
            ("/", "/"),
            ("/a/{id}", "/a/7"),
            ("/a/*", "/a/b%20c"),
            ("/a/**", "/a/b/c"),
            ("/a/**", "/a/"),
            ("/a/**", "/a"),
            ("/a", "/a/"),
            ("/a/{id}", "/a/7/"),
            ("/**", "/"),
            ("/admin", "/%61dmin"),
            ("/%61", "/a"),
        ] {
            assert!(means(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/", "/a"),
            ("/a/", "/a"),
            ("/a/{id}", "/a/"),
            ("/a", "/a/b/"),
            ("/a/{id}", "/a/b/c"),
            ("/a/*", "/a"),
            ("/a/**", "/ab"),
            ("/a", "/A"),
        ] {
            assert!(!means(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        for pattern in ["", "a", "/**/a", "/a*", "/{a", "/a//b", "/{}", "/a?b", "/{a}{b}", "/a;b"] {
            assert!(Pattern::read(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_base_is_whole_segments() {
        let rest = |base: &str, path: &'static str| Base::read(base).expect("a base").rest(path);
        assert_eq!(rest("/api", "/api/x"), Some("/x"));
        assert_eq!(rest("/api/", "/api"), Some("/"));
        assert_eq!(rest("/api", "/%61pi/x/"), Some("/x/"));
        assert_eq!(rest("/", "/x"), Some("/x"));
        for path in ["/apix", "/ap", "/", "/x/api"] {
            assert_eq!(rest("/api", path), None, "{path}");
        }
        assert!(Base::read("/a/../b").is_err() && Base::read("api").is_err());
    }

    proptest! {
        /// What is let through has as many segments for who decodes first as for who splits first.
        #[test]
        fn decoding_moves_no_border(path in "(/[a-z%0-9A-F.;]{0,6}){1,4}") {
            if oddity(&path).is_none() {
                let whole = percent_encoding::percent_decode_str(&path).decode_utf8().expect("UTF-8").into_owned();
                let split: Vec<String> = segments(&path).map(|one| one.into_owned()).collect();
                prop_assert_eq!(whole.split('/').skip(1).collect::<Vec<_>>(), split.iter().map(String::as_str).collect::<Vec<_>>());
                prop_assert!(split.iter().all(|one| one != "." && one != ".."));
            }
        }
    }
}
