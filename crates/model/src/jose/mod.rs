//! Signed tokens: algorithms, keys, JWK (RFC 7517) and compact JWS (RFC 7515), on aws-lc as the only backend.
//!
//! This module owns what is the same for every token: how bytes are read and written strictly, which algorithm a key
//! may be used with, and whether a signature is right. It leaves to others what a token means: which key is trusted
//! for which issuer, `iss`, `aud`, `exp` and every other claim, where keys are stored and when they are replaced.
//!
//! Three rules hold everywhere in it:
//!
//! - A key is parsed once, when it is made, and every later call only uses it.
//! - The key decides about the algorithm, never the token (RFC 8725 section 3.1). `none` does not exist here.
//! - What is not exactly as the RFCs write it is refused: padding, whitespace, stray bits, duplicate members, `crit`.
//!
//! Tokens are encrypted for others (RFC 7516), never decrypted.

mod algorithm;
mod encoding;
mod error;
mod generate;
mod hash;
mod json;
mod jwe;
mod jwk;
mod jws;
mod public_key;
#[cfg(test)]
pub(crate) mod samples;
mod signing_key;
mod trusted;
mod verifying_key;

pub use algorithm::Algorithm;
pub use encoding::{b64url_decode, b64url_encode, pem_or_base64_der};
pub use error::JoseError;
pub use generate::{generate_ec, generate_ed25519, generate_hmac, generate_rsa};
pub use hash::{at_hash, constant_time_eq, sha256};
pub use jwe::encrypt_token;
pub use jwk::{Jwk, JwkSet};
pub use jws::{Header, MAX_TOKEN_BYTES, Parsed, encoded_header, parse, parse_within, sign_compact, sign_with_header};
pub use signing_key::{SigningKey, default_kid};
pub use trusted::{Dates, TrustedKey, trusted_keys};
pub use verifying_key::VerifyingKey;
