//! Hashes and the comparison that tells nothing by its duration.

use aws_lc_rs::{constant_time, digest};

use super::{Algorithm, b64url_encode};

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    fixed(&digest::SHA256, bytes)
}

/// SHA-1 of `bytes`: only for `x5t`, a thumbprint that nothing relies on (RFC 7517 section 4.8).
pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    fixed(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes)
}

/// `LENGTH` must be the algorithm's: both callers are above.
fn fixed<const LENGTH: usize>(algorithm: &'static digest::Algorithm, bytes: &[u8]) -> [u8; LENGTH] {
    let mut out = [0; LENGTH];
    out.copy_from_slice(digest::digest(algorithm, bytes).as_ref());
    out
}

/// `at_hash` of an access token, `c_hash` of a code (OpenID Connect Core sections 3.1.3.6 and 3.3.2.11): the left half
/// of the hash that the ID token's own algorithm uses.
pub fn at_hash(algorithm: Algorithm, token: &str) -> String {
    let hash = digest::digest(algorithm.digest(), token.as_bytes());
    let bytes = hash.as_ref();
    let (left, _) = bytes.split_at(bytes.len() / 2);
    b64url_encode(left)
}

/// Compares in a time that depends on the lengths only.
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{at_hash, constant_time_eq, sha1, sha256};
    use crate::jose::{Algorithm, b64url_encode};

    #[test]
    fn hashes_of_the_empty_text() {
        assert_eq!(b64url_encode(&sha256(b"")), "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
        assert_eq!(b64url_encode(&sha1(b"")), "2jmj7l5rSw0yVb_vlWAYkK_YBwk");
    }

    #[test]
    fn at_hash_is_half_of_the_hash() {
        // The example of OpenID Connect Core, appendix A.3.
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(at_hash(Algorithm::RS256, token), "77QmUPtjPfzWtF2AnpK9RQ");
        assert_eq!(at_hash(Algorithm::ES384, token).len(), 32);
        assert_eq!(at_hash(Algorithm::EdDSA, token), at_hash(Algorithm::HS512, token));
    }

    #[test]
    fn comparison() {
        assert!(constant_time_eq(b"", b""));
        assert!(constant_time_eq(b"same", b"same"));
        assert!(!constant_time_eq(b"same", b"sane"));
        assert!(!constant_time_eq(b"same", b"sam"));
    }
}
