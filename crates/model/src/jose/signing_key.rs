//! Keys that tokens are signed with.
//!
//! Owns the private material, parsed once and wiped when it is dropped, and the reading of the forms in which Keycloak
//! and OpenSSL write private keys. Which key of a realm signs, and when it is replaced, is the realm's matter.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair, RsaSignatureEncoding};

use super::public_key::{Curve, PublicKey};
use super::verifying_key::hmac_key;
use super::{Algorithm, JoseError, Jwk, VerifyingKey, b64url_encode, sha256};

const ED25519_SIGNATURE_LEN: usize = 64;

/// A key to sign with, for one algorithm. Cheap to share: signing needs no lock and changes nothing.
pub struct SigningKey {
    kid: String,
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Rsa {
        pair: RsaKeyPair,
        encoding: &'static RsaSignatureEncoding,
        public: PublicKey,
    },
    Ec {
        pair: EcdsaKeyPair,
        curve: Curve,
        public: PublicKey,
    },
    Ed25519 {
        pair: Ed25519KeyPair,
        public: PublicKey,
    },
    /// Boxed, as the prepared HMAC state is larger than the other variants.
    Hmac(Box<hmac::Key>),
}

/// The `kid` that Keycloak gives a key whose settings name none: SHA-256 of the SubjectPublicKeyInfo, base64url.
pub fn default_kid(spki_der: &[u8]) -> String {
    b64url_encode(&sha256(spki_der))
}

impl SigningKey {
    /// An RSA key from PKCS#8 or PKCS#1 DER (`RSAPrivateKey`, RFC 8017 appendix A.1.2). Without a `kid` the key gets
    /// [`default_kid`]. Fewer than 2048 bits are refused (RFC 7518 sections 3.3 and 3.5).
    pub fn rsa(kid: Option<String>, algorithm: Algorithm, der: &[u8]) -> Result<Self, JoseError> {
        let encoding = rsa_encoding(algorithm).ok_or(JoseError::AlgorithmNotForKey)?;
        let pair = rsa_pair(der)?;
        let public = PublicKey::rsa(pair.public_key())?;
        let kid = kid.unwrap_or_else(|| default_kid(public.spki()));
        Ok(Self { kid, algorithm, material: Material::Rsa { pair, encoding, public } })
    }

    /// A private key from PKCS#8 DER for the usual algorithm of its kind: EdDSA, that of the curve, or RS256.
    pub fn pkcs8(der: &[u8]) -> Result<Self, JoseError> {
        let curves = [Algorithm::ES256, Algorithm::ES384, Algorithm::ES512];
        let found = Self::ed25519(None, der, None).ok();
        let found = found.or_else(|| curves.into_iter().find_map(|curve| Self::ec(None, curve, der, None).ok()));
        found.map_or_else(|| Self::rsa(None, Algorithm::RS256, der), Ok)
    }

    /// An EC key from PKCS#8 or SEC 1 DER (`ECPrivateKey`, RFC 5915), on the algorithm's curve.
    ///
    /// The public key need not be inside (Keycloak leaves it out): it is computed from the private one. If it is stored
    /// beside, give it as `public_spki`; a public key that belongs to another private key is refused.
    pub fn ec(
        kid: Option<String>,
        algorithm: Algorithm,
        der: &[u8],
        public_spki: Option<&[u8]>,
    ) -> Result<Self, JoseError> {
        let curve = Curve::of(algorithm).ok_or(JoseError::AlgorithmNotForKey)?;
        let pair = EcdsaKeyPair::from_private_key_der(curve.signing(), der);
        let pair = pair.map_err(|_| JoseError::KeyUnusable("the EC key cannot be read or is on another curve"))?;
        let public = PublicKey::ec(curve, pair.public_key().as_ref())?;
        check_counterpart(&public, public_spki)?;
        let kid = kid.unwrap_or_else(|| default_kid(public.spki()));
        Ok(Self { kid, algorithm, material: Material::Ec { pair, curve, public } })
    }

    /// An Ed25519 key from PKCS#8 DER (RFC 8410 section 7), with or without the public key inside; `public_spki` as
    /// with [`SigningKey::ec`].
    pub fn ed25519(kid: Option<String>, der: &[u8], public_spki: Option<&[u8]>) -> Result<Self, JoseError> {
        let pair = Ed25519KeyPair::from_pkcs8(der);
        let pair = pair.map_err(|_| JoseError::KeyUnusable("the Ed25519 key cannot be read"))?;
        let public = PublicKey::ed25519(pair.public_key().as_ref())?;
        check_counterpart(&public, public_spki)?;
        let kid = kid.unwrap_or_else(|| default_kid(public.spki()));
        Ok(Self { kid, algorithm: Algorithm::EdDSA, material: Material::Ed25519 { pair, public } })
    }

    /// A shared secret for one HMAC algorithm. It has no public half to take a `kid` from. About its length see
    /// [`VerifyingKey::from_hmac_secret`].
    pub fn hmac(kid: String, algorithm: Algorithm, secret: &[u8]) -> Result<Self, JoseError> {
        if secret.is_empty() {
            return Err(JoseError::KeyUnusable("the secret is empty"));
        }
        let key = hmac_key(algorithm, secret).ok_or(JoseError::AlgorithmNotForKey)?;
        Ok(Self { kid, algorithm, material: Material::Hmac(Box::new(key)) })
    }

    /// The name under which the key is published and named in headers.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm that the key signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// How many bytes a signature has.
    pub fn signature_len(&self) -> usize {
        match &self.material {
            Material::Rsa { pair, .. } => pair.public_modulus_len(),
            Material::Ec { curve, .. } => 2 * curve.coordinate_len(),
            Material::Ed25519 { .. } => ED25519_SIGNATURE_LEN,
            Material::Hmac(_) => self.algorithm.digest().output_len(),
        }
    }

    /// Signs `message` in the form of JWS: ECDSA as r || s (RFC 7518 section 3.4).
    ///
    /// The randomness that RSA-PSS and ECDSA need comes from aws-lc itself, which ignores the generator it is handed.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, JoseError> {
        match &self.material {
            Material::Rsa { pair, encoding, .. } => {
                let mut bytes = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(*encoding, &SystemRandom::new(), message, &mut bytes);
                signed.map(|()| bytes).map_err(|_| JoseError::Backend)
            }
            Material::Ec { pair, .. } => {
                let signed = pair.sign(&SystemRandom::new(), message);
                signed.map(|bytes| bytes.as_ref().to_vec()).map_err(|_| JoseError::Backend)
            }
            Material::Ed25519 { pair, .. } => {
                let signed = pair.try_sign(message);
                signed.map(|bytes| bytes.as_ref().to_vec()).map_err(|_| JoseError::Backend)
            }
            Material::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
        }
    }

    /// The public half as a JWK with `use: sig`; none for a shared secret, which must not be published.
    pub fn public_jwk(&self) -> Option<Jwk> {
        Some(self.public()?.jwk(&self.kid, self.algorithm))
    }

    /// The public half as SubjectPublicKeyInfo; none for a shared secret.
    pub fn spki_der(&self) -> Option<&[u8]> {
        Some(self.public()?.spki())
    }

    /// The key that verifies what this one signs.
    pub fn verifying_key(&self) -> Result<VerifyingKey, JoseError> {
        match &self.material {
            Material::Rsa { public, .. } | Material::Ec { public, .. } | Material::Ed25519 { public, .. } => {
                VerifyingKey::from_public(public, Some(self.kid.clone()), Some(self.algorithm))
            }
            Material::Hmac(key) => {
                Ok(VerifyingKey::from_hmac_key(hmac::Key::clone(key), Some(self.kid.clone()), self.algorithm))
            }
        }
    }

    fn public(&self) -> Option<&PublicKey> {
        match &self.material {
            Material::Rsa { public, .. } | Material::Ec { public, .. } | Material::Ed25519 { public, .. } => {
                Some(public)
            }
            Material::Hmac(_) => None,
        }
    }
}

/// Names the key and hides what it is made of.
impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("material", &format_args!("[redacted]"))
            .finish()
    }
}

fn check_counterpart(derived: &PublicKey, stored_spki: Option<&[u8]>) -> Result<(), JoseError> {
    match stored_spki {
        Some(der) if PublicKey::from_spki(der)?.spki() != derived.spki() => {
            Err(JoseError::KeyUnusable("the public key does not belong to the private key"))
        }
        _ => Ok(()),
    }
}

/// Keycloak's generated keys are PKCS#1, imported ones either; the two cannot be mistaken for each other.
fn rsa_pair(der: &[u8]) -> Result<RsaKeyPair, JoseError> {
    let pkcs8 = match RsaKeyPair::from_pkcs8(der) {
        Ok(pair) => return Ok(pair),
        Err(rejected) => rejected,
    };
    let pkcs1 = match RsaKeyPair::from_der(der) {
        Ok(pair) => return Ok(pair),
        Err(rejected) => rejected,
    };
    // aws-lc's word for a key that was read and is below its own limit, which is ours too.
    if [pkcs8, pkcs1].iter().any(|rejected| rejected.description_() == "TooSmall") {
        return Err(JoseError::KeyUnusable("an RSA key needs at least 2048 bits"));
    }
    Err(JoseError::KeyUnusable("the RSA key cannot be read or its numbers do not fit together"))
}

/// aws-lc's name of an RSA algorithm; none for the others. The PSS salt is as long as the hash (RFC 7518 section 3.5).
fn rsa_encoding(algorithm: Algorithm) -> Option<&'static RsaSignatureEncoding> {
    match algorithm {
        Algorithm::RS256 => Some(&signature::RSA_PKCS1_SHA256),
        Algorithm::RS384 => Some(&signature::RSA_PKCS1_SHA384),
        Algorithm::RS512 => Some(&signature::RSA_PKCS1_SHA512),
        Algorithm::PS256 => Some(&signature::RSA_PSS_SHA256),
        Algorithm::PS384 => Some(&signature::RSA_PSS_SHA384),
        Algorithm::PS512 => Some(&signature::RSA_PSS_SHA512),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]
mod tests {
    use super::{SigningKey, default_kid};
    use crate::jose::{Algorithm, JoseError, pem_or_base64_der, samples};

    // As Keycloak 26.7 exports generated keys: the private keys without their public halves.
    const KEYCLOAK_P256: &str =
        "MEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCAgkxk6fgWyddscODE1Qkjw1qrR4EPOxA/6I5UNdaJBIQ==";
    const KEYCLOAK_P256_PUBLIC: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnAq0ndWSOptNaP+DbvOzFXDH6WwtEyOC\
        l2SfF4uIu6kw1RoZbt4U+m2h1cvqeIXfrZ+r7qdpT/z769Swk7puUw==";
    const KEYCLOAK_P384: &str = "ME4CAQAwEAYHKoZIzj0CAQYFK4EEACIENzA1AgEBBDDppBWq5ftYxcF/p3uVGoeWOcqgHXyYly5JOd+3j1TK\
        cRq+BWhA/97+WhwayJa/KLw=";
    const KEYCLOAK_ED25519: &str = "MC4CAQAwBQYDK2VwBCIEINu8pJ624WLNXRJkj3rMhBeoqcBMi/G9Ss0JT0DTHxuc";
    const KEYCLOAK_ED25519_PUBLIC: &str = "MCowBQYDK2VwAyEAg6YQKAiq8LmIJpJgJD3hlx7v0/cApGkjyqSvJxggB3Y=";

    /// 1024 bits, PKCS#8.
    const SMALL_RSA: &str = "MIICdQIBADANBgkqhkiG9w0BAQEFAASCAl8wggJbAgEAAoGBANpw/MBRM6el9sahdiqfTVRPB7j/lv52zEB9PUr9\
        19+HWWoRUTTLdJW4mQqEUrsi3KPlt4J2gmGrWoEjcKDqHl1SSAs/pVY6TYBukifQoQ/2U7GE/KDwedvH4FVzX1Hbw4nB25RlbwBzuF/z0X/J\
        22nlscWgSDMQbdWtPDX6ol45AgMBAAECgYAg7X08JEFsGRls8bPVUvQeLFeWrHh/XTsG0ZomrsMWv9lbosah9bVaSFxReIbcDLJDxoH2GZUn\
        0eOvqb71krUGxuxPBLobx2IVNvZ/gwRfVqwFJr3D6/EcDeHApOVSwF8jNwqZIkLAAINTRl4fjveUoGgslFegyE1b9nZrlGVfbQJBAPF39yVy\
        NegmCL3Ydnl/ZqBnFaYYQkgjzMNt/V+hi/xRfudgp7kdzcYkkz//jbRb0inbLjsZKSGSHN0QnXuzSGcCQQDnlkRTmE46HCdbbOYJAU/oJSgl\
        nMDgpUAmUhgNyDMHVE3pv4NdNMOUbsZPSoX4ZNWkPHU6UT3QVBVhiRCVgYBfAkAlQs7Xb21UGnJk4T8+9mLew6l6jOnFegjB63oaxLH2SJkd\
        mTOohCnZtpEmYgf62eRvYwwaQIKxVHuxvTuf+AVnAkBgLR6pHNp39ZM+u8X4vWvC/BNlM2lCoj426+cDaj4O8Cr/RUK35Z7HuQ1whoGGu9Gh\
        yF3i3zRtnU3X2MVjYYm/AkA/NlRxumuyloZrnyfTvMrisFRVqA1nG2ojcoMIJzPoJcq9qiTHyvNimGFZbzm5yJZz8BQVAyW11oH5p7Zk0Ack";

    fn der(text: &str) -> Vec<u8> {
        pem_or_base64_der(text).unwrap().to_vec()
    }

    #[test]
    fn keycloaks_ec_keys_have_no_public_half_inside() {
        let (private, public) = (der(KEYCLOAK_P256), der(KEYCLOAK_P256_PUBLIC));
        assert_eq!(private.len(), 67);
        for beside in [None, Some(public.as_slice())] {
            let key = SigningKey::ec(None, Algorithm::ES256, &private, beside).unwrap();
            assert_eq!(key.kid(), "Q2RuRiyFaqGIjUu8tgdokAnX3X4xSNqqulk6XllIoaw");
            assert_eq!(key.spki_der(), Some(public.as_slice()));
            let jwk = key.public_jwk().unwrap();
            assert_eq!(jwk.x.as_deref(), Some("nAq0ndWSOptNaP-DbvOzFXDH6WwtEyOCl2SfF4uIu6k"));
            assert_eq!(jwk.y.as_deref(), Some("MNUaGW7eFPptodXL6niF362fq-6naU_8--vUsJO6blM"));
            let signature = key.sign(b"message").unwrap();
            assert_eq!(signature.len(), 64);
            key.verifying_key().unwrap().verify(Algorithm::ES256, b"message", &signature).unwrap();
        }
        let key = SigningKey::ec(None, Algorithm::ES384, &der(KEYCLOAK_P384), None).unwrap();
        assert_eq!(key.kid(), "KuwwFbM2lHrgjEwOZ3Jut8jniZm1WkKQCWedbqo8Ewg");
    }

    #[test]
    fn keycloaks_ed25519_keys_have_no_public_half_inside() {
        let (private, public) = (der(KEYCLOAK_ED25519), der(KEYCLOAK_ED25519_PUBLIC));
        assert_eq!(private.len(), 48);
        let key = SigningKey::ed25519(None, &private, Some(&public)).unwrap();
        assert_eq!(key.kid(), "ANPVt6mA89f9_qIdjqXZjURBtIsj-lrcdeLZag4bOAg");
        assert_eq!(key.spki_der(), Some(public.as_slice()));
        assert_eq!(default_kid(&public), key.kid());
    }

    #[test]
    fn a_foreign_public_key_is_refused() {
        let wrong = JoseError::KeyUnusable("the public key does not belong to the private key");
        let other = samples::signing_key(Algorithm::ES256);
        let refused = SigningKey::ec(None, Algorithm::ES256, &der(KEYCLOAK_P256), other.spki_der());
        assert_eq!(refused.unwrap_err(), wrong);
        let refused = SigningKey::ed25519(None, &der(KEYCLOAK_ED25519), Some(&der(KEYCLOAK_P256_PUBLIC)));
        assert_eq!(refused.unwrap_err(), wrong);
    }

    #[test]
    fn rsa_is_read_from_pkcs8_and_pkcs1() {
        let pkcs8 = samples::rsa_pkcs8();
        // PKCS#8 wraps PKCS#1 (RFC 5208 section 5): with 2048 bits, 26 bytes before it.
        let pkcs1 = &pkcs8[26..];
        let one = SigningKey::rsa(None, Algorithm::RS256, pkcs8).unwrap();
        let two = SigningKey::rsa(Some("named".to_owned()), Algorithm::RS256, pkcs1).unwrap();
        assert_eq!(one.spki_der(), two.spki_der());
        assert_eq!(one.sign(b"message").unwrap(), two.sign(b"message").unwrap());
        assert_eq!((two.kid(), one.signature_len()), ("named", 256));
    }

    #[test]
    fn keys_that_do_not_fit_are_refused() {
        let small = JoseError::KeyUnusable("an RSA key needs at least 2048 bits");
        let rsa = der(SMALL_RSA);
        assert_eq!(SigningKey::rsa(None, Algorithm::RS256, &rsa).unwrap_err(), small);
        assert_eq!(SigningKey::rsa(None, Algorithm::PS256, &rsa[26..]).unwrap_err(), small);
        for rubbish in [vec![], vec![0x30], vec![0x30, 0x82, 0xff, 0xff, 0], der(KEYCLOAK_P256)] {
            assert!(matches!(SigningKey::rsa(None, Algorithm::RS256, &rubbish), Err(JoseError::KeyUnusable(_))));
            assert!(matches!(SigningKey::ed25519(None, &rubbish, None), Err(JoseError::KeyUnusable(_))));
            assert!(matches!(SigningKey::ec(None, Algorithm::ES512, &rubbish, None), Err(JoseError::KeyUnusable(_))));
        }
        let unfit = JoseError::AlgorithmNotForKey;
        assert_eq!(SigningKey::rsa(None, Algorithm::ES256, samples::rsa_pkcs8()).unwrap_err(), unfit);
        assert_eq!(SigningKey::ec(None, Algorithm::RS256, &der(KEYCLOAK_P256), None).unwrap_err(), unfit);
        assert_eq!(SigningKey::hmac("k".to_owned(), Algorithm::RS256, b"secret").unwrap_err(), unfit);
        assert!(SigningKey::hmac("k".to_owned(), Algorithm::HS256, b"").is_err());
    }

    #[test]
    fn a_shared_secret_has_no_public_half() {
        let key = samples::signing_key(Algorithm::HS512);
        assert!(key.public_jwk().is_none() && key.spki_der().is_none());
        assert_eq!(key.signature_len(), 64);
    }

    #[test]
    fn one_key_signs_on_many_threads() {
        for algorithm in [Algorithm::PS256, Algorithm::ES512, Algorithm::EdDSA, Algorithm::HS384] {
            let key = samples::signing_key(algorithm);
            let verifying = key.verifying_key().unwrap();
            std::thread::scope(|scope| {
                for number in 0..4_u8 {
                    let (key, verifying) = (&key, &verifying);
                    scope.spawn(move || {
                        let signature = key.sign(&[number; 100]).unwrap();
                        verifying.verify(algorithm, &[number; 100], &signature).unwrap();
                    });
                }
            });
        }
    }
}
