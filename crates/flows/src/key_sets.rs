//! Key sets of others, by URL: fetched once for many assertions.
//!
//! Whoever knows a client's name can send assertions in its name. What these may cause at the client's own server is
//! bounded: a set that is there is used for minutes, and a key that is not in it makes us look again at most every few
//! seconds, one request at a time.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use grantor_model::Instant;
use grantor_model::jose::JwkSet;

use crate::fetch::Fetch;

/// Seconds that a set is used without looking again.
const FRESH: i64 = 300;

/// Seconds between two looks at a URL, whatever is asked.
const PAUSE: i64 = 10;

/// Seconds that a set is used while its server does not answer.
const STALE: i64 = 3_600;

/// Every client may name a URL; beyond so many, all are forgotten.
const KEPT: usize = 10_000;

type Slot = Arc<tokio::sync::Mutex<Known>>;

/// What is known of one URL.
#[derive(Debug, Default)]
struct Known {
    set: Option<(Arc<JwkSet>, Instant)>,
    tried: Option<Instant>,
}

/// The sets.
#[derive(Debug, Default)]
pub struct KeySets {
    known: std::sync::Mutex<HashMap<String, Slot>>,
}

fn within(since: Instant, seconds: i64, now: Instant) -> bool {
    since.plus_seconds(seconds) > now
}

impl Known {
    fn set(&self, seconds: i64, now: Instant) -> Option<Arc<JwkSet>> {
        self.set.as_ref().filter(|(_, fetched)| within(*fetched, seconds, now)).map(|(set, _)| set.clone())
    }
}

impl KeySets {
    /// The set at a URL, with the key `kid` in it as far as it can be had.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn get(
        &self,
        fetch: &dyn Fetch,
        url: &str,
        kid: Option<&str>,
        now: Instant,
    ) -> Result<Arc<JwkSet>, String> {
        let slot = self.slot(url);
        // Whoever comes while the set is on its way waits for it.
        let mut known = slot.lock().await;
        let has_key = |set: &JwkSet| kid.is_none_or(|kid| set.keys.iter().any(|key| key.kid.as_deref() == Some(kid)));
        if let Some(set) = known.set(FRESH, now).filter(|set| has_key(set)) {
            return Ok(set);
        }
        if known.tried.is_some_and(|tried| within(tried, PAUSE, now)) {
            return known.set(STALE, now).ok_or_else(|| format!("it could not be had {PAUSE} seconds ago at most"));
        }
        known.tried = Some(now);
        let fetched = fetch.get(url).await.and_then(|body| JwkSet::parse(&body).map_err(|error| error.to_string()));
        match fetched {
            Ok(set) => {
                let set = Arc::new(set);
                known.set = Some((set.clone(), now));
                Ok(set)
            }
            Err(reason) => known.set(STALE, now).ok_or(reason),
        }
    }

    fn slot(&self, url: &str) -> Slot {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT && !known.contains_key(url) {
            known.clear();
        }
        known.entry(url.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test fails by panicking")]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::KeySets;
    use crate::fetch::{Boxed, Fetch};
    use grantor_model::Instant;

    /// A server that has one key, until it is gone.
    struct Server {
        asked: AtomicUsize,
        answers: usize,
    }

    impl Fetch for Server {
        fn get<'a>(&'a self, _: &'a str) -> Boxed<'a, Result<Vec<u8>, String>> {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            let set = br#"{"keys":[{"kty":"oct","kid":"one","k":"AAAA"}]}"#.to_vec();
            let answer = if number < self.answers { Ok(set) } else { Err("it is gone".to_owned()) };
            Box::pin(std::future::ready(answer))
        }
    }

    async fn asked(server: &Server, sets: &KeySets, kid: &str, second: i64) -> (bool, usize) {
        let got = sets.get(server, "https://client.example/jwks", Some(kid), Instant::from_seconds(second)).await;
        (got.is_ok(), server.asked.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_known_key_is_asked_for_once_in_minutes() {
        let (server, sets) = (Server { asked: AtomicUsize::new(0), answers: 9 }, KeySets::default());
        for second in 0..299 {
            assert_eq!(asked(&server, &sets, "one", second).await, (true, 1));
        }
        assert_eq!(asked(&server, &sets, "one", 300).await, (true, 2));
    }

    #[tokio::test]
    async fn an_unknown_key_is_looked_for_every_few_seconds() {
        let (server, sets) = (Server { asked: AtomicUsize::new(0), answers: 9 }, KeySets::default());
        for second in 0..10 {
            assert_eq!(asked(&server, &sets, "two", second).await, (true, 1));
        }
        assert_eq!(asked(&server, &sets, "two", 10).await, (true, 2));
    }

    #[tokio::test]
    async fn a_server_that_is_gone_is_asked_seldom_and_its_keys_last_an_hour() {
        let (server, sets) = (Server { asked: AtomicUsize::new(0), answers: 1 }, KeySets::default());
        assert_eq!(asked(&server, &sets, "one", 0).await, (true, 1));
        assert_eq!(asked(&server, &sets, "one", 400).await, (true, 2));
        assert_eq!(asked(&server, &sets, "one", 405).await, (true, 2));
        assert_eq!(asked(&server, &sets, "one", 3_600).await, (false, 3));
        assert_eq!(asked(&server, &sets, "one", 3_605).await, (false, 3));
    }
}
