//! Where calls go: the addresses of an API, in turns, without those that are down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};

use grantor_model::Instant;
use grantor_model::api::ApiDocument;
use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

/// Milliseconds for which an address that could not be reached is left out, doubled each time up to the longest.
const FIRST_PAUSE: i64 = 500;
const LONGEST_PAUSE: i64 = 10_000;

/// The addresses of an API.
#[derive(Debug)]
pub struct Upstreams {
    all: Vec<Upstream>,
    turn: AtomicUsize,
    written: Vec<String>,
    /// A path that answers 2xx when an address is well.
    pub health: Option<String>,
}

/// An address.
#[derive(Debug)]
pub struct Upstream {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and port.
    pub authority: Authority,
    /// Whether HTTP/2 is spoken without TLS.
    pub prior_knowledge: bool,
    /// What its paths begin with; empty for the root.
    pub prefix: String,
    ill: AtomicBool,
    failures: AtomicU32,
    /// Milliseconds until which it is left out.
    out_until: AtomicI64,
}

impl Upstreams {
    /// The addresses as written; what was known of the same ones is kept.
    pub(crate) fn of(document: &ApiDocument, before: Option<&Arc<Self>>) -> Result<Arc<Self>, String> {
        if let Some(same) =
            before.filter(|before| before.written == document.upstreams && before.health == document.health)
        {
            return Ok(same.clone());
        }
        if document.upstreams.is_empty() {
            return Err("it has no upstream".to_owned());
        }
        if let Some(health) = document.health.as_ref().filter(|health| !health.starts_with('/')) {
            return Err(format!("health {health:?}: a path begins with a slash"));
        }
        let all = document.upstreams.iter().map(|url| Upstream::read(url)).collect::<Result<_, _>>()?;
        let written = document.upstreams.clone();
        Ok(Arc::new(Self { all, turn: AtomicUsize::new(0), written, health: document.health.clone() }))
    }

    /// Whose turn it is, without those that are down; when all are, whoever is next.
    pub fn next(&self, now: Instant) -> Option<&Upstream> {
        if let [only] = self.all.as_slice() {
            return Some(only);
        }
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = |step: usize| self.all.get(first.wrapping_add(step) % self.all.len().max(1));
        (0..self.all.len()).filter_map(in_turn).find(|one| one.is_up(now)).or_else(|| in_turn(0))
    }

    /// All addresses.
    pub fn iter(&self) -> impl Iterator<Item = &Upstream> {
        self.all.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

impl Upstream {
    fn read(url: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("upstream {url:?}: {why}");
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("it begins with http://, https:// or h2c://"))?;
        let (scheme, prior_knowledge) = match scheme {
            "http" => (Scheme::HTTP, false),
            "https" => (Scheme::HTTPS, false),
            "h2c" => (Scheme::HTTP, true),
            _ => return Err(bad("it begins with http://, https:// or h2c://")),
        };
        let uri: Uri = format!("http://{rest}").parse().map_err(|_| bad("it cannot be read"))?;
        let authority = uri.authority().cloned().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(bad("a host, and no user name or password"));
        }
        if uri.query().is_some() || rest.contains('#') {
            return Err(bad("no query and no fragment"));
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        if !prefix.is_empty() && crate::path::oddity(&prefix).is_some() {
            return Err(bad("its path can be read in two ways"));
        }
        Ok(Self {
            scheme,
            authority,
            prior_knowledge,
            prefix,
            ill: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            out_until: AtomicI64::new(0),
        })
    }

    /// The URI of a path there. Costs no copy where nothing has to be put before it.
    pub fn uri(&self, path: &PathAndQuery) -> Option<Uri> {
        let path = match self.prefix.as_str() {
            "" => path.clone(),
            prefix => format!("{prefix}{path}").parse().ok()?,
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).ok()
    }

    /// Whether it answered when it was last asked.
    pub fn is_up(&self, now: Instant) -> bool {
        !self.ill.load(Ordering::Relaxed) && self.out_until.load(Ordering::Relaxed) <= now.millis()
    }

    /// Notes what a look at its health said.
    pub fn looked(&self, is_well: bool) {
        self.ill.store(!is_well, Ordering::Relaxed);
    }

    /// Notes that it could not be reached.
    pub fn failed(&self, now: Instant) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << failures).min(LONGEST_PAUSE);
        self.out_until.store(now.millis().saturating_add(pause), Ordering::Relaxed);
    }

    /// Notes that it answered.
    pub fn answered(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.out_until.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use grantor_model::Instant;
    use grantor_model::api::ApiDocument;

    use super::{Upstream, Upstreams};

    #[test]
    fn they_take_turns_and_the_dead_are_left_out() {
        let upstreams = ["http://a", "http://b", "http://c/x/"].map(str::to_owned).to_vec();
        let document = ApiDocument { upstreams, ..ApiDocument::default() };
        let all = Upstreams::of(&document, None).expect("addresses");
        let now = Instant::from_seconds(1);
        let turn = |now| all.next(now).expect("one").authority.to_string();
        assert_eq!([turn(now), turn(now), turn(now), turn(now)], ["a", "b", "c", "a"]);
        all.iter().nth(1).expect("b").failed(now);
        assert_eq!([turn(now), turn(now), turn(now)], ["c", "c", "a"]);
        let later = Instant::from_millis(1_500);
        assert_eq!(turn(later), "b");
        all.iter().for_each(|one| one.looked(false));
        assert_eq!(turn(later), "c");
    }

    #[test]
    fn a_path_is_put_before_theirs() {
        let uri = |base: &str, path: &str| {
            let uri = Upstream::read(base).expect("an address").uri(&path.parse().expect("a path"));
            uri.expect("a URI").to_string()
        };
        assert_eq!(uri("http://a:1", "/x?y=z"), "http://a:1/x?y=z");
        assert_eq!(uri("https://a/b/", "/x"), "https://a/b/x");
        assert_eq!(uri("h2c://a", "/"), "http://a/");
    }
}
