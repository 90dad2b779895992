//! The Basic header (RFC 7617), whose parts are form-url-encoded (RFC 6749 section 2.3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A `%` that is no escape.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadEscape;

/// Client id and secret. A header of another scheme, or one that cannot be read, counts as none.
pub(super) fn credentials(header: Option<&str>) -> Result<Option<(String, String)>, BadEscape> {
    let Some((id, secret)) = plain(header) else { return Ok(None) };
    Ok(Some((form_decoded(&id)?, form_decoded(&secret)?)))
}

/// Both parts as they stand in the header.
pub(super) fn plain(header: Option<&str>) -> Option<(String, String)> {
    let (scheme, value) = header?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

/// Decodes `+` and `%XX`.
fn form_decoded(text: &str) -> Result<String, BadEscape> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(hex).ok_or(BadEscape)?;
                high * 16 + rest.next().and_then(hex).ok_or(BadEscape)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| BadEscape)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::{BadEscape, credentials};
    use base64::Engine as _;

    fn basic(text: &str) -> String {
        format!("bAsIc {}", base64::engine::general_purpose::STANDARD.encode(text))
    }

    #[test]
    fn parts_are_decoded() {
        let got = credentials(Some(&basic("a+b:p%3Aq")));
        assert_eq!(got, Ok(Some(("a b".to_owned(), "p:q".to_owned()))));
    }

    #[test]
    fn what_cannot_be_read_is_none_or_an_error() {
        for header in [None, Some("Basic"), Some("Basic !!!"), Some("Bearer abc"), Some("Basic c3Zj")] {
            assert_eq!(credentials(header), Ok(None), "{header:?}");
        }
        for text in ["a:%", "a:%4", "a:%zz", "a:%ff"] {
            assert_eq!(credentials(Some(&basic(text))), Err(BadEscape), "{text}");
        }
    }
}
