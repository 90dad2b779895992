//! The RSA keys of a realm that was made here: one to sign with, one to encrypt to.
//!
//! They are made when the realm is first used. Two are begun at once: the first that is found signs, so that the first
//! token waits for the luckier of the two, and the other one becomes the encryption key.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grantor_model::jose::{JoseError, generate_rsa};
use grantor_model::{Error, Instant};
use grantor_store::{Store, StoreError, keys as table, realms};
use tokio::task::{JoinHandle, spawn_blocking};
use zeroize::Zeroizing;

use super::create::{rsa_component_of, sealed_row, unmade};
use super::{KeyRing, KeyUse};
use crate::engine::{Engine, store_error};
use crate::realms::Realm;
use crate::vault::Vault;

type Making = JoinHandle<Result<Zeroizing<Vec<u8>>, JoseError>>;

/// RSA keys that were begun before a realm asked for them.
#[derive(Debug, Default)]
pub struct Ahead {
    begun: Mutex<Vec<Making>>,
}

impl Ahead {
    fn lock(&self) -> MutexGuard<'_, Vec<Making>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the two keys of a realm.
    pub(crate) fn begin(&self) {
        self.lock().extend([begun(), begun()]);
    }

    /// A key that was begun, now or before.
    fn take(&self) -> Making {
        self.lock().pop().unwrap_or_else(begun)
    }
}

fn begun() -> Making {
    spawn_blocking(|| generate_rsa(2048))
}

fn signing_id(realm_id: &str) -> String {
    format!("{realm_id}-rsa")
}

impl KeyRing {
    /// Whether there is nothing that outsiders could verify: the keys of a new realm are still to be made.
    pub(crate) fn lacks_signature(&self) -> bool {
        !self.iter().any(|key| key.key_use == KeyUse::Sig && key.jwk.is_some())
    }

    fn lacks_encryption(&self, realm_id: &str) -> bool {
        let made_here = self.iter().any(|key| key.id == signing_id(realm_id));
        made_here && !self.iter().any(|key| key.key_use == KeyUse::Enc)
    }
}

impl Engine {
    /// The realm with its signing key, and with `all` its encryption key as well; missing ones are made.
    ///
    /// # Errors
    /// When a key cannot be made or stored.
    pub async fn with_standard_keys(&self, realm: &Arc<Realm>, all: bool, now: Instant) -> Result<Arc<Realm>, Error> {
        let complete = |realm: &Realm| !(realm.keys.lacks_signature() || all && realm.keys.lacks_encryption(&realm.id));
        if complete(realm) {
            return Ok(realm.clone());
        }
        // One at a time: a crowd at a new realm must not make a crowd of keys.
        let _making = self.realms.making_keys.lock().await;
        let gone = || Error::internal("the realm went away");
        let mut realm = self.reload(&realm.name, now).await?.ok_or_else(gone)?;
        if complete(&realm) {
            return Ok(realm);
        }
        let mut keys: [Making; 2] = [self.keys_ahead.take(), self.keys_ahead.take()];
        if realm.keys.lacks_signature() {
            let [first, second] = &mut keys;
            let (der, rest) = tokio::select! {
                der = first => (joined(der)?, 1),
                der = second => (joined(der)?, 0),
            };
            let part = Part { realm_id: realm.id.clone(), realm: realm.name.clone(), now };
            part.store(&self.store, &self.vault, &der, KeyUse::Sig).await?;
            // A row of that id whose key cannot be used would have the keys made over and over again.
            let stored = self.reload(&realm.name, now).await?.ok_or_else(gone)?;
            if stored.keys.lacks_signature() {
                part.store_as(&self.store, &self.vault, &der, KeyUse::Sig, self.entropy.uuid(now)?).await?;
            }
            keys.swap(0, rest);
        }
        let [next, _] = keys;
        let part = Part { realm_id: realm.id.clone(), realm: realm.name.clone(), now };
        let (store, vault) = (self.store.clone(), self.vault.clone());
        let finishing = tokio::spawn(async move {
            let der = joined(next.await)?;
            part.store(&store, &vault, &der, KeyUse::Enc).await
        });
        if all {
            finishing.await.map_err(|error| Error::internal(error.to_string()))??;
        }
        realm = self.reload(&realm.name, now).await?.ok_or_else(gone)?;
        Ok(realm)
    }
}

fn joined(
    made: Result<Result<Zeroizing<Vec<u8>>, JoseError>, tokio::task::JoinError>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    made.map_err(|error| Error::internal(error.to_string()))?.map_err(unmade)
}

/// Which realm a key is for.
struct Part {
    realm_id: String,
    realm: String,
    now: Instant,
}

impl Part {
    /// Stores a key. Another node may have stored one first; then that one holds.
    async fn store(&self, store: &Store, vault: &Vault, der: &[u8], key_use: KeyUse) -> Result<(), Error> {
        let id = match key_use {
            KeyUse::Sig => signing_id(&self.realm_id),
            KeyUse::Enc => format!("{}-rsa-enc", self.realm_id),
        };
        self.store_as(store, vault, der, key_use, id).await
    }

    async fn store_as(
        &self,
        store: &Store,
        vault: &Vault,
        der: &[u8],
        key_use: KeyUse,
        id: String,
    ) -> Result<(), Error> {
        let (provider, algorithm) = match key_use {
            KeyUse::Sig => ("rsa-generated", "RS256"),
            KeyUse::Enc => ("rsa-enc-generated", "RSA-OAEP"),
        };
        let component = rsa_component_of(der, &self.realm, self.now, provider, algorithm, "100")?;
        let mut statements = vec![table::insert(&sealed_row(vault, &self.realm_id, id, &component)?)];
        statements.extend(realms::changed(&self.realm_id));
        match store.apply(statements).await {
            Ok(()) | Err(StoreError::Duplicate | StoreError::Orphan) => Ok(()),
            Err(error) => Err(store_error(error)),
        }
    }
}
