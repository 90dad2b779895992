//! New keys, as the bytes that are stored.
//!
//! The bytes are wiped when they are dropped; sealing them before they reach a database is the caller's matter. Sizes
//! and curves are arguments; the randomness is aws-lc's own, which is the only one it makes keys from.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use zeroize::Zeroizing;

use super::public_key::Curve;
use super::{Algorithm, JoseError};

/// The longest HMAC secret that makes sense to store: Keycloak's largest `secretSize`.
const HMAC_MAX_LEN: usize = 512;

/// An RSA key of 2048, 3072 or 4096 bits as PKCS#8 DER. Takes from a tenth of a second to several: not on a thread that
/// others wait for.
pub fn generate_rsa(bits: u32) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        4096 => KeySize::Rsa4096,
        _ => return Err(JoseError::KeyUnusable("an RSA key is made with 2048, 3072 or 4096 bits")),
    };
    let pair = RsaKeyPair::generate(size).map_err(|_| JoseError::Backend)?;
    let der: Pkcs8V1Der<'static> = pair.as_der().map_err(|_| JoseError::Backend)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// A key on the algorithm's curve as PKCS#8 DER, the public key inside.
pub fn generate_ec(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    let curve = Curve::of(algorithm).ok_or(JoseError::AlgorithmNotForKey)?;
    let pair = EcdsaKeyPair::generate(curve.signing()).map_err(|_| JoseError::Backend)?;
    let der = pair.to_pkcs8v1().map_err(|_| JoseError::Backend)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// An Ed25519 key as PKCS#8 version 1 DER, 48 bytes: the form that OpenSSL and Keycloak write.
pub fn generate_ed25519() -> Result<Zeroizing<Vec<u8>>, JoseError> {
    let pair = Ed25519KeyPair::generate().map_err(|_| JoseError::Backend)?;
    let der = pair.to_pkcs8v1().map_err(|_| JoseError::Backend)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// A random secret of 32 to 512 bytes. Give at least the length of the hash it is for (RFC 7518 section 3.2).
pub fn generate_hmac(len: usize) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    if !(32..=HMAC_MAX_LEN).contains(&len) {
        return Err(JoseError::KeyUnusable("a secret is made with 32 to 512 bytes"));
    }
    let mut secret = Zeroizing::new(vec![0_u8; len]);
    rand::fill(&mut secret).map_err(|_| JoseError::Backend)?;
    Ok(secret)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::{generate_ec, generate_ed25519, generate_hmac, generate_rsa};
    use crate::jose::{Algorithm, JoseError, SigningKey};

    #[test]
    fn new_keys_can_be_read_back() {
        for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::ES512] {
            let der = generate_ec(algorithm).unwrap();
            assert!(SigningKey::ec(None, algorithm, &der, None).is_ok(), "{algorithm}");
        }
        let der = generate_ed25519().unwrap();
        assert_eq!(der.len(), 48);
        assert!(SigningKey::ed25519(None, &der, None).is_ok());
        let secret = generate_hmac(64).unwrap();
        assert_eq!(secret.len(), 64);
        assert_ne!(secret, generate_hmac(64).unwrap());
    }

    #[test]
    fn unfit_sizes_are_refused() {
        for bits in [0, 1024, 2047, 8192] {
            assert!(matches!(generate_rsa(bits), Err(JoseError::KeyUnusable(_))), "{bits}");
        }
        assert_eq!(generate_ec(Algorithm::RS256), Err(JoseError::AlgorithmNotForKey));
        assert!(generate_hmac(31).is_err());
    }
}
