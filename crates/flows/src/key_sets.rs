//! Key sets of others, by URL: fetched once for many assertions.
//!
//! Whoever can send assertions can cause requests to the servers that their issuers name. What that may cost is bounded:
//! a set is used as long as its server says (a minute at least, an hour at most); a key that is not in it makes us look
//! again, one request at a time and seldom. A server that is down, slow or broken refuses nobody whose key was known:
//! the last good set is used for a day, and is remembered over a restart. Each URL stands for itself, so that one
//! broken server keeps only those waiting who ask for its keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use grantor_model::Instant;
use grantor_model::jose::{JwkSet, VerifyingKey};
use grantor_store::Store;
use tokio::sync::OwnedMutexGuard;

use crate::fetch::Fetch;

/// Seconds that a set is used without looking again, unless its server says otherwise.
const FRESH: i64 = 300;

/// What a server may say, in seconds.
const FRESH_BOUNDS: (i64, i64) = (60, 3_600);

/// Seconds between two looks at a URL, whatever is asked.
const PAUSE: i64 = 10;

/// Seconds up to which a set is used while it is fetched anew; an older one is waited for.
const PATIENT: i64 = 3_600;

/// Seconds that a set is used while its server does not answer.
const STALE: i64 = 86_400;

/// Each client and identity provider may name a URL; beyond so many, all are forgotten.
const KEPT: usize = 10_000;

/// A key set, ready for use.
#[derive(Debug)]
pub struct KeySet {
    /// The keys that signatures can be verified with.
    pub keys: Vec<VerifyingKey>,
    fetched: Instant,
    fresh: i64,
}

impl KeySet {
    fn read(body: &[u8], fetched: Instant, max_age: Option<i64>) -> Result<Self, String> {
        let set = JwkSet::parse(body).map_err(|error| error.to_string())?;
        let keys = set.verifying_keys();
        if keys.is_empty() {
            return Err("there is no key in it that verifies signatures".to_owned());
        }
        let (least, most) = FRESH_BOUNDS;
        Ok(Self { keys, fetched, fresh: max_age.map_or(FRESH, |seconds| seconds.clamp(least, most)) })
    }

    fn has(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|kid| self.keys.iter().any(|key| key.kid() == Some(kid)))
    }

    fn is_younger(&self, seconds: i64, now: Instant) -> bool {
        self.fetched.plus_seconds(seconds) > now
    }

    /// Whether it may be used without looking again.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.is_younger(self.fresh, now)
    }
}

/// What is known of one URL.
#[derive(Debug, Default)]
struct Known {
    set: Option<Arc<KeySet>>,
    tried: Option<Instant>,
    /// Whether the store was asked.
    looked_up: bool,
}

#[derive(Debug, Default)]
struct Slot {
    known: Mutex<Known>,
    /// Held by who fetches.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Slot {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) -> Option<Arc<KeySet>> {
        self.known().set.clone()
    }
}

/// The sets.
#[derive(Debug, Default)]
pub struct KeySets {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

impl KeySets {
    /// The set at a URL, with the key `kid` in it as far as it can be had.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn get(
        &self,
        store: Option<&Store>,
        fetch: &Arc<dyn Fetch>,
        url: &str,
        kid: Option<&str>,
        now: Instant,
    ) -> Result<Arc<KeySet>, String> {
        let slot = self.slot(url);
        let with_key = |set: Arc<KeySet>| set.has(kid).then_some(set);
        let known = slot.set().and_then(with_key);
        if let Some(set) = known.as_ref().filter(|set| set.is_fresh(now)) {
            return Ok(set.clone());
        }
        // A key that is known needs nobody to wait for a server.
        if let Some(set) = known.filter(|set| set.is_younger(PATIENT, now)) {
            if let Ok(turn) = slot.turn.clone().try_lock_owned() {
                let (slot, store, fetch, url) = (slot.clone(), store.cloned(), fetch.clone(), url.to_owned());
                tokio::spawn(async move { slot.renewed(turn, store.as_ref(), &fetch, &url, now).await });
            }
            return Ok(set);
        }
        // Whoever comes while the set is on its way waits for it.
        let turn = slot.turn.clone().lock_owned().await;
        slot.look_up(store, url).await;
        if let Some(set) = slot.set().and_then(with_key).filter(|set| set.is_fresh(now)) {
            return Ok(set);
        }
        slot.renewed(turn, store, fetch, url, now).await
    }

    fn slot(&self, url: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(url) {
            return slot.clone();
        }
        if slots.len() >= KEPT {
            slots.clear();
        }
        slots.entry(url.to_owned()).or_default().clone()
    }
}

impl Slot {
    /// Asks the store, once, for what an earlier process fetched.
    async fn look_up(&self, store: Option<&Store>, url: &str) {
        let Some(store) = store else { return };
        if std::mem::replace(&mut self.known().looked_up, true) {
            return;
        }
        match store.kept_key_set(url).await {
            Ok(Some((body, fetched))) => {
                if let Ok(set) = KeySet::read(&body, fetched, None) {
                    self.known().set.get_or_insert_with(|| Arc::new(set));
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the kept key set cannot be read"),
        }
    }

    /// Fetches the set, unless that was tried a moment ago; gives the last good one when it cannot be had.
    async fn renewed(
        &self,
        _turn: OwnedMutexGuard<()>,
        store: Option<&Store>,
        fetch: &Arc<dyn Fetch>,
        url: &str,
        now: Instant,
    ) -> Result<Arc<KeySet>, String> {
        let last = self.set().filter(|set| set.is_younger(STALE, now));
        let tried = self.known().tried;
        if tried.is_some_and(|tried| tried.plus_seconds(PAUSE) > now) {
            return last.ok_or_else(|| format!("it could not be had less than {PAUSE} seconds ago"));
        }
        self.known().tried = Some(now);
        let answer = fetch.get(url).await;
        match answer.and_then(|answer| Ok((KeySet::read(&answer.body, now, answer.max_age)?, answer.body))) {
            Ok((set, body)) => {
                let set = Arc::new(set);
                self.known().set = Some(set.clone());
                if let Some(store) = store
                    && let Err(error) = store.keep_key_set(url, &body, now).await
                {
                    tracing::warn!(%error, "a key set cannot be kept for the next start");
                }
                Ok(set)
            }
            Err(reason) => {
                tracing::warn!(reason, has_last = last.is_some(), "a key set cannot be had");
                last.ok_or(reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test fails by panicking")]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

    use super::KeySets;
    use crate::fetch::{Boxed, Fetch, Fetched};
    use grantor_model::Instant;
    use grantor_store::{Store, connect, migrate};

    const SET: &[u8] = br#"{"keys":[{"kty":"oct","kid":"one","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;

    /// A server that has one key, as long as it is up.
    struct Server {
        asked: AtomicUsize,
        up: AtomicBool,
        max_age: Option<i64>,
    }

    impl Fetch for Server {
        fn get<'a>(&'a self, _: &'a str) -> Boxed<'a, Result<Fetched, String>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let set = Fetched { body: SET.to_vec(), max_age: self.max_age };
            let answer = if self.up.load(Ordering::Relaxed) { Ok(set) } else { Err("it is gone".to_owned()) };
            Box::pin(std::future::ready(answer))
        }

        fn admits<'a>(&'a self, _: &'a str) -> Boxed<'a, Result<(), String>> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    struct World {
        server: Arc<Server>,
        sets: KeySets,
        store: Store,
        folder: std::path::PathBuf,
    }

    impl Drop for World {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    impl World {
        async fn new(max_age: Option<i64>) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let folder = std::env::temp_dir().join(format!("grantor-key-sets-{}-{number}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a folder");
            let database = connect(&format!("sqlite:{}", folder.join("test.db").display())).await.expect("a database");
            migrate(database.as_ref(), 0).await.expect("tables");
            let server = Arc::new(Server { asked: AtomicUsize::new(0), up: AtomicBool::new(true), max_age });
            Self { server, sets: KeySets::default(), store: Store::new(database), folder }
        }

        /// Whether there is a set with the key, and how often the server was asked so far.
        async fn at(&self, second: i64, kid: &str) -> (bool, usize) {
            let fetch: Arc<dyn Fetch> = self.server.clone();
            let now = Instant::from_seconds(second);
            let got = self.sets.get(Some(&self.store), &fetch, "https://p.example/jwks", Some(kid), now).await;
            // What runs behind the answer ends before the next question.
            while self.sets.slot("https://p.example/jwks").turn.try_lock().is_err() {
                tokio::task::yield_now().await;
            }
            (got.is_ok_and(|set| set.has(Some(kid))), self.server.asked.load(Ordering::Relaxed))
        }
    }

    #[tokio::test]
    async fn a_known_key_is_asked_for_once_in_minutes() {
        let world = World::new(None).await;
        for second in 0..299 {
            assert_eq!(world.at(second, "one").await, (true, 1));
        }
        assert_eq!(world.at(300, "one").await, (true, 2));
        assert_eq!(world.at(301, "one").await, (true, 2));
    }

    #[tokio::test]
    async fn a_server_says_how_long_within_bounds() {
        for (said, asks_again_at) in [(0, 60), (120, 120), (1_000_000, 3_600)] {
            let world = World::new(Some(said)).await;
            assert_eq!(world.at(0, "one").await, (true, 1));
            assert_eq!(world.at(asks_again_at - 1, "one").await, (true, 1), "{said}");
            assert_eq!(world.at(asks_again_at, "one").await, (true, 2), "{said}");
        }
    }

    #[tokio::test]
    async fn an_unknown_key_is_looked_for_every_few_seconds() {
        let world = World::new(None).await;
        for second in 0..10 {
            assert_eq!(world.at(second, "two").await, (false, 1));
        }
        assert_eq!(world.at(10, "two").await, (false, 2));
        assert_eq!(world.at(11, "one").await, (true, 2), "nobody else is kept waiting");
    }

    #[tokio::test]
    async fn a_server_that_is_gone_is_asked_seldom_and_its_keys_last_a_day() {
        let mut world = World::new(None).await;
        assert_eq!(world.at(0, "one").await, (true, 1));
        world.server.up.store(false, Ordering::Relaxed);
        assert_eq!(world.at(400, "one").await, (true, 2));
        assert_eq!(world.at(405, "one").await, (true, 2));
        assert_eq!(world.at(80_000, "one").await, (true, 3));
        // Another process begins while the server is still gone.
        world.sets = KeySets::default();
        assert_eq!(world.at(86_000, "one").await, (true, 4));
        assert_eq!(world.at(86_005, "two").await, (false, 4));
        assert_eq!(world.at(86_401, "one").await, (false, 5));
        world.server.up.store(true, Ordering::Relaxed);
        assert_eq!(world.at(86_405, "one").await, (false, 5));
        assert_eq!(world.at(86_411, "one").await, (true, 6));
    }

    #[tokio::test]
    async fn a_restart_asks_nobody_as_long_as_the_set_is_fresh() {
        let mut world = World::new(None).await;
        assert_eq!(world.at(0, "one").await, (true, 1));
        world.sets = KeySets::default();
        assert_eq!(world.at(200, "one").await, (true, 1));
    }
}
