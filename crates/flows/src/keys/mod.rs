//! The keys of a realm: which signs, which verifies, which is published.
//!
//! Keys are Keycloak's key components, kept whole and sealed. The highest priority among the active keys of an
//! algorithm signs; passive and retired keys still verify and stay in the key set; HMAC and AES keys are never
//! published. `kid` is the component's, or base64url(SHA-256(SubjectPublicKeyInfo)) as Keycloak computes it.

mod component;
mod create;
mod rotate;
mod standard;

pub use component::{KeyUse, RealmKey, Signer};
pub(crate) use create::quick;
pub(crate) use create::{complete, place};
pub use create::{generated, sealed_row};
pub use rotate::Rotated;
pub use standard::Ahead;

use grantor_model::jose::{Algorithm, Jwk, VerifyingKey};
use grantor_model::realm::ComponentDocument;
use grantor_model::{Error, Instant};
use grantor_store::keys::KeyRow;

use crate::engine::Engine;

/// The algorithm of refresh tokens and other tokens that only this server reads.
pub const INTERNAL: Algorithm = Algorithm::HS512;

/// The keys of a realm, best first.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: Vec<RealmKey>,
}

impl KeyRing {
    /// Opens the stored keys. A key that cannot be used is left out and logged: one bad import must not stop a realm.
    pub(crate) fn load(engine: &Engine, realm_id: &str, rows: Vec<KeyRow>) -> Result<Self, Error> {
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            let clear = engine.vault.open(&create::place(&row.id), &row.material)?;
            let component: ComponentDocument = serde_json::from_slice(&clear)
                .map_err(|error| Error::internal(format!("key {} cannot be read: {error}", row.id)))?;
            match RealmKey::read(row.id.clone(), &component, row.published_until) {
                Ok(Some(key)) => keys.push(key),
                Ok(None) => {}
                Err(reason) => tracing::warn!(realm = realm_id, key = row.id, reason, "a key cannot be used"),
            }
        }
        keys.sort_by_key(|key| (key.retired_until.is_some(), std::cmp::Reverse(key.priority)));
        Ok(Self { keys })
    }

    /// The key that signs with an algorithm.
    pub fn signer(&self, algorithm: Algorithm) -> Option<&Signer> {
        let signs = |key: &&RealmKey| key.active && key.retired_until.is_none();
        self.keys
            .iter()
            .filter(signs)
            .filter_map(|key| key.signer.as_deref())
            .find(|signer| signer.key.algorithm() == algorithm)
    }

    /// The key that a token's header names, if it may be used with the token's algorithm and is not past its time.
    pub fn verifier(&self, kid: Option<&str>, algorithm: Algorithm, now: Instant) -> Option<&VerifyingKey> {
        let named =
            |key: &&RealmKey| key.key_use == KeyUse::Sig && key.is_current(now) && kid.is_none_or(|kid| kid == key.kid);
        self.keys.iter().filter(named).filter_map(|key| key.verifying.as_ref()).find(|key| key.fits(algorithm))
    }

    /// The keys that are published at `now`.
    pub fn published(&self, now: Instant) -> impl Iterator<Item = &Jwk> {
        self.keys.iter().filter(move |key| key.is_current(now)).filter_map(|key| key.jwk.as_ref())
    }

    /// All keys, best first.
    pub fn iter(&self) -> impl Iterator<Item = &RealmKey> {
        self.keys.iter()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{KeyRing, RealmKey, generated};
    use grantor_model::Instant;
    use grantor_model::jose::Algorithm;

    #[test]
    fn a_key_past_its_time_verifies_nothing() {
        let (made, until) = (Instant::from_seconds(1_000), Instant::from_seconds(2_000));
        let component = generated("r", made, Algorithm::ES256, "one".to_owned(), "es256", 100).unwrap();
        let key = RealmKey::read("id".to_owned(), &component, Some(until)).unwrap().unwrap();
        let ring = KeyRing { keys: vec![key] };
        let kid = ring.iter().next().unwrap().kid.clone();
        let verifies = |second| ring.verifier(Some(&kid), Algorithm::ES256, Instant::from_seconds(second)).is_some();
        assert!(verifies(1_999));
        assert!(!verifies(2_000));
        assert_eq!(ring.published(until).count(), 0);
    }
}
