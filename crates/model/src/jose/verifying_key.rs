//! Keys that signatures are verified with.
//!
//! Owns the binding of a key to its algorithms: a key knows the few algorithms that its type, its `alg`, its `use` and
//! its `key_ops` leave over, and refuses every other before it looks at the signature. That is what makes it harmless
//! to read the algorithm from the token (RFC 8725 sections 3.1 and 3.2): a public key cannot be used as an HMAC
//! secret, because a key made from one holds nothing that could compute an HMAC.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::ParsedPublicKey;
use zeroize::Zeroizing;

use super::public_key::PublicKey;
use super::{Algorithm, JoseError, Jwk, b64url_decode};

const ALGORITHM_UNFIT: JoseError = JoseError::KeyUnusable("the key's algorithm does not fit its type");

/// A key to verify with, parsed once. Cheap to share and to use from many threads.
#[derive(Debug)]
pub struct VerifyingKey {
    kid: Option<String>,
    algorithm: Option<Algorithm>,
    /// One entry for each algorithm that the key may be used with: one, except for an RSA or symmetric key whose
    /// algorithm nobody fixed.
    verifiers: Vec<(Algorithm, Verifier)>,
}

/// `ParsedPublicKey` and not `UnparsedPublicKey`: the latter reads the DER again for every signature, and with it RSA
/// computes the Montgomery constants of the modulus and ECDSA checks the point again. A parsed key does this once;
/// 76,000 RS256 verifications a second and core were measured with it. It is tied to one algorithm, hence the list.
#[derive(Debug)]
enum Verifier {
    Public(ParsedPublicKey),
    /// Boxed, as the prepared HMAC state is ten times larger than the other variant.
    Secret(Box<hmac::Key>),
}

impl VerifyingKey {
    /// Makes a key of a JWK, if it may be used to verify signatures.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, JoseError> {
        if jwk.key_use.as_deref().is_some_and(|purpose| purpose != "sig") {
            return Err(JoseError::KeyUnusable("the key's use is not sig"));
        }
        if jwk.key_ops.as_ref().is_some_and(|operations| !operations.iter().any(|one| one == "verify")) {
            return Err(JoseError::KeyUnusable("the key's key_ops do not hold verify"));
        }
        let algorithm = match jwk.alg.as_deref() {
            None => None,
            Some(name) => match Algorithm::parse(name) {
                None => return Err(JoseError::KeyUnusable("the key's algorithm is not supported")),
                known => known,
            },
        };
        if jwk.kty == "oct" {
            Self::from_symmetric_jwk(jwk, algorithm)
        } else {
            Self::from_public(&PublicKey::from_jwk(jwk)?, jwk.kid.clone(), algorithm)
        }
    }

    /// Makes a key of a SubjectPublicKeyInfo. Without an algorithm, each one that fits the key is accepted.
    pub fn from_spki(der: &[u8], kid: Option<String>, algorithm: Option<Algorithm>) -> Result<Self, JoseError> {
        Self::from_public(&PublicKey::from_spki(der)?, kid, algorithm)
    }

    /// Makes a key of an X.509 certificate. The certificate is taken as it stands: neither its signature nor its dates
    /// are checked.
    pub fn from_certificate(der: &[u8], kid: Option<String>, algorithm: Option<Algorithm>) -> Result<Self, JoseError> {
        Self::from_public(&PublicKey::from_certificate(der)?, kid, algorithm)
    }

    /// Makes a key of a shared secret, for one HMAC algorithm.
    ///
    /// RFC 7518 section 3.2 wants a secret as long as the hash. That is not enforced here, since client secrets come
    /// from people and from imported realms, at any length; whoever makes a secret can and should.
    pub fn from_hmac_secret(secret: &[u8], kid: Option<String>, algorithm: Algorithm) -> Result<Self, JoseError> {
        if secret.is_empty() {
            return Err(JoseError::KeyUnusable("the secret is empty"));
        }
        let key = hmac_key(algorithm, secret).ok_or(ALGORITHM_UNFIT)?;
        Ok(Self::from_hmac_key(key, kid, algorithm))
    }

    /// Of a JWK the length of RFC 7518 section 3.2 is asked: such a key is made by a program.
    fn from_symmetric_jwk(jwk: &Jwk, algorithm: Option<Algorithm>) -> Result<Self, JoseError> {
        if algorithm.is_some_and(|only| !only.is_hmac()) {
            return Err(ALGORITHM_UNFIT);
        }
        let text = jwk.k.as_ref().ok_or(JoseError::KeyUnusable("the key lacks a member"))?;
        let secret = b64url_decode(text.expose());
        let secret = secret.map_err(|_| JoseError::KeyUnusable("the secret is not base64url without padding"))?;
        let secret = Zeroizing::new(secret);
        let verifiers: Vec<_> = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512]
            .into_iter()
            .filter(|candidate| algorithm.is_none_or(|only| only == *candidate))
            .filter(|candidate| secret.len() >= candidate.digest().output_len())
            .filter_map(|candidate| Some((candidate, Verifier::Secret(Box::new(hmac_key(candidate, &secret)?)))))
            .collect();
        if verifiers.is_empty() {
            return Err(JoseError::KeyUnusable("the secret is shorter than the hash"));
        }
        Ok(Self { kid: jwk.kid.clone(), algorithm, verifiers })
    }

    pub(crate) fn from_hmac_key(key: hmac::Key, kid: Option<String>, algorithm: Algorithm) -> Self {
        let verifiers = vec![(algorithm, Verifier::Secret(Box::new(key)))];
        Self { kid, algorithm: Some(algorithm), verifiers }
    }

    pub(crate) fn from_public(
        key: &PublicKey,
        kid: Option<String>,
        algorithm: Option<Algorithm>,
    ) -> Result<Self, JoseError> {
        let mut verifiers = Vec::new();
        for candidate in key.algorithms() {
            if algorithm.is_none_or(|only| only == *candidate) {
                verifiers.push((*candidate, Verifier::Public(key.parsed(*candidate)?)));
            }
        }
        if verifiers.is_empty() {
            return Err(ALGORITHM_UNFIT);
        }
        Ok(Self { kid, algorithm, verifiers })
    }

    /// Which key of its set this is.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithm that the key's publisher fixed, if any.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// Whether signatures of `algorithm` can be verified with this key.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifiers.iter().any(|(known, _)| *known == algorithm)
    }

    /// Whether `signature` is this key's signature of `message`.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), JoseError> {
        let verifier = self.verifiers.iter().find(|(known, _)| *known == algorithm);
        let (_, verifier) = verifier.ok_or(JoseError::AlgorithmNotForKey)?;
        let verified = match verifier {
            Verifier::Public(key) => key.verify_sig(message, signature),
            // Compares in constant time.
            Verifier::Secret(key) => hmac::verify(key, message, signature),
        };
        verified.map_err(|_| JoseError::SignatureInvalid)
    }
}

/// The secret made ready for HMAC; none if the algorithm is not one.
pub(crate) fn hmac_key(algorithm: Algorithm, secret: &[u8]) -> Option<hmac::Key> {
    let hash = match algorithm {
        Algorithm::HS256 => hmac::HMAC_SHA256,
        Algorithm::HS384 => hmac::HMAC_SHA384,
        Algorithm::HS512 => hmac::HMAC_SHA512,
        _ => return None,
    };
    Some(hmac::Key::new(hash, secret))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::VerifyingKey;
    use crate::jose::{
        Algorithm, JoseError, Jwk, SigningKey, b64url_decode, b64url_encode, pem_or_base64_der, samples,
    };

    /// A self-signed certificate and its key, made with OpenSSL.
    const CERTIFICATE: &str = "MIIBdTCCARugAwIBAgIUVnxMkHexeEav86SYWvSCNU7idigwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEdGVzdDAg\
        Fw0yNjExMjYwMDU1MzJaGA8yMTI2MTEwMjAwNTUzMlowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDA0ZuTQ\
        wTCfqpdJJycP9neZUIqbY50D3iQLTQj06sQHQ0ZlZ7+4aHC1ANJpw/fcxDpCV2IaEPcNfdz4KWWobDujUzBRMB0GA1UdDgQWBBRE9ZxJP09U\
        H0r+0IIjFj+YDGLH6jAfBgNVHSMEGDAWgBRE9ZxJP09UH0r+0IIjFj+YDGLH6jAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUC\
        IFdwT9UgiZBPei0FlGRLYx1T46/ndLYdHKqf5BfspjpkAiEA3QOAe0HHj8Nxx4bGr1Tvj5XYdIjgvGcqvNn57+lpQdA=";
    const CERTIFIED: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9R+VEYZktCGygVuD5PtSSXX2r6NQeK1h4Vb7XuVR\
        sXWhRANCAAQwNGbk0MEwn6qXSScnD/Z3mVCKm2OdA94kC00I9OrEB0NGZWe/uGhwtQDSacP33MQ6QldiGhD3DX3c+CllqGw7";

    fn public(algorithm: Algorithm) -> Jwk {
        samples::signing_key(algorithm).public_jwk().unwrap()
    }

    fn refused(jwk: &Jwk) -> bool {
        matches!(VerifyingKey::from_jwk(jwk), Err(JoseError::KeyUnusable(_)))
    }

    #[test]
    fn purpose_and_algorithm_of_a_jwk_count() {
        let good = public(Algorithm::RS256);
        for algorithm in ["ES256", "HS256", "none", "RSA-OAEP", "ES521"] {
            assert!(refused(&Jwk { alg: Some(algorithm.to_owned()), ..good.clone() }), "{algorithm}");
        }
        assert!(refused(&Jwk { key_use: Some("enc".to_owned()), ..good.clone() }));
        assert!(refused(&Jwk { key_ops: Some(vec!["encrypt".to_owned()]), ..good.clone() }));
        assert!(refused(&Jwk { kty: "EC".to_owned(), ..good.clone() }));
        let free = Jwk { alg: None, key_use: None, key_ops: Some(vec!["verify".to_owned()]), ..good };
        let key = VerifyingKey::from_jwk(&free).unwrap();
        assert_eq!((key.algorithm(), key.kid()), (None, free.kid.as_deref()));
        for algorithm in Algorithm::ALL {
            assert_eq!(key.fits(algorithm), algorithm.is_rsa(), "{algorithm}");
            if algorithm.is_rsa() {
                let signature = samples::signing_key(algorithm).sign(b"message").unwrap();
                key.verify(algorithm, b"message", &signature).unwrap();
                let changed = key.verify(algorithm, b"Message", &signature);
                assert_eq!(changed, Err(JoseError::SignatureInvalid), "{algorithm}");
            }
        }
    }

    #[test]
    fn numbers_of_a_jwk_are_checked() {
        let rsa = public(Algorithm::RS256);
        let modulus = b64url_decode(rsa.n.as_deref().unwrap()).unwrap();
        let padded = [[0].as_slice(), modulus.as_slice()].concat();
        let huge = vec![0xff; 1025];
        let short = vec![0xff; 255];
        for n in [padded, huge, short, vec![]] {
            assert!(refused(&Jwk { n: Some(b64url_encode(&n)), ..rsa.clone() }), "{} bytes", n.len());
        }
        for e in [vec![1], vec![2], vec![0, 3], vec![], vec![0xff; 6]] {
            assert!(refused(&Jwk { e: Some(b64url_encode(&e)), ..rsa.clone() }), "{e:?}");
        }
        assert!(refused(&Jwk { n: None, ..rsa.clone() }));
        assert!(refused(&Jwk { n: rsa.n.as_ref().map(|n| format!("{n}=")), ..rsa.clone() }));

        let ec = public(Algorithm::ES256);
        assert!(refused(&Jwk { x: ec.y.clone(), ..ec.clone() }), "not on the curve");
        assert!(refused(&Jwk { crv: Some("P-384".to_owned()), ..ec.clone() }));
        assert!(refused(&Jwk { crv: Some("secp256k1".to_owned()), ..ec.clone() }));
        let okp = public(Algorithm::EdDSA);
        assert!(refused(&Jwk { crv: Some("Ed448".to_owned()), ..okp.clone() }));
        assert!(refused(&Jwk { x: Some(b64url_encode(&[7; 31])), ..okp.clone() }));
    }

    #[test]
    fn a_symmetric_jwk_is_as_long_as_its_hash() {
        let jwk = |len: usize, alg: &str| {
            let k = b64url_encode(&vec![7; len]);
            Jwk::parse(format!(r#"{{"kty":"oct","alg":{alg},"k":"{k}"}}"#).as_bytes()).unwrap()
        };
        assert!(refused(&jwk(31, "\"HS256\"")));
        assert!(refused(&jwk(48, "\"HS512\"")));
        assert!(refused(&jwk(64, "\"RS256\"")));
        assert!(refused(&jwk(0, "null")));
        let key = VerifyingKey::from_jwk(&jwk(48, "null")).unwrap();
        assert!(key.fits(Algorithm::HS256) && key.fits(Algorithm::HS384) && !key.fits(Algorithm::HS512));
        let fixed = VerifyingKey::from_jwk(&jwk(64, "\"HS512\"")).unwrap();
        assert!(fixed.fits(Algorithm::HS512) && !fixed.fits(Algorithm::HS256));
    }

    #[test]
    fn client_secrets_may_be_short_but_not_empty() {
        let key = VerifyingKey::from_hmac_secret(b"short", None, Algorithm::HS256).unwrap();
        let signer = SigningKey::hmac("a".to_owned(), Algorithm::HS256, b"short").unwrap();
        key.verify(Algorithm::HS256, b"message", &signer.sign(b"message").unwrap()).unwrap();
        assert!(VerifyingKey::from_hmac_secret(b"", None, Algorithm::HS256).is_err());
        assert!(VerifyingKey::from_hmac_secret(b"short", None, Algorithm::RS256).is_err());
    }

    #[test]
    fn a_certificate_lends_its_key() {
        let certificate = pem_or_base64_der(CERTIFICATE).unwrap();
        let private = pem_or_base64_der(CERTIFIED).unwrap();
        let signature = SigningKey::ec(None, Algorithm::ES256, &private, None).unwrap().sign(b"message").unwrap();
        let key = VerifyingKey::from_certificate(&certificate, Some("c".to_owned()), None).unwrap();
        key.verify(Algorithm::ES256, b"message", &signature).unwrap();
        assert_eq!(key.kid(), Some("c"));
        assert!(VerifyingKey::from_certificate(&certificate, None, Some(Algorithm::ES384)).is_err());
        for end in 0..certificate.len() {
            let (head, _) = certificate.split_at(end);
            assert!(VerifyingKey::from_certificate(head, None, None).is_err(), "{end}");
        }
    }

    #[test]
    fn spki_is_read_to_its_end_and_no_further() {
        for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::ES512, Algorithm::EdDSA] {
            let signer = samples::signing_key(algorithm);
            let spki = signer.spki_der().unwrap().to_vec();
            let key = VerifyingKey::from_spki(&spki, None, None).unwrap();
            key.verify(algorithm, b"message", &signer.sign(b"message").unwrap()).unwrap();
            let longer = [spki.as_slice(), [0].as_slice()].concat();
            assert!(VerifyingKey::from_spki(&longer, None, None).is_err(), "{algorithm}");
            for end in 0..spki.len() {
                let (head, _) = spki.split_at(end);
                assert!(VerifyingKey::from_spki(head, None, None).is_err(), "{algorithm} {end}");
            }
        }
    }
}
