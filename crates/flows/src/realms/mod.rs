//! Realms in use, as snapshots that are replaced whole.
//!
//! A token request with a warm snapshot reads nothing from the database. Another process that changes a realm raises
//! a number in the database; [`Realms::refresh`] looks at that number a few times a second and loads anew what
//! changed. A snapshot that nobody asks for is dropped, so that ten thousand realms cost what the active ones cost.

mod load;
mod snapshot;

pub(crate) use snapshot::DEEPEST;
pub use snapshot::{Client, ClientScope, Group, Realm, Role, User};

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;
use grantor_model::{Error, Instant};
use grantor_store::StoreError;
use tokio::sync::Mutex;

use crate::engine::{Engine, store_error};

/// A snapshot unused for so many seconds is dropped.
const UNUSED: i64 = 3_600;

#[derive(Debug)]
struct Entry {
    realm: Arc<Realm>,
    used: AtomicI64,
}

/// The snapshots of the realms in use.
#[derive(Debug, Default)]
pub struct Realms {
    entries: ArcSwap<HashMap<String, Arc<Entry>>>,
    /// Held while loading, so that a crowd at a cold realm loads it once.
    loading: Mutex<()>,
    /// Held while the keys of a new realm are made.
    pub(crate) making_keys: Mutex<()>,
    change: AtomicI64,
    lost: AtomicBool,
}

impl Realms {
    /// No snapshot yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many realms are in memory.
    pub fn len(&self) -> usize {
        self.entries.load().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the database was lost when it was last asked. Nothing is granted meanwhile: what was revoked since
    /// could not be seen.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Puts a snapshot in its place, unless a newer one is there.
    fn insert(&self, realm: Arc<Realm>, now: Instant) {
        let entry = Arc::new(Entry { realm, used: AtomicI64::new(now.seconds()) });
        self.entries.rcu(|old| {
            let mut entries = HashMap::clone(old);
            match entries.get(&entry.realm.name) {
                Some(there) if there.realm.version > entry.realm.version => {}
                _ => drop(entries.insert(entry.realm.name.clone(), entry.clone())),
            }
            entries
        });
    }

    fn remove(&self, name: &str) {
        self.entries.rcu(|old| {
            let mut entries = HashMap::clone(old);
            entries.remove(name);
            entries
        });
    }
}

impl Engine {
    /// A realm by name; `None` when there is none.
    ///
    /// # Errors
    /// When the database is lost.
    pub async fn realm(&self, name: &str, now: Instant) -> Result<Option<Arc<Realm>>, Error> {
        if self.realms.is_lost() {
            return Err(Error::unavailable("the database is lost"));
        }
        if let Some(entry) = self.realms.entries.load().get(name) {
            entry.used.store(now.seconds(), Ordering::Relaxed);
            return Ok(Some(entry.realm.clone()));
        }
        // Boxed, so that requests to a warm realm do not carry its size.
        Box::pin(self.cold_realm(name, now)).await
    }

    /// A realm that is not in memory.
    async fn cold_realm(&self, name: &str, now: Instant) -> Result<Option<Arc<Realm>>, Error> {
        // A name that leads nowhere keeps nobody waiting.
        if self.store.realm_number(name).await.map_err(store_error)?.is_none() {
            return Ok(None);
        }
        let _one_at_a_time = self.realms.loading.lock().await;
        if let Some(entry) = self.realms.entries.load().get(name) {
            return Ok(Some(entry.realm.clone()));
        }
        self.reload(name, now).await
    }

    /// Loads a realm anew, for the caller who just changed it and for everybody after.
    ///
    /// # Errors
    /// When the database is lost, or a sealed value does not open.
    pub async fn reload(&self, name: &str, now: Instant) -> Result<Option<Arc<Realm>>, Error> {
        const TRIES: usize = 10;
        for _ in 0..TRIES {
            let Some(realm) = load::realm(self, name, now).await? else {
                self.realms.remove(name);
                return Ok(None);
            };
            let realm = Arc::new(realm);
            self.realms.insert(realm.clone(), now);
            // From here on a look for changes finds the snapshot. What changed before that shows in the version.
            if self.store.realm_number(name).await.map_err(store_error)? == Some(realm.version) {
                return Ok(Some(realm));
            }
        }
        self.realms.remove(name);
        Err(Error::unavailable(format!("realm {name} changes faster than it can be read")))
    }

    /// Loads a realm anew that is in memory. Another is loaded by the first who asks for it.
    ///
    /// # Errors
    /// As [`Engine::reload`].
    pub async fn reload_known(&self, name: &str, now: Instant) -> Result<(), Error> {
        if self.realms.entries.load().contains_key(name) {
            self.reload(name, now).await?;
        }
        Ok(())
    }

    /// Loads what others changed since the last look, and drops what is not used. A realm that cannot be loaded is
    /// dropped as well: its next request tries again, and until that succeeds nothing is granted in it.
    ///
    /// # Errors
    /// When the database is lost; until a later look succeeds, [`Engine::realm`] refuses.
    pub async fn refresh_realms(&self, now: Instant) -> Result<(), Error> {
        // Reads of a file that was taken away go on for a while; the probe notices.
        let looked = async {
            self.store.database().check().await?;
            let number = self.store.change_number().await?;
            if self.realms.change.load(Ordering::Relaxed) != number || self.realms.is_lost() {
                self.reload_changed(now).await?;
            }
            Ok(number)
        };
        match looked.await {
            Ok(number) => {
                self.realms.change.store(number, Ordering::Relaxed);
                self.realms.lost.store(false, Ordering::Relaxed);
            }
            Err(error) => {
                self.realms.lost.store(true, Ordering::Relaxed);
                return Err(store_error(error));
            }
        }
        let entries = self.realms.entries.load_full();
        for (name, entry) in entries.iter() {
            if now.seconds() - entry.used.load(Ordering::Relaxed) > UNUSED {
                self.realms.remove(name);
            }
        }
        Ok(())
    }

    async fn reload_changed(&self, now: Instant) -> Result<(), StoreError> {
        let versions: HashMap<String, i64> = self.store.realm_versions().await?.into_iter().collect();
        let entries = self.realms.entries.load_full();
        for (name, entry) in entries.iter() {
            match versions.get(name) {
                Some(version) if *version == entry.realm.version => {}
                Some(_) => {
                    if let Err(error) = self.reload(name, now).await {
                        tracing::error!(realm = name, %error, "a changed realm cannot be loaded: it refuses everything");
                        self.realms.remove(name);
                    }
                }
                None => self.realms.remove(name),
            }
        }
        Ok(())
    }
}
