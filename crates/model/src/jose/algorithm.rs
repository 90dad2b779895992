//! The signature algorithms (RFC 7518 section 3.1, RFC 8037 section 3.1) as an enumeration.
//!
//! Owns the names and what follows from an algorithm alone: its family and its hash. Which key may be used with
//! which algorithm is the keys' matter. `none` is no algorithm and cannot be named.

use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// A signature algorithm. The variants are spelled as the registered names, which serde uses too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256, a salt of 32 bytes.
    PS256,
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384, a salt of 48 bytes.
    PS384,
    /// RSASSA-PSS with SHA-512, MGF1 with SHA-512, a salt of 64 bytes.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512.
    ES512,
    /// Ed25519; the registered name also covers Ed448, which is not supported.
    EdDSA,
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
}

impl Algorithm {
    /// All of them, public-key algorithms first.
    pub const ALL: [Self; 13] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
        Self::HS256,
        Self::HS384,
        Self::HS512,
    ];

    /// The registered name, as the `alg` member holds it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
        }
    }

    /// The algorithm of that name; names are case-sensitive (RFC 7515 section 4.1.1).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Whether both sides share one secret.
    pub const fn is_hmac(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }

    /// The bytes of its hash.
    pub const fn hash_len(self) -> usize {
        match self {
            Self::RS256 | Self::PS256 | Self::ES256 | Self::HS256 => 32,
            Self::RS384 | Self::PS384 | Self::ES384 | Self::HS384 => 48,
            Self::RS512 | Self::PS512 | Self::ES512 | Self::HS512 | Self::EdDSA => 64,
        }
    }

    /// Whether it needs an RSA key, with either padding.
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512)
    }

    /// Whether it needs a key on one of the NIST curves.
    pub const fn is_ec(self) -> bool {
        matches!(self, Self::ES256 | Self::ES384 | Self::ES512)
    }

    /// Whether it needs an Ed25519 key.
    pub const fn is_eddsa(self) -> bool {
        matches!(self, Self::EdDSA)
    }

    /// The hash it signs with. Ed25519 hashes with SHA-512 inside (RFC 8032 section 5.1).
    pub(crate) fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::RS256 | Self::PS256 | Self::ES256 | Self::HS256 => &digest::SHA256,
            Self::RS384 | Self::PS384 | Self::ES384 | Self::HS384 => &digest::SHA384,
            Self::RS512 | Self::PS512 | Self::ES512 | Self::EdDSA | Self::HS512 => &digest::SHA512,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::Algorithm;

    #[test]
    fn every_name_leads_back_to_its_algorithm() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
            assert_eq!(serde_json::to_string(&algorithm).unwrap(), format!("\"{algorithm}\""));
            assert_eq!(serde_json::from_str::<Algorithm>(&format!("\"{algorithm}\"")).unwrap(), algorithm);
            let families = [algorithm.is_hmac(), algorithm.is_rsa(), algorithm.is_ec(), algorithm.is_eddsa()];
            assert_eq!(families.iter().filter(|belongs| **belongs).count(), 1, "{algorithm}");
        }
    }

    #[test]
    fn none_and_other_spellings_are_no_algorithms() {
        for name in ["none", "None", "NONE", "", "rs256", "RS256 ", "ES256K", "ES521", "HS1", "Ed448"] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
    }
}
