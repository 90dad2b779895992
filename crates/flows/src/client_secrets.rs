//! The live secrets of clients: the one it has, and the one before while that is kept beside it. Which of them is
//! used, and when last, is counted in memory and written now and then, so that nobody has to guess whether the old one
//! is still somewhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use grantor_model::jose::{constant_time_eq, sha256};
use grantor_model::realm::ClientDocument;
use grantor_model::{Instant, Secret};
use grantor_store::client_secrets::SecretUse;
use grantor_store::{Store, StoreError};

use crate::admin::clients::ClientSecrets;

/// Keycloak's names of what it notes about secrets, in seconds since the epoch.
pub mod attribute {
    /// When the secret was made.
    pub const CREATED: &str = "client.secret.creation.time";
    /// The secret before; sealed.
    pub const OLD: &str = "client.secret.rotated";
    /// When that was made.
    pub const OLD_CREATED: &str = "client.secret.rotated.creation.time";
    /// Until when it is good. Without this it is dead, as Keycloak has it.
    pub const OLD_UNTIL: &str = "client.secret.rotated.expiration.time";
}

/// So many uses are written together.
const AT_ONCE: usize = 256;

/// A secret that a client may show.
#[derive(Debug)]
pub struct LiveSecret {
    digest: [u8; 32],
    /// The secret itself, only where assertions are signed with it (`client_secret_jwt`).
    clear: Option<Secret>,
    /// Seconds since the epoch.
    until: Option<i64>,
    uses: Arc<Uses>,
}

/// How often a secret was used since that was written last.
#[derive(Debug)]
pub struct Uses {
    client: String,
    last: AtomicI64,
    number: AtomicI64,
}

impl LiveSecret {
    fn is_live(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now.seconds() < until)
    }
}

/// Whether one of the secrets was shown; the one that was is counted. All of them are compared, so that time tells
/// nothing.
pub(crate) fn shown(secrets: &[LiveSecret], presented: &str, now: Instant) -> bool {
    let digest = sha256(presented.as_bytes());
    let mut found = None;
    for secret in secrets {
        if constant_time_eq(&digest, &secret.digest) && secret.is_live(now) {
            found = Some(secret);
        }
    }
    if let Some(secret) = found {
        secret.uses.note(now);
    }
    found.is_some()
}

/// Whether one of the secrets signed something, as `signed` tells; the one that did is counted.
pub(crate) fn signed_by(secrets: &[LiveSecret], now: Instant, signed: impl Fn(&[u8]) -> bool) -> bool {
    let made = |secret: &&LiveSecret| {
        secret.is_live(now) && secret.clear.as_ref().is_some_and(|clear| signed(clear.expose().as_bytes()))
    };
    let found = secrets.iter().find(made);
    if let Some(secret) = found {
        secret.uses.note(now);
    }
    found.is_some()
}

impl Uses {
    fn note(&self, now: Instant) {
        self.last.fetch_max(now.millis(), Ordering::Relaxed);
        self.number.fetch_add(1, Ordering::Relaxed);
    }
}

/// The counts of all secrets in use, by the secret's id.
#[derive(Debug, Default)]
pub struct SecretUses {
    known: Mutex<HashMap<String, Arc<Uses>>>,
}

/// The ids under which the secrets of a client are counted; those that came with a file have none of their own.
pub fn ids(client: &str, secrets: &ClientSecrets) -> (String, String) {
    let own = |id: &Option<String>, otherwise: String| id.clone().unwrap_or(otherwise);
    (own(&secrets.id, client.to_owned()), own(&secrets.old_id, format!("{client}:old")))
}

impl SecretUses {
    fn of(&self, id: &str, client: &str) -> Arc<Uses> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Uses { client: client.to_owned(), last: AtomicI64::new(0), number: AtomicI64::new(0) };
        known.entry(id.to_owned()).or_insert_with(|| Arc::new(new())).clone()
    }

    /// The live secrets of a client, as it is loaded.
    pub(crate) fn live(&self, client: &str, document: &ClientDocument, secrets: &ClientSecrets) -> Vec<LiveSecret> {
        let (id, old_id) = ids(client, secrets);
        let signs = document.client_authenticator_type == "client-secret-jwt";
        let live = |secret: &str, until: Option<i64>, id: &str| LiveSecret {
            digest: sha256(secret.as_bytes()),
            clear: signs.then(|| Secret::new(secret)),
            until,
            uses: self.of(id, client),
        };
        let current = secrets.secret.as_deref().filter(|secret| !secret.is_empty());
        let mut all: Vec<LiveSecret> = current.map(|secret| live(secret, None, &id)).into_iter().collect();
        if let (Some(old), Some(until)) = (secrets.old(), document.seconds(attribute::OLD_UNTIL)) {
            all.push(live(old, Some(until), &old_id));
        }
        all
    }

    /// Writes what was counted. The server calls this every few seconds and once at the end.
    ///
    /// # Errors
    /// When the database cannot be written; what was counted is counted on then.
    pub async fn flush(&self, store: &Store) -> Result<(), StoreError> {
        let counted: Vec<(String, Arc<Uses>, SecretUse)> = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let counted = known.iter().filter_map(|(id, uses)| {
                let number = uses.number.swap(0, Ordering::Relaxed);
                let used = Instant::from_millis(uses.last.load(Ordering::Relaxed));
                let row = SecretUse { id: id.clone(), client_id: uses.client.clone(), used, uses: number };
                (number > 0).then(|| (id.clone(), uses.clone(), row))
            });
            let counted: Vec<_> = counted.collect();
            // Secrets that no realm in memory has any more.
            known.retain(|_, uses| Arc::strong_count(uses) > 1);
            counted
        };
        for (at, some) in counted.chunks(AT_ONCE).enumerate() {
            let rows: Vec<&SecretUse> = some.iter().map(|(_, _, row)| row).collect();
            if let Err(error) = store.add_secret_uses(&rows).await {
                for (_, uses, row) in counted.iter().skip(at * AT_ONCE) {
                    uses.number.fetch_add(row.uses, Ordering::Relaxed);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}
