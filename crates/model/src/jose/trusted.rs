//! Public keys and certificates that an administrator hands over, to verify what somebody else signs.
//!
//! Read kindly as to form (PEM, bare base64, base64 of PEM, a JWK set) and strictly as to content: a private key has no
//! business here and is refused, as is a key that is too weak. A certificate is not followed to a root: the
//! administrator trusts it as it stands, and its dates bound that trust.

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::public_key::PublicKey;
use super::{Algorithm, JoseError, JwkSet, VerifyingKey, b64url_encode, pem_or_base64_der, sha256};
use crate::Instant;

/// A key that an administrator trusts, with the dates of its certificate if it came in one.
#[derive(Debug)]
pub struct TrustedKey {
    key: VerifyingKey,
    /// Seconds since the epoch: from, until.
    dates: Option<(i64, i64)>,
    /// What people compare: SHA-256 of the SubjectPublicKeyInfo.
    fingerprint: String,
}

/// How a certificate's dates stand at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dates {
    /// Between them, or no certificate.
    Valid,
    /// Not valid before this second.
    NotYet(i64),
    /// Not valid after this second.
    Expired(i64),
}

const PRIVATE: JoseError = JoseError::KeyUnusable("this is a private key: hand over the public key or the certificate");

impl TrustedKey {
    /// The key itself.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// SHA-256 of the SubjectPublicKeyInfo, as base64url.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The last second at which its certificate is valid.
    pub fn until(&self) -> Option<i64> {
        self.dates.map(|(_, until)| until)
    }

    /// Whether its certificate is valid at a moment.
    pub fn dates(&self, now: Instant) -> Dates {
        match self.dates {
            Some((from, _)) if now.seconds() < from => Dates::NotYet(from),
            Some((_, until)) if now.seconds() > until => Dates::Expired(until),
            _ => Dates::Valid,
        }
    }

    fn new(
        key: &PublicKey,
        kid: Option<&str>,
        rsa: Option<Algorithm>,
        dates: Option<(i64, i64)>,
    ) -> Result<Self, JoseError> {
        let only = rsa.filter(|algorithm| key.algorithms().contains(algorithm));
        let fingerprint = b64url_encode(&sha256(key.spki()));
        Ok(Self { key: VerifyingKey::from_public(key, kid.map(str::to_owned), only)?, dates, fingerprint })
    }

    fn from_der(der: &[u8], kid: Option<&str>, rsa: Option<Algorithm>) -> Result<Self, JoseError> {
        if is_private(der) {
            return Err(PRIVATE);
        }
        if let Ok(([], certificate)) = X509Certificate::from_der(der) {
            let validity = certificate.validity();
            let dates = (validity.not_before.timestamp(), validity.not_after.timestamp());
            return Self::new(&PublicKey::from_certificate(der)?, kid, rsa, Some(dates));
        }
        match PublicKey::from_spki(der) {
            Ok(key) => Self::new(&key, kid, rsa, None),
            Err(error @ JoseError::KeyUnusable(_)) if is_spki(der) => Err(error),
            Err(_) => Err(JoseError::Malformed("this is neither a public key nor a certificate")),
        }
    }
}

/// Reads one or several keys: PEM blocks, bare base64 of DER, base64 of PEM, or a JWK set.
///
/// `kid` names a key that has no name of its own; `rsa` is the only algorithm of an RSA key, if it has only one.
///
/// # Errors
/// What is wrong with the first key that cannot be trusted.
pub fn trusted_keys(text: &str, kid: Option<&str>, rsa: Option<Algorithm>) -> Result<Vec<TrustedKey>, JoseError> {
    let text = text.trim();
    if text.starts_with('{') {
        return of_set(text, rsa);
    }
    if !text.contains("-----BEGIN ") {
        let der = pem_or_base64_der(text)?;
        // What management APIs send is a PEM text in base64.
        return match std::str::from_utf8(&der) {
            Ok(inner) if inner.contains("-----BEGIN ") => of_blocks(inner, kid, rsa),
            _ => Ok(vec![TrustedKey::from_der(&der, kid, rsa)?]),
        };
    }
    of_blocks(text, kid, rsa)
}

fn of_blocks(text: &str, kid: Option<&str>, rsa: Option<Algorithm>) -> Result<Vec<TrustedKey>, JoseError> {
    let blocks = text.split("-----BEGIN ").skip(1);
    let keys: Result<Vec<_>, _> = blocks
        .map(|block| {
            let label = block.split("-----").next().unwrap_or_default();
            if label.contains("PRIVATE KEY") {
                return Err(PRIVATE);
            }
            TrustedKey::from_der(&pem_or_base64_der(&format!("-----BEGIN {block}"))?, kid, rsa)
        })
        .collect();
    keys.and_then(|keys| if keys.is_empty() { Err(JoseError::Malformed("there is no key in it")) } else { Ok(keys) })
}

fn of_set(text: &str, rsa: Option<Algorithm>) -> Result<Vec<TrustedKey>, JoseError> {
    let set = JwkSet::parse(text.as_bytes())?;
    let private = |name: &str| set.keys.iter().any(|key| key.other.contains_key(name));
    if private("d") || set.keys.iter().any(|key| key.k.is_some()) {
        return Err(PRIVATE);
    }
    let signing = set.keys.iter().filter(|key| key.key_use.as_deref().is_none_or(|purpose| purpose == "sig"));
    let keys: Result<Vec<_>, _> = signing
        .map(|jwk| {
            let named = jwk.alg.as_deref().and_then(Algorithm::parse);
            TrustedKey::new(&PublicKey::from_jwk(jwk)?, jwk.kid.as_deref(), named.or(rsa), None)
        })
        .collect();
    keys.and_then(|keys| if keys.is_empty() { Err(JoseError::Malformed("there is no key in it")) } else { Ok(keys) })
}

/// PKCS #8, PKCS #1 and SEC 1 private keys all begin with a version number; public keys and certificates begin with a
/// sequence.
fn is_private(der: &[u8]) -> bool {
    first_inside(der) == Some(0x02) && PublicKey::from_spki(der).is_err()
}

fn is_spki(der: &[u8]) -> bool {
    first_inside(der) == Some(0x30)
}

/// The tag of the first value inside a DER sequence.
fn first_inside(der: &[u8]) -> Option<u8> {
    let (&tag, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let skipped = if length < 0x80 { 0 } else { usize::from(length & 0x7f) };
    if tag == 0x30 { rest.get(skipped).copied() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::trusted_keys;
    use crate::jose::{Algorithm, samples};

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    #[test]
    fn public_keys_come_in_several_forms() {
        let rsa = samples::signing_key(Algorithm::RS256);
        let ec = samples::signing_key(Algorithm::ES256);
        let spki = rsa.spki_der().unwrap();
        let one = pem("PUBLIC KEY", spki);
        for text in [one.clone(), STANDARD.encode(spki), STANDARD.encode(&one)] {
            let keys = trusted_keys(&text, Some("k"), None).unwrap();
            assert_eq!(keys.len(), 1);
            assert_eq!(keys[0].key().kid(), Some("k"));
            assert!(keys[0].key().fits(Algorithm::RS512));
        }
        let two = one + &pem("PUBLIC KEY", ec.spki_der().unwrap());
        let keys = trusted_keys(&two, None, Some(Algorithm::RS256)).unwrap();
        assert_eq!(keys.len(), 2);
        assert!(keys[0].key().fits(Algorithm::RS256) && !keys[0].key().fits(Algorithm::RS512));
        assert!(keys[1].key().fits(Algorithm::ES256));
        let set = format!(r#"{{"keys":[{}]}}"#, serde_json::to_string(&ec.public_jwk().unwrap()).unwrap());
        assert_eq!(trusted_keys(&set, None, None).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let der = crate::jose::generate_ec(Algorithm::ES256).unwrap();
        for text in [pem("PRIVATE KEY", &der), pem("CERTIFICATE", &der), STANDARD.encode(der.as_slice())] {
            let error = trusted_keys(&text, None, None).unwrap_err();
            assert!(error.to_string().contains("private key"), "{error}");
        }
        let set = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}]}"#;
        assert!(trusted_keys(set, None, None).unwrap_err().to_string().contains("private key"));
        for text in [
            "",
            "garbage",
            "AAAA",
            "-----BEGIN X-----",
            "{\"keys\":[]}",
            "{",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        ] {
            assert!(trusted_keys(text, None, None).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(-----BEGIN [A-Z ]{0,8}(-----)?)?\\PC{0,60}(-----END )?\\PC{0,8}") {
            let _ = trusted_keys(&text, None, None);
        }
    }
}
