//! A public key in one shape, whether it came as a JWK, as SPKI, inside a certificate, or from a private key.
//!
//! Owns reading and checking the numbers of a key: sizes, curves, points. What the key may be used for (`use`,
//! `key_ops`, `alg`) is the verifying key's matter.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    self, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, ParsedPublicKey, RsaPublicKeyComponents,
    RsaSubjectPublicKey, VerificationAlgorithm,
};
use x509_parser::asn1_rs::Oid;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{Algorithm, JoseError, Jwk, b64url_decode, b64url_encode};

/// RFC 7518 sections 3.3 and 3.5 ask for at least so many bits.
const RSA_MIN_BITS: usize = 2048;
/// aws-lc verifies up to here; a larger key would only cost the verifier time.
const RSA_MAX_BITS: usize = 8192;

const ED25519_LEN: usize = 32;
/// The first byte of an uncompressed point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 0x04;

const NOT_SPKI: JoseError = JoseError::KeyUnusable("the public key is not a SubjectPublicKeyInfo");
const BAD_RSA: JoseError = JoseError::KeyUnusable("the RSA key's numbers are not valid");
const BAD_POINT: JoseError = JoseError::KeyUnusable("the EC key is not an uncompressed point of its curve");
const BAD_ED25519: JoseError = JoseError::KeyUnusable("the Ed25519 key is not valid");

/// A checked public key: the numbers for the JWK, the DER for the parser and the `kid`.
pub(crate) struct PublicKey {
    numbers: Numbers,
    spki: Vec<u8>,
}

enum Numbers {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Ec { curve: Curve, x: Vec<u8>, y: Vec<u8> },
    Ed25519 { x: Vec<u8> },
}

impl PublicKey {
    /// Reads the numbers of a JWK (RFC 7518 section 6, RFC 8037 section 2).
    pub(crate) fn from_jwk(jwk: &Jwk) -> Result<Self, JoseError> {
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Self::rsa_from_numbers(&member(jwk.n.as_deref())?, &member(jwk.e.as_deref())?),
            ("EC", Some(name)) => {
                let curve = Curve::parse(name).ok_or(JoseError::KeyUnusable("the curve is not supported"))?;
                let (x, y) = (member(jwk.x.as_deref())?, member(jwk.y.as_deref())?);
                // Each coordinate has the curve's full length (RFC 7518 section 6.2.1.2): checked one by one, else
                // a short x and a long y would still make up a point of the right length.
                if x.len() != curve.coordinate_len() || y.len() != curve.coordinate_len() {
                    return Err(JoseError::KeyUnusable("a coordinate of the EC key has the wrong length"));
                }
                let mut point = vec![UNCOMPRESSED];
                point.extend_from_slice(&x);
                point.extend_from_slice(&y);
                Self::ec(curve, &point)
            }
            ("OKP", Some("Ed25519")) => Self::ed25519(&member(jwk.x.as_deref())?),
            _ => Err(JoseError::KeyUnusable("the key type is not supported")),
        }
    }

    /// Reads a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) and nothing after it.
    pub(crate) fn from_spki(der: &[u8]) -> Result<Self, JoseError> {
        match SubjectPublicKeyInfo::from_der(der) {
            Ok(([], info)) => Self::from_info(&info),
            _ => Err(NOT_SPKI),
        }
    }

    /// Takes the key of an X.509 certificate. Neither its signature nor its dates are looked at: whoever calls trusts
    /// the certificate as it stands, as with a certificate pasted into a client's settings.
    pub(crate) fn from_certificate(der: &[u8]) -> Result<Self, JoseError> {
        match X509Certificate::from_der(der) {
            Ok(([], certificate)) => Self::from_info(certificate.public_key()),
            _ => Err(JoseError::KeyUnusable("the certificate cannot be read")),
        }
    }

    fn from_info(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, JoseError> {
        let kind = &info.algorithm.algorithm;
        if *kind == OID_PKCS1_RSAENCRYPTION {
            Self::rsa_from_der(info.raw)
        } else if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY {
            let curve = info.algorithm.parameters.as_ref().and_then(|named| named.as_oid().ok());
            let curve = curve.and_then(|oid| Curve::from_oid(&oid));
            let curve = curve.ok_or(JoseError::KeyUnusable("the curve is not supported"))?;
            Self::ec(curve, &info.subject_public_key.data)
        } else if *kind == OID_SIG_ED25519 {
            Self::ed25519(&info.subject_public_key.data)
        } else {
            Err(JoseError::KeyUnusable("the key type is not supported"))
        }
    }

    /// `modulus` and `exponent` without leading zeros, as RFC 7518 section 6.3.1 has them.
    fn rsa_from_numbers(modulus: &[u8], exponent: &[u8]) -> Result<Self, JoseError> {
        // Before any arithmetic: the numbers may come from a stranger's key set.
        check_rsa_size(modulus)?;
        let numbers = RsaPublicKeyComponents { n: modulus, e: exponent };
        let der: PublicKeyX509Der<'static> = numbers.as_der().map_err(|_| BAD_RSA)?;
        // Once more through the parser, which alone looks at the exponent (odd, not 1, at most 33 bits).
        Self::rsa_from_der(der.as_ref())
    }

    fn rsa_from_der(spki: &[u8]) -> Result<Self, JoseError> {
        let key = RsaSubjectPublicKey::from_der(spki).map_err(|_| BAD_RSA)?;
        Self::rsa(&key)
    }

    /// The public half of an RSA key that aws-lc has parsed.
    pub(crate) fn rsa(key: &RsaSubjectPublicKey) -> Result<Self, JoseError> {
        let modulus = key.modulus().big_endian_without_leading_zero().to_vec();
        let exponent = key.exponent().big_endian_without_leading_zero().to_vec();
        check_rsa_size(&modulus)?;
        let der: PublicKeyX509Der<'static> = key.as_der().map_err(|_| JoseError::Backend)?;
        Ok(Self { numbers: Numbers::Rsa { modulus, exponent }, spki: der.as_ref().to_vec() })
    }

    /// An uncompressed point (SEC 1 section 2.3.3). Compressed points are refused: neither JOSE nor Keycloak makes any.
    pub(crate) fn ec(curve: Curve, point: &[u8]) -> Result<Self, JoseError> {
        let Some((&UNCOMPRESSED, coordinates)) = point.split_first() else {
            return Err(BAD_POINT);
        };
        if coordinates.len() != 2 * curve.coordinate_len() {
            return Err(BAD_POINT);
        }
        // Parsing checks that the point lies on the curve.
        let parsed = ParsedPublicKey::new(curve.verification(), point).map_err(|_| BAD_POINT)?;
        let der: PublicKeyX509Der<'static> = parsed.as_der().map_err(|_| JoseError::Backend)?;
        let (x, y) = coordinates.split_at(curve.coordinate_len());
        Ok(Self { numbers: Numbers::Ec { curve, x: x.to_vec(), y: y.to_vec() }, spki: der.as_ref().to_vec() })
    }

    /// The 32 bytes of an Ed25519 public key.
    pub(crate) fn ed25519(x: &[u8]) -> Result<Self, JoseError> {
        if x.len() != ED25519_LEN {
            return Err(BAD_ED25519);
        }
        let parsed = ParsedPublicKey::new(&signature::ED25519, x).map_err(|_| BAD_ED25519)?;
        let der: PublicKeyX509Der<'static> = parsed.as_der().map_err(|_| JoseError::Backend)?;
        Ok(Self { numbers: Numbers::Ed25519 { x: x.to_vec() }, spki: der.as_ref().to_vec() })
    }

    /// The algorithms that a key of this type and curve can be used with.
    pub(crate) fn algorithms(&self) -> &'static [Algorithm] {
        use Algorithm::{ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match &self.numbers {
            Numbers::Rsa { .. } => &[RS256, RS384, RS512, PS256, PS384, PS512],
            // One curve, one hash (RFC 7518 section 3.4).
            Numbers::Ec { curve: Curve::P256, .. } => &[ES256],
            Numbers::Ec { curve: Curve::P384, .. } => &[ES384],
            Numbers::Ec { curve: Curve::P521, .. } => &[ES512],
            Numbers::Ed25519 { .. } => &[EdDSA],
        }
    }

    /// The key made ready to verify signatures of `algorithm`.
    pub(crate) fn parsed(&self, algorithm: Algorithm) -> Result<ParsedPublicKey, JoseError> {
        if !self.algorithms().contains(&algorithm) {
            return Err(JoseError::AlgorithmNotForKey);
        }
        let verification = verification(algorithm).ok_or(JoseError::AlgorithmNotForKey)?;
        ParsedPublicKey::new(verification, &self.spki).map_err(|_| JoseError::Backend)
    }

    /// The key as SubjectPublicKeyInfo, written anew: the same bytes whatever the key was read from.
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The key as a JWK for signatures of `algorithm`.
    pub(crate) fn jwk(&self, kid: &str, algorithm: Algorithm) -> Jwk {
        let mut jwk = Jwk {
            kid: Some(kid.to_owned()),
            alg: Some(algorithm.name().to_owned()),
            key_use: Some("sig".to_owned()),
            ..Jwk::default()
        };
        match &self.numbers {
            Numbers::Rsa { modulus, exponent } => {
                jwk.kty = "RSA".to_owned();
                jwk.n = Some(b64url_encode(modulus));
                jwk.e = Some(b64url_encode(exponent));
            }
            Numbers::Ec { curve, x, y } => {
                jwk.kty = "EC".to_owned();
                jwk.crv = Some(curve.name().to_owned());
                jwk.x = Some(b64url_encode(x));
                jwk.y = Some(b64url_encode(y));
            }
            Numbers::Ed25519 { x } => {
                jwk.kty = "OKP".to_owned();
                jwk.crv = Some("Ed25519".to_owned());
                jwk.x = Some(b64url_encode(x));
            }
        }
        jwk
    }
}

fn member(text: Option<&str>) -> Result<Vec<u8>, JoseError> {
    let text = text.ok_or(JoseError::KeyUnusable("the key lacks a member"))?;
    b64url_decode(text).map_err(|_| JoseError::KeyUnusable("a member of the key is not base64url without padding"))
}

fn check_rsa_size(modulus: &[u8]) -> Result<(), JoseError> {
    let unused = modulus.first().map_or(0, |first| first.leading_zeros());
    let bits = (modulus.len() * 8).saturating_sub(unused as usize);
    match bits {
        RSA_MIN_BITS..=RSA_MAX_BITS => Ok(()),
        ..RSA_MIN_BITS => Err(JoseError::KeyUnusable("an RSA key needs at least 2048 bits")),
        _ => Err(JoseError::KeyUnusable("an RSA key may have at most 8192 bits")),
    }
}

/// aws-lc's name of a public-key algorithm; none for HMAC, which has no public key.
fn verification(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match algorithm {
        Algorithm::RS256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Some(Curve::P256.verification()),
        Algorithm::ES384 => Some(Curve::P384.verification()),
        Algorithm::ES512 => Some(Curve::P521.verification()),
        Algorithm::EdDSA => Some(&signature::ED25519),
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => None,
    }
}

/// The curves of ECDSA in JOSE (RFC 7518 section 6.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// The curve that an algorithm signs on.
    pub(crate) const fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::ES256 => Some(Self::P256),
            Algorithm::ES384 => Some(Self::P384),
            Algorithm::ES512 => Some(Self::P521),
            _ => None,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::P256, Self::P384, Self::P521].into_iter().find(|curve| curve.name() == name)
    }

    fn from_oid(oid: &Oid<'_>) -> Option<Self> {
        if *oid == OID_EC_P256 {
            Some(Self::P256)
        } else if *oid == OID_NIST_EC_P384 {
            Some(Self::P384)
        } else if *oid == OID_NIST_EC_P521 {
            Some(Self::P521)
        } else {
            None
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// The length of one coordinate, and of each half of a signature, in bytes (RFC 7518 sections 3.4 and 6.2.1.2).
    pub(crate) const fn coordinate_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// Verification of signatures in the form r || s (RFC 7518 section 3.4).
    fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::P384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::P521 => &signature::ECDSA_P521_SHA512_FIXED,
        }
    }

    /// Signing in the form r || s.
    pub(crate) fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            Self::P521 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        }
    }
}
