//! The text of a realm file as the importer reads it: placeholders replaced, and no single text longer than memory
//! should hold.
//!
//! Placeholders are those of Keycloak's import: `${NAME}`, `${NAME:default}`, `${FIRST,SECOND}`, one within another. A
//! name that the environment does not know and that has no default stays as it stands, as `${role_admin}` in every
//! export does. They are replaced in the text, before it is JSON, so that numbers and whole objects can come from them.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the longest string that is read.
pub(super) const LONGEST: usize = 4 << 20;

/// Bytes of the longest placeholder, with what is in it. A longer one is a text.
const LONGEST_PLACEHOLDER: usize = 16 << 10;

/// Placeholders that come from placeholders, at most.
const DEPTH: usize = 16;

/// Looks up a variable.
pub(super) type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// A variable of the environment, but for our own: the master key and passwords are nothing that a file may ask for.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|_| !name.starts_with("GRANTOR_"))
}

/// Reads through another reader.
pub(super) struct Text<R> {
    from: R,
    lookup: Arc<Lookup>,
    /// What goes out before anything else is read.
    ahead: VecDeque<u8>,
    /// Bytes taken from `from`.
    read: Arc<AtomicU64>,
    begun: bool,
    in_string: bool,
    escaped: bool,
    string: usize,
}

impl<R: BufRead> Text<R> {
    /// `read` counts the bytes of the file.
    pub(super) fn new(from: R, lookup: Arc<Lookup>, read: Arc<AtomicU64>) -> Self {
        Self { from, lookup, ahead: VecDeque::new(), read, begun: false, in_string: false, escaped: false, string: 0 }
    }

    fn take(&mut self, count: usize) {
        self.from.consume(count);
        self.read.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The first bytes say what it is.
    fn begin(&mut self) -> io::Result<()> {
        self.begun = true;
        let first = self.from.fill_buf()?;
        let is_mark = first.starts_with(b"\xef\xbb\xbf");
        let refused = match first {
            [b'P', b'K', 3 | 5, _, ..] => "a ZIP archive: unpack it first",
            [0x1f, 0x8b, ..] => "packed with gzip: unpack it first",
            [0xac, 0xed, ..] => "Java's own binary format: export as JSON",
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "in UTF-16: realm files are UTF-8",
            first if first.iter().take(64).any(|byte| *byte == 0) => "binary: realm files are JSON in UTF-8",
            _ => {
                self.take(if is_mark { 3 } else { 0 });
                return Ok(());
            }
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, refused))
    }

    /// Follows the text as far as it matters: where strings begin and end, and how long they are.
    fn follow(&mut self, byte: u8) -> io::Result<()> {
        if !self.in_string {
            self.in_string = byte == b'"';
            self.string = 0;
            return Ok(());
        }
        self.string += 1;
        if self.string > LONGEST {
            let text = format!("a text is longer than {} MiB", LONGEST >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
        Ok(())
    }

    /// After a `$`: the whole placeholder if there is one, replaced if it can be. Whether the `$` is part of it.
    fn after_dollar(&mut self) -> io::Result<bool> {
        if self.from.fill_buf()?.first() != Some(&b'{') {
            return Ok(false);
        }
        let (mut inner, mut open) = (Vec::new(), 0_usize);
        while let Some(byte) = self.from.fill_buf()?.first().copied() {
            self.take(1);
            inner.push(byte);
            match byte {
                b'{' => open += 1,
                b'}' => open -= 1,
                _ => {}
            }
            if open == 0 || inner.len() > LONGEST_PLACEHOLDER {
                break;
            }
        }
        let whole = inner.strip_prefix(b"{").and_then(|inner| inner.strip_suffix(b"}")).filter(|_| open == 0);
        let value = whole
            .and_then(|inner| std::str::from_utf8(inner).ok())
            .and_then(|inner| resolved(inner, self.lookup.as_ref()))
            .map(|value| replaced(&value, self.lookup.as_ref(), DEPTH));
        match value {
            // A value that stands in quotes as it is, stands as it is, as with Keycloak. Another is put into JSON.
            Some(value) if self.in_string && !stands_in_quotes(&value) => {
                let quoted = serde_json::Value::String(value).to_string();
                self.ahead.extend(quoted.get(1..quoted.len() - 1).unwrap_or_default().bytes());
            }
            Some(value) => self.ahead.extend(value.bytes()),
            None => {
                self.ahead.push_back(b'$');
                self.ahead.extend(inner);
            }
        }
        Ok(true)
    }
}

impl<R: BufRead> Read for Text<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.begun {
            self.begin()?;
        }
        let mut written = 0;
        while let Some(place) = out.get_mut(written) {
            if let Some(byte) = self.ahead.pop_front() {
                self.follow(byte)?;
                *place = byte;
                written += 1;
                continue;
            }
            let Some(byte) = self.from.fill_buf()?.first().copied() else { break };
            self.take(1);
            if byte == b'$' && self.after_dollar()? {
                continue;
            }
            self.follow(byte)?;
            *place = byte;
            written += 1;
        }
        Ok(written)
    }
}

fn stands_in_quotes(value: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(&format!("\"{value}\"")).is_ok()
}

/// What stands for a placeholder, by what is between its braces. `None` when it is to stay.
fn resolved(inner: &str, lookup: &Lookup) -> Option<String> {
    let names = |names: &str| {
        lookup(names).or_else(|| {
            let (first, second) = names.split_once(',')?;
            lookup(first).or_else(|| lookup(second))
        })
    };
    match inner {
        "" => None,
        "/" => Some("/".to_owned()),
        ":" => Some(":".to_owned()),
        inner => lookup(inner).or_else(|| match inner.split_once(':') {
            Some((name, default)) if !name.is_empty() => Some(names(name).unwrap_or_else(|| default.to_owned())),
            _ => names(inner),
        }),
    }
}

/// A value with the placeholders replaced that it has itself.
fn replaced(value: &str, lookup: &Lookup, depth: usize) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        let mut open = 1_usize;
        let end = after.char_indices().find(|(_, c)| {
            match c {
                '{' => open += 1,
                '}' => open -= 1,
                _ => {}
            }
            open == 0
        });
        let Some((inner, after)) = end.map(|(end, _)| after.split_at(end)) else {
            text.push_str("${");
            rest = after;
            continue;
        };
        rest = after.strip_prefix('}').unwrap_or(after);
        match resolved(inner, lookup).filter(|_| depth > 0) {
            Some(value) => text.push_str(&replaced(&value, lookup, depth - 1)),
            None => text.push_str(&format!("${{{inner}}}")),
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use std::io::{BufReader, Read as _};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::{LONGEST, Text};

    fn variable(name: &str) -> Option<String> {
        let value = match name {
            "HOST" => "id.example.org",
            "PORT" => "8080",
            "PASSWORD" => "a\"b\\c",
            "PEM" => "-----BEGIN\nx\n-----END",
            "ESCAPED" => "a\\nb",
            "BOTH" => "${HOST}:${PORT}",
            "SELF" => "${SELF}",
            "a:b" => "whole",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn read(text: &[u8]) -> Result<String, String> {
        let counted = Arc::new(AtomicU64::new(0));
        // Few bytes at a time, so that everything is met at an edge of the buffer.
        let from = BufReader::with_capacity(3, text);
        let mut out = String::new();
        Text::new(from, Arc::new(variable), counted.clone()).read_to_string(&mut out).map_err(|e| e.to_string())?;
        assert_eq!(counted.load(Ordering::Relaxed), text.len() as u64);
        Ok(out)
    }

    #[test]
    fn placeholders_are_replaced_as_keycloak_does() {
        for (text, expected) in [
            (r#""${HOST}""#, r#""id.example.org""#),
            (r#"{"port": ${PORT}, "x": "$HOST $ {PORT}"}"#, r#"{"port": 8080, "x": "$HOST $ {PORT}"}"#),
            (r#""${role_admin} ${vault.secret} ${}""#, r#""${role_admin} ${vault.secret} ${}""#),
            (r#""${NONE:default} ${NONE:} ${HOST:default}""#, r#""default  id.example.org""#),
            (r#""${NONE:${PORT}} ${NONE:${NO:x}} ${NONE:a:b}""#, r#""8080 x a:b""#),
            (r#""${NONE,PORT} ${PORT,NONE} ${NO,NONE:d} ${NO,NONE}""#, r#""8080 8080 d ${NO,NONE}""#),
            (r#""${BOTH}""#, r#""id.example.org:8080""#),
            (r#""${SELF}""#, r#""${SELF}""#),
            (r#""${a:b} ${/}${:}""#, r#""whole /:""#),
            (r#""$${PORT} $${NONE} $$""#, r#""$8080 $${NONE} $$""#),
            (r#""${ESCAPED}""#, r#""a\nb""#),
            (r#""${PASSWORD}""#, r#""a\"b\\c""#),
            (r#""${PEM}""#, r#""-----BEGIN\nx\n-----END""#),
            (r#""${open"#, r#""${open"#),
            ("\u{feff}{}", "{}"),
        ] {
            assert_eq!(read(text.as_bytes()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (bytes, said) in [
            (&b"PK\x03\x04...."[..], "a ZIP archive"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"\xac\xed\x00\x05sr", "Java's own"),
            (b"\xff\xfe{\x00}\x00", "UTF-16"),
            (b"SQLite format 3\x00", "binary"),
        ] {
            let mut out = Vec::new();
            let from = BufReader::new(bytes);
            let error = Text::new(from, Arc::new(variable), Arc::default()).read_to_end(&mut out).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn a_text_without_end_is_refused_before_it_fills_memory() {
        let endless = std::io::Read::chain(&b"{\"a\": \""[..], std::io::repeat(b'x'));
        let mut out = Vec::new();
        let error = Text::new(BufReader::new(endless), Arc::new(variable), Arc::default()).read_to_end(&mut out);
        assert!(error.unwrap_err().to_string().contains("longer than"));
        assert!(out.len() <= 2 * LONGEST);
    }

    proptest! {
        #[test]
        fn what_has_no_placeholder_is_as_it_was(text in "[^$\u{0}]{0,200}") {
            prop_assume!(!["PK\u{3}", "PK\u{5}", "\u{feff}", "\u{1f}"].iter().any(|mark| text.starts_with(mark)));
            prop_assert_eq!(read(text.as_bytes()), Ok(text));
        }

        #[test]
        fn anything_is_read_or_refused(text in r#"([${}:,"\\a]|PORT|SELF|BOTH){0,60}"#) {
            let _ = read(text.as_bytes());
        }
    }
}
