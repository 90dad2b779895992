//! Compact JWE (RFC 7516): encrypting a token for one receiver. Nothing is decrypted here.
//!
//! The key is wrapped by RSA-OAEP (RFC 7518 section 4.3), the content encrypted by AES-GCM or AES-CBC with HMAC (sections
//! 5.2 and 5.3). RSA1_5 is not offered: its errors have told receivers' keys for thirty years.

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use zeroize::Zeroizing;

use super::public_key::PublicKey;
use super::{JoseError, Jwk, b64url_encode};

/// Encrypts `token` for the owner of `key`; the header says that a JWT is inside (RFC 7519 section 5.2).
pub fn encrypt_token(token: &str, key: &Jwk, algorithm: &str, encryption: &str) -> Result<String, JoseError> {
    let content = Content::parse(encryption)?;
    let secret = random(content.key_len())?;
    let wrapped = wrapped(&secret, key, algorithm)?;
    let mut header = serde_json::Map::new();
    header.insert("alg".to_owned(), algorithm.into());
    header.insert("enc".to_owned(), encryption.into());
    header.insert("cty".to_owned(), "JWT".into());
    if let Some(kid) = &key.kid {
        header.insert("kid".to_owned(), kid.as_str().into());
    }
    let header = serde_json::to_vec(&header).map_err(|_| JoseError::Backend)?;
    let header = b64url_encode(&header);
    let Sealed { iv, ciphertext, tag } = content.seal(&secret, header.as_bytes(), token.as_bytes())?;
    let parts = [wrapped, iv, ciphertext, tag].map(|part| b64url_encode(&part));
    Ok(format!("{header}.{}", parts.join(".")))
}

/// The content key, wrapped for the receiver.
fn wrapped(secret: &[u8], key: &Jwk, algorithm: &str) -> Result<Vec<u8>, JoseError> {
    let padding = match algorithm {
        "RSA-OAEP" => &OAEP_SHA1_MGF1SHA1,
        "RSA-OAEP-256" => &OAEP_SHA256_MGF1SHA256,
        other => return Err(JoseError::unsupported(other)),
    };
    if key.kty != "RSA" {
        return Err(JoseError::AlgorithmNotForKey);
    }
    let public = PublicKey::from_jwk(key)?;
    let public =
        PublicEncryptingKey::from_der(public.spki()).map_err(|_| JoseError::KeyUnusable("the key cannot encrypt"))?;
    let public = OaepPublicEncryptingKey::new(public).map_err(|_| JoseError::Backend)?;
    let mut wrapped = vec![0; public.ciphertext_size()];
    let length = public.encrypt(padding, secret, &mut wrapped, None).map_err(|_| JoseError::Backend)?.len();
    wrapped.truncate(length);
    Ok(wrapped)
}

/// How the content is encrypted.
#[derive(Clone, Copy)]
enum Content {
    /// Key length in bytes.
    Gcm(usize),
    /// Length of each of the two keys in bytes.
    CbcHmac(usize),
}

struct Sealed {
    iv: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: Vec<u8>,
}

impl Content {
    fn parse(name: &str) -> Result<Self, JoseError> {
        Ok(match name {
            "A128GCM" => Self::Gcm(16),
            "A192GCM" => Self::Gcm(24),
            "A256GCM" => Self::Gcm(32),
            "A128CBC-HS256" => Self::CbcHmac(16),
            "A192CBC-HS384" => Self::CbcHmac(24),
            "A256CBC-HS512" => Self::CbcHmac(32),
            other => return Err(JoseError::unsupported(other)),
        })
    }

    fn key_len(self) -> usize {
        match self {
            Self::Gcm(length) => length,
            Self::CbcHmac(length) => 2 * length,
        }
    }

    fn seal(self, key: &[u8], header: &[u8], clear: &[u8]) -> Result<Sealed, JoseError> {
        match self {
            Self::Gcm(_) => gcm(key, header, clear),
            Self::CbcHmac(half) => cbc_hmac(key, half, header, clear),
        }
        .map_err(|_| JoseError::Backend)
    }
}

fn gcm(key: &[u8], header: &[u8], clear: &[u8]) -> Result<Sealed, aws_lc_rs::error::Unspecified> {
    let algorithm = match key.len() {
        16 => &AES_128_GCM,
        24 => &AES_192_GCM,
        _ => &AES_256_GCM,
    };
    // One key for one message: any nonce will do, a random one is the usual one.
    let mut iv = [0; 12];
    rand::fill(&mut iv)?;
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key)?);
    let mut ciphertext = clear.to_vec();
    let nonce = Nonce::assume_unique_for_key(iv);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(header), &mut ciphertext)?;
    Ok(Sealed { iv: iv.to_vec(), ciphertext, tag: tag.as_ref().to_vec() })
}

/// RFC 7518 section 5.2.2.1: the first half of the key authenticates, the second encrypts.
fn cbc_hmac(key: &[u8], half: usize, header: &[u8], clear: &[u8]) -> Result<Sealed, aws_lc_rs::error::Unspecified> {
    let (mac_key, enc_key) = key.split_at_checked(half).ok_or(aws_lc_rs::error::Unspecified)?;
    let (cipher, hash) = match half {
        16 => (&AES_128, hmac::HMAC_SHA256),
        24 => (&AES_192, hmac::HMAC_SHA384),
        _ => (&AES_256, hmac::HMAC_SHA512),
    };
    let mut iv = [0; 16];
    rand::fill(&mut iv)?;
    let mut ciphertext = clear.to_vec();
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(cipher, enc_key)?)?;
    let _: DecryptionContext =
        key.less_safe_encrypt(&mut ciphertext, EncryptionContext::Iv128(FixedLength::from(iv)))?;
    let bits = u64::try_from(header.len()).unwrap_or(u64::MAX).saturating_mul(8).to_be_bytes();
    let mut context = hmac::Context::with_key(&hmac::Key::new(hash, mac_key));
    for part in [header, &iv, &ciphertext, &bits] {
        context.update(part);
    }
    let tag = context.sign();
    Ok(Sealed { iv: iv.to_vec(), ciphertext, tag: tag.as_ref().get(..half).unwrap_or_default().to_vec() })
}

fn random(length: usize) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    rand::fill(&mut bytes).map_err(|_| JoseError::Backend)?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]
mod tests {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};

    use super::encrypt_token;
    use crate::jose::{Algorithm, SigningKey, b64url_decode, generate_rsa};

    #[test]
    fn the_owner_of_the_key_reads_the_token() {
        let der = generate_rsa(2048).unwrap();
        let jwk = SigningKey::rsa(None, Algorithm::RS256, &der).unwrap().public_jwk().unwrap();
        let jwe = encrypt_token("a.b.c", &jwk, "RSA-OAEP", "A256GCM").unwrap();
        let parts: Vec<&str> = jwe.split('.').collect();
        assert_eq!(parts.len(), 5);
        let private = OaepPrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(&der).unwrap()).unwrap();
        let mut secret = vec![0; private.min_output_size()];
        let wrapped = b64url_decode(parts[1]).unwrap();
        let secret = private.decrypt(&OAEP_SHA1_MGF1SHA1, &wrapped, &mut secret, None).unwrap().to_vec();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &secret).unwrap());
        let nonce = Nonce::try_assume_unique_for_key(&b64url_decode(parts[2]).unwrap()).unwrap();
        let mut sealed = b64url_decode(parts[3]).unwrap();
        sealed.extend(b64url_decode(parts[4]).unwrap());
        let clear = key.open_in_place(nonce, Aad::from(parts[0].as_bytes()), &mut sealed).unwrap();
        assert_eq!(clear, b"a.b.c");
    }

    #[test]
    fn each_encryption_works_and_others_are_refused() {
        let der = generate_rsa(2048).unwrap();
        let jwk = SigningKey::rsa(None, Algorithm::RS256, &der).unwrap().public_jwk().unwrap();
        for name in ["A128GCM", "A192GCM", "A256GCM", "A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512"] {
            assert!(encrypt_token("a", &jwk, "RSA-OAEP-256", name).is_ok(), "{name}");
        }
        for (alg, enc) in [("RSA1_5", "A128GCM"), ("RSA-OAEP", "A128"), ("none", "A128GCM"), ("dir", "A128GCM")] {
            assert!(encrypt_token("a", &jwk, alg, enc).is_err(), "{alg} {enc}");
        }
    }
}
