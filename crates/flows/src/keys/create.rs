//! Making keys: the standard set of a realm, and one for an algorithm that a client asks for.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use grantor_model::jose::{
    Algorithm, JoseError, SigningKey, generate_ec, generate_ed25519, generate_hmac, generate_rsa, pem_or_base64_der,
};
use grantor_model::realm::ComponentDocument;
use grantor_model::{Error, Instant};
use grantor_store::keys::KeyRow;
use grantor_store::{StoreError, keys as table, realms};
use rcgen::PKCS_RSA_SHA256;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use crate::engine::{Engine, store_error};
use crate::realms::Realm;
use crate::vault::Vault;

/// Where the private part of a key is sealed.
pub(crate) fn place(id: &str) -> String {
    format!("realm_keys/{id}")
}

/// A key as it is stored.
///
/// # Errors
/// When the vault cannot seal.
pub fn sealed_row(vault: &Vault, realm_id: &str, id: String, component: &ComponentDocument) -> Result<KeyRow, Error> {
    let clear =
        zeroize::Zeroizing::new(serde_json::to_vec(component).map_err(|error| Error::internal(error.to_string()))?);
    let material = vault.seal(&place(&id), &clear)?;
    Ok(KeyRow { id, realm_id: realm_id.to_owned(), material, published_until: None })
}

/// The keys of a new realm that cost nothing to make: HS512 and AES. The RSA keys follow when somebody needs them
/// ([`Engine::with_standard_keys`]): one takes as long as three hundred signatures.
///
/// # Errors
/// When a key cannot be made.
pub(crate) fn quick(kids: [String; 2]) -> Result<Vec<ComponentDocument>, Error> {
    let [hmac_kid, aes_kid] = kids;
    let hmac = hmac_component("hmac-generated-hs512", Algorithm::HS512, hmac_kid, "100")?;
    let aes = ComponentDocument {
        name: Some("aes-generated".to_owned()),
        provider_id: "aes-generated".to_owned(),
        config: config([
            ("priority", "100".to_owned()),
            ("kid", aes_kid),
            ("secret", URL_SAFE_NO_PAD.encode(generate_hmac(32).map_err(unmade)?)),
        ]),
        ..ComponentDocument::default()
    };
    Ok(vec![hmac, aes])
}

/// A new key for an algorithm.
///
/// # Errors
/// When it cannot be made.
pub fn generated(
    realm: &str,
    now: Instant,
    algorithm: Algorithm,
    kid: String,
    name: &str,
    priority: i64,
) -> Result<ComponentDocument, Error> {
    let priority = priority.to_string();
    let mut component = if algorithm.is_hmac() {
        hmac_component(name, algorithm, kid, &priority)?
    } else if algorithm.is_rsa() {
        rsa_component(realm, now, "rsa-generated", algorithm.name(), &priority)?
    } else {
        curve_component(algorithm, &priority)?
    };
    component.name = Some(name.to_owned());
    Ok(component)
}

fn rsa_component(
    realm: &str,
    now: Instant,
    provider: &str,
    algorithm: &str,
    priority: &str,
) -> Result<ComponentDocument, Error> {
    rsa_component_of(&generate_rsa(2048).map_err(unmade)?, realm, now, provider, algorithm, priority)
}

/// The component of an RSA key, with a certificate.
pub(super) fn rsa_component_of(
    der: &[u8],
    realm: &str,
    now: Instant,
    provider: &str,
    algorithm: &str,
    priority: &str,
) -> Result<ComponentDocument, Error> {
    let private = STANDARD.encode(der);
    let certificate = certificate(realm, now, &private)?;
    Ok(ComponentDocument {
        name: Some(provider.to_owned()),
        provider_id: provider.to_owned(),
        config: config([
            ("priority", priority.to_owned()),
            ("keyUse", if provider.contains("enc") { "ENC" } else { "SIG" }.to_owned()),
            ("algorithm", algorithm.to_owned()),
            ("keySize", "2048".to_owned()),
            ("privateKey", private),
            ("certificate", certificate),
        ]),
        ..ComponentDocument::default()
    })
}

fn hmac_component(name: &str, algorithm: Algorithm, kid: String, priority: &str) -> Result<ComponentDocument, Error> {
    Ok(ComponentDocument {
        name: Some(name.to_owned()),
        provider_id: "hmac-generated".to_owned(),
        config: config([
            ("priority", priority.to_owned()),
            ("algorithm", algorithm.name().to_owned()),
            ("kid", kid),
            ("secret", URL_SAFE_NO_PAD.encode(generate_hmac(128).map_err(unmade)?)),
        ]),
        ..ComponentDocument::default()
    })
}

fn curve_component(algorithm: Algorithm, priority: &str) -> Result<ComponentDocument, Error> {
    let (provider, prefix, curve, private) = match algorithm {
        Algorithm::EdDSA => ("eddsa-generated", "eddsa", "Ed25519", generate_ed25519()),
        Algorithm::ES384 => ("ecdsa-generated", "ecdsa", "P-384", generate_ec(algorithm)),
        Algorithm::ES512 => ("ecdsa-generated", "ecdsa", "P-521", generate_ec(algorithm)),
        _ => ("ecdsa-generated", "ecdsa", "P-256", generate_ec(Algorithm::ES256)),
    };
    let private = private.map_err(unmade)?;
    let key = match algorithm {
        Algorithm::EdDSA => SigningKey::ed25519(None, &private, None),
        _ => SigningKey::ec(None, algorithm, &private, None),
    };
    let spki = key.map_err(unmade)?.spki_der().map(|spki| STANDARD.encode(spki)).unwrap_or_default();
    let mut config = config([("priority", priority.to_owned())]);
    config.insert(format!("{prefix}EllipticCurveKey"), vec![curve.to_owned()]);
    config.insert(format!("{prefix}PrivateKey"), vec![STANDARD.encode(private)]);
    config.insert(format!("{prefix}PublicKey"), vec![spki]);
    Ok(ComponentDocument { provider_id: provider.to_owned(), config, ..ComponentDocument::default() })
}

/// Adds a certificate to an imported RSA key that came without one, as Keycloak does.
///
/// # Errors
/// When the private key cannot be read.
pub(crate) fn complete(component: &mut ComponentDocument, realm: &str, now: Instant) -> Result<(), Error> {
    let is_rsa = matches!(component.provider_id.as_str(), "rsa" | "rsa-generated" | "rsa-enc" | "rsa-enc-generated");
    if is_rsa
        && component.setting("certificate").is_none_or(str::is_empty)
        && let Some(private) = component.setting("privateKey")
    {
        let certificate = certificate(realm, now, private)?;
        component.config.insert("certificate".to_owned(), vec![certificate]);
    }
    Ok(())
}

/// A certificate of ten years, signed by the key itself, that names the realm.
fn certificate(realm: &str, now: Instant, private: &str) -> Result<String, Error> {
    const TEN_YEARS: i64 = 3_652 * 86_400;
    let der = pem_or_base64_der(private).map_err(unmade)?;
    let private = rcgen_key(&der)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, realm);
    params.not_before = moment(now)?;
    params.not_after = moment(now.plus_seconds(TEN_YEARS))?;
    let certificate = params.self_signed(&private).map_err(|error| Error::internal(error.to_string()))?;
    Ok(STANDARD.encode(certificate.der()))
}

fn rcgen_key(der: &[u8]) -> Result<KeyPair, Error> {
    let pkcs8 = rustls_pki_types::PrivatePkcs8KeyDer::from(der).into();
    let pkcs1 = rustls_pki_types::PrivatePkcs1KeyDer::from(der).into();
    KeyPair::from_der_and_sign_algo(&pkcs8, &PKCS_RSA_SHA256)
        .or_else(|_| KeyPair::from_der_and_sign_algo(&pkcs1, &PKCS_RSA_SHA256))
        .map_err(|error| Error::internal(format!("an RSA key cannot be read: {error}")))
}

fn moment(now: Instant) -> Result<time::OffsetDateTime, Error> {
    time::OffsetDateTime::from_unix_timestamp(now.seconds()).map_err(|error| Error::internal(error.to_string()))
}

fn config<const N: usize>(settings: [(&str, String); N]) -> BTreeMap<String, Vec<String>> {
    settings.into_iter().map(|(name, value)| (name.to_owned(), vec![value])).collect()
}

pub(super) fn unmade(error: JoseError) -> Error {
    Error::internal(format!("a key cannot be made: {error}"))
}

impl Engine {
    /// Makes the key that a client's algorithm needs and the realm lacks, as Keycloak does: `fallback-<ALG>` with
    /// priority -100. Two callers at once make one key: the row's key is the realm's and the algorithm's.
    ///
    /// # Errors
    /// When the key cannot be made or stored.
    pub async fn add_fallback_key(
        &self,
        realm: &Realm,
        algorithm: Algorithm,
        now: Instant,
    ) -> Result<Option<std::sync::Arc<Realm>>, Error> {
        let (name, kid) = (realm.name.clone(), self.entropy.uuid(now)?);
        let made = tokio::task::spawn_blocking(move || {
            generated(&name, now, algorithm, kid, &format!("fallback-{}", algorithm.name()), -100)
        });
        let component = made.await.map_err(|error| Error::internal(error.to_string()))??;
        let id = format!("{}-{}", realm.id, algorithm.name());
        let mut statements = vec![table::insert(&sealed_row(&self.vault, &realm.id, id, &component)?)];
        statements.extend(realms::changed(&realm.id));
        match self.store.apply(statements).await {
            Ok(()) | Err(StoreError::Duplicate) => self.reload(&realm.name, now).await,
            Err(error) => Err(store_error(error)),
        }
    }
}
