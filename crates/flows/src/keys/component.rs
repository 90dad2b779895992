//! Reading a key component: Keycloak's providers and their settings.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use grantor_model::Instant;
use grantor_model::jose::{Algorithm, JoseError, Jwk, SigningKey, VerifyingKey, encoded_header, pem_or_base64_der};
use grantor_model::realm::ComponentDocument;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// Signatures.
    Sig,
    /// Encryption.
    Enc,
}

/// A key that signs, with its headers written once.
#[derive(Debug)]
pub struct Signer {
    /// The key.
    pub key: SigningKey,
    /// The encoded header of ordinary tokens (`typ` JWT).
    pub header: String,
    /// The encoded header of access tokens by RFC 9068 (`typ` at+jwt).
    pub access_header: String,
}

/// A key of a realm.
#[derive(Debug)]
pub struct RealmKey {
    /// The row's key.
    pub id: String,
    /// Keycloak's provider, such as `rsa-generated`.
    pub provider: String,
    /// The key id in token headers.
    pub kid: String,
    /// The algorithm's name, also of those that we do not sign with.
    pub algorithm: String,
    /// What it is for.
    pub key_use: KeyUse,
    /// The highest signs.
    pub priority: i64,
    /// A passive key verifies and is published, and does not sign.
    pub active: bool,
    /// A retired key is published until then.
    pub retired_until: Option<Instant>,
    pub(super) signer: Option<Arc<Signer>>,
    pub(super) verifying: Option<VerifyingKey>,
    pub(super) jwk: Option<Jwk>,
}

impl RealmKey {
    /// The public part as SubjectPublicKeyInfo; `None` for HMAC keys.
    pub fn public_spki(&self) -> Option<&[u8]> {
        self.signer.as_ref().and_then(|signer| signer.key.spki_der())
    }

    /// Whether the key is in use, or was retired so lately that its tokens may still be alive.
    pub fn is_current(&self, now: Instant) -> bool {
        self.retired_until.is_none_or(|until| until > now)
    }

    /// Reads a component. `None` for one that is switched off or of a kind that is only kept.
    ///
    /// # Errors
    /// Why the key cannot be used.
    pub(super) fn read(
        id: String,
        component: &ComponentDocument,
        retired_until: Option<Instant>,
    ) -> Result<Option<Self>, String> {
        if !component.switch("enabled") {
            return Ok(None);
        }
        let Some(material) = Material::read(component).map_err(|error| error.to_string())? else { return Ok(None) };
        let Material { key, key_use, algorithm } = material;
        let jwk = key.public_jwk().map(|jwk| published(jwk, component, key_use, &algorithm)).transpose()?;
        let signs = key_use == KeyUse::Sig;
        Ok(Some(Self {
            id,
            provider: component.provider_id.clone(),
            kid: key.kid().to_owned(),
            algorithm,
            key_use,
            priority: component.setting("priority").and_then(|text| text.parse().ok()).unwrap_or(0),
            active: component.switch("active"),
            retired_until,
            verifying: if signs { key.verifying_key().ok() } else { None },
            jwk,
            signer: signs.then(|| {
                let (header, access_header) = (encoded_header(&key, "JWT"), encoded_header(&key, "at+jwt"));
                Arc::new(Signer { key, header, access_header })
            }),
        }))
    }
}

struct Material {
    key: SigningKey,
    key_use: KeyUse,
    algorithm: String,
}

impl Material {
    fn read(component: &ComponentDocument) -> Result<Option<Self>, JoseError> {
        let missing = |_: &str| JoseError::KeyUnusable("a setting of the key is missing");
        let setting = |name: &'static str| component.setting(name).ok_or_else(|| missing(name));
        let kid = component.setting("kid").filter(|kid| !kid.is_empty()).map(str::to_owned);
        let named = |default: &'static str| component.setting("algorithm").unwrap_or(default).to_owned();
        Ok(Some(match component.provider_id.as_str() {
            "rsa" | "rsa-generated" => {
                let name = named("RS256");
                let algorithm = Algorithm::parse(&name).ok_or_else(|| JoseError::unsupported(&name))?;
                let der = pem_or_base64_der(setting("privateKey")?)?;
                Self { key: SigningKey::rsa(kid, algorithm, &der)?, key_use: KeyUse::Sig, algorithm: name }
            }
            // The algorithm of the key object does not matter: it is never used to sign.
            "rsa-enc" | "rsa-enc-generated" => {
                let der = pem_or_base64_der(setting("privateKey")?)?;
                let key = SigningKey::rsa(kid, Algorithm::RS256, &der)?;
                Self { key, key_use: KeyUse::Enc, algorithm: named("RSA-OAEP") }
            }
            "ecdsa-generated" => {
                let algorithm = match component.setting("ecdsaEllipticCurveKey") {
                    Some("P-384") => Algorithm::ES384,
                    Some("P-521") => Algorithm::ES512,
                    _ => Algorithm::ES256,
                };
                let der = pem_or_base64_der(setting("ecdsaPrivateKey")?)?;
                let spki = component.setting("ecdsaPublicKey").map(pem_or_base64_der).transpose()?;
                let key = SigningKey::ec(kid, algorithm, &der, spki.as_ref().map(|spki| spki.as_slice()))?;
                Self { key, key_use: KeyUse::Sig, algorithm: algorithm.name().to_owned() }
            }
            "eddsa-generated" => {
                let der = pem_or_base64_der(setting("eddsaPrivateKey")?)?;
                let spki = component.setting("eddsaPublicKey").map(pem_or_base64_der).transpose()?;
                let key = SigningKey::ed25519(kid, &der, spki.as_ref().map(|spki| spki.as_slice()))?;
                Self { key, key_use: KeyUse::Sig, algorithm: Algorithm::EdDSA.name().to_owned() }
            }
            "hmac-generated" => {
                let name = named("HS256");
                let algorithm = Algorithm::parse(&name).ok_or_else(|| JoseError::unsupported(&name))?;
                let secret = hmac_secret(setting("secret")?)?;
                // RFC 7518 section 3.2: a key as long as the hash, or longer.
                if secret.len() < algorithm.hash_len() {
                    return Err(JoseError::KeyUnusable("the secret is shorter than the algorithm's hash"));
                }
                if is_known(&secret) {
                    return Err(JoseError::KeyUnusable("the secret is one that others know, or no secret at all"));
                }
                let kid = kid.ok_or_else(|| missing("kid"))?;
                Self { key: SigningKey::hmac(kid, algorithm, &secret)?, key_use: KeyUse::Sig, algorithm: name }
            }
            _ => return Ok(None),
        }))
    }
}

/// Secrets that stand in documentation and tutorials, and beginnings of those that programs put there for a start.
const KNOWN: [&str; 8] = [
    "a-string-secret-at-least-256-bits-long",
    "a-valid-string-secret-that-is-at-least-512-bits-long",
    "your-256-bit-secret",
    "your-secret-key",
    "django-insecure-",
    "myjwts3cr3t",
    "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
    "@NcRfUjXn2r5u8x/A?D(G+KbPdSgVkYp",
];

/// Whether anybody could know a secret: it begins like a known one, or repeats so few bytes that it was not drawn.
fn is_known(secret: &[u8]) -> bool {
    const FEWEST_BYTES: usize = 8;
    let text = secret.to_ascii_lowercase();
    let in_text = |known: &&str| text.starts_with(known.to_ascii_lowercase().as_bytes());
    let different: std::collections::BTreeSet<u8> = secret.iter().copied().collect();
    KNOWN.iter().any(in_text) || different.len() < FEWEST_BYTES
}

/// Keycloak writes base64url without padding; files made by hand also have the other alphabet.
fn hmac_secret(text: &str) -> Result<zeroize::Zeroizing<Vec<u8>>, JoseError> {
    let text = text.trim().trim_end_matches('=');
    let bytes = URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD.decode(pad(text)));
    bytes.map(zeroize::Zeroizing::new).map_err(|_| JoseError::KeyUnusable("the secret is not base64"))
}

fn pad(text: &str) -> String {
    let missing = (4 - text.len() % 4) % 4;
    format!("{text}{}", "=".repeat(missing))
}

fn published(jwk: Jwk, component: &ComponentDocument, key_use: KeyUse, algorithm: &str) -> Result<Jwk, String> {
    let mut jwk = Jwk {
        alg: Some(algorithm.to_owned()),
        key_use: Some(if key_use == KeyUse::Sig { "sig" } else { "enc" }.to_owned()),
        key_ops: None,
        ..jwk
    };
    if let Some(certificate) = component.setting("certificate") {
        let der = pem_or_base64_der(certificate).map_err(|error| format!("its certificate: {error}"))?;
        jwk = jwk.with_certificate(&der);
    }
    Ok(jwk)
}

#[cfg(test)]
mod tests {
    use super::is_known;

    #[test]
    fn secrets_of_tutorials_are_no_secrets() {
        for known in
            ["a-string-secret-at-least-256-bits-long", "DJANGO-INSECURE-0123456789-abcdefghijkl", &"ab".repeat(40)]
        {
            assert!(is_known(known.as_bytes()), "{known}");
        }
        assert!(!is_known(b"test-secret-of-login-tokens-0123456789-abcdef"));
    }
}
