//! Keys for the tests of this module: one for each algorithm, made when first asked for.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::LazyLock;

use zeroize::Zeroizing;

use super::{Algorithm, SigningKey, generate_ec, generate_ed25519, generate_rsa};

static RSA: LazyLock<Zeroizing<Vec<u8>>> = LazyLock::new(|| generate_rsa(2048).unwrap());

/// The secret of the HMAC samples.
pub(super) const SECRET: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The one RSA key, as PKCS#8.
pub(super) fn rsa_pkcs8() -> &'static [u8] {
    &RSA
}

/// A key for `algorithm`. RSA and HMAC keys are always the same, the others new ones.
pub(crate) fn signing_key(algorithm: Algorithm) -> SigningKey {
    if algorithm.is_hmac() {
        SigningKey::hmac("shared".to_owned(), algorithm, SECRET).unwrap()
    } else if algorithm.is_rsa() {
        SigningKey::rsa(None, algorithm, rsa_pkcs8()).unwrap()
    } else if algorithm.is_ec() {
        SigningKey::ec(None, algorithm, &generate_ec(algorithm).unwrap(), None).unwrap()
    } else {
        SigningKey::ed25519(None, &generate_ed25519().unwrap(), None).unwrap()
    }
}
