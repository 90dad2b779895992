//! Bytes as text: base64url as JOSE writes it, and the texts in which administrators hand over keys.
//!
//! What comes inside a token is read strictly, because two texts for the same bytes would be two tokens with one
//! signature. What an administrator pastes is read kindly.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::JoseError;

/// The standard alphabet with or without padding, for pasted keys.
static STANDARD_ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const BAD_PEM: JoseError = JoseError::Malformed("the PEM text is not complete");

/// base64url without padding (RFC 7515 section 2).
pub fn b64url_encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Appends base64url without padding to `out`.
pub(crate) fn b64url_append(bytes: &[u8], out: &mut String) {
    URL_SAFE_NO_PAD.encode_string(bytes, out);
}

/// How many characters base64url makes of so many bytes.
pub(crate) const fn b64url_len(bytes: usize) -> usize {
    bytes.saturating_mul(4).div_ceil(3)
}

/// Reads base64url as RFC 7515 section 2 writes it and nothing else: no padding, no whitespace, and the unused bits of
/// the last character are zero (RFC 4648 section 3.5), so that every byte string has exactly one text.
pub fn b64url_decode(text: &str) -> Result<Vec<u8>, JoseError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| JoseError::Malformed("not base64url without padding"))
}

/// Standard base64 with padding, as `x5c` holds it (RFC 7517 section 4.7).
pub(crate) fn base64_encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The DER inside what administrators paste and realm files hold: PEM with its line breaks, or bare base64.
///
/// Of a PEM text the first block counts; which kind of key or certificate it is, the DER says itself.
pub fn pem_or_base64_der(text: &str) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    let body = if text.contains("-----BEGIN ") { first_pem_block(text)? } else { text };
    // Large enough from the start: a growing string would leave copies of a private key behind.
    let mut compact = Zeroizing::new(String::with_capacity(body.len()));
    compact.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    if compact.is_empty() {
        return Err(JoseError::Malformed("the key is empty"));
    }
    match STANDARD_ANY_PADDING.decode(compact.as_bytes()) {
        Ok(der) => Ok(Zeroizing::new(der)),
        Err(_) => Err(JoseError::Malformed("the key is neither PEM nor base64")),
    }
}

/// What stands between the first `BEGIN` and `END` lines (RFC 7468 section 2).
fn first_pem_block(text: &str) -> Result<&str, JoseError> {
    let mut rest = text;
    while let Some((_, block)) = rest.split_once("-----BEGIN ") {
        let (label, block) = block.split_once("-----").ok_or(BAD_PEM)?;
        let (body, after) = block.split_once("-----END ").ok_or(BAD_PEM)?;
        match label {
            // `openssl ecparam -genkey` writes the curve's name before the key.
            "EC PARAMETERS" => rest = after,
            "ENCRYPTED PRIVATE KEY" => return Err(JoseError::KeyUnusable("the private key is encrypted")),
            _ => return Ok(body),
        }
    }
    Err(BAD_PEM)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use proptest::prelude::*;

    use super::{b64url_append, b64url_decode, b64url_encode, b64url_len, pem_or_base64_der};
    use crate::jose::JoseError;

    #[test]
    fn only_the_one_text_of_the_bytes_is_read() {
        assert_eq!(b64url_decode("").unwrap(), b"");
        assert_eq!(b64url_decode("-_8").unwrap(), [0xfb, 0xff]);
        // Padding, whitespace, the other alphabet, a stray bit, an impossible length, a character outside ASCII.
        for text in ["-_8=", "-_8 ", " -_8", "-_\n8", "+/8", "-_9", "-", "-_8AA", "-_é"] {
            assert!(b64url_decode(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn pasted_keys() {
        let der = [1, 2, 3, 4];
        let pem = "-----BEGIN PRIVATE KEY-----\r\nAQID\r\nBA==\r\n-----END PRIVATE KEY-----\r\n";
        let second = "-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n\
            -----BEGIN EC PRIVATE KEY-----\nAQIDBA\n-----END EC PRIVATE KEY-----";
        for text in [pem, second, "AQIDBA==", "AQIDBA", " AQID\nBA== "] {
            assert_eq!(pem_or_base64_der(text).unwrap().as_slice(), der, "{text:?}");
        }
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAQID\n-----END ENCRYPTED PRIVATE KEY-----";
        assert!(matches!(pem_or_base64_der(encrypted), Err(JoseError::KeyUnusable(_))));
        let headers = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAQID\n-----END RSA PRIVATE KEY-----";
        for text in ["", "  ", "**********", "-----BEGIN PRIVATE KEY-----\nAQID", "-----BEGIN ", headers] {
            assert!(matches!(pem_or_base64_der(text), Err(JoseError::Malformed(_))), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_survive(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = b64url_encode(&bytes);
            prop_assert_eq!(text.len(), b64url_len(bytes.len()));
            let mut appended = String::from("a.");
            b64url_append(&bytes, &mut appended);
            prop_assert_eq!(&appended, &format!("a.{text}"));
            prop_assert_eq!(b64url_decode(&text).unwrap(), bytes);
        }

        #[test]
        fn what_is_read_is_canonical(text in "[A-Za-z0-9_=-]{0,12}") {
            if let Ok(bytes) = b64url_decode(&text) {
                prop_assert_eq!(b64url_encode(&bytes), text);
            }
        }

        #[test]
        fn no_pasted_text_panics(text in "(-----BEGIN [A-Z ]{0,8}(-----)?)?\\PC{0,40}(-----END )?\\PC{0,8}") {
            let _ = pem_or_base64_der(&text);
        }
    }
}
