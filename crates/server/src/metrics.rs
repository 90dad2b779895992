//! What is counted, in Prometheus' text format. Labels are names from tables of ours, never text from a request.

use std::time::Duration;

use grantor_flows::Engine;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// A request by the row of the URL table that it matched.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ByRoute {
    /// The path as the table writes it, or `unmatched`.
    pub route: &'static str,
    /// The status.
    pub status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

/// A call by its API.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ByApi {
    /// The API, or `none`.
    pub api: String,
    /// The status.
    pub status: u16,
}

/// A token request by its grant.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ByGrant {
    /// The grant, or `none`.
    pub grant: &'static str,
    /// `ok`, or the OAuth error code.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByAlgorithm {
    algorithm: &'static str,
}

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<ByRoute, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    calls: Family<ByApi, Counter>,
    call_seconds: Histogram,
    tokens: Family<ByGrant, Counter>,
    signatures: Family<ByAlgorithm, Gauge>,
    hashes_waiting: Gauge,
    hashes: Gauge,
    realms_loaded: Gauge,
    revocations: Gauge,
    database_up: Gauge,
    commits: Gauge,
    batches: Gauge,
}

fn latencies() -> Histogram {
    Histogram::new([0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("grantor");
        let requests = Family::default();
        let seconds: Family<Route, Histogram, fn() -> Histogram> = Family::new_with_constructor(latencies);
        let tokens = Family::default();
        let (calls, call_seconds) = (Family::default(), latencies());
        let signatures = Family::default();
        let [hashes_waiting, hashes, realms_loaded, revocations, database_up, commits, batches] =
            std::array::from_fn(|_| Gauge::default());
        registry.register("http_requests", "Requests by route and status", Family::clone(&requests));
        registry.register("http_request_seconds", "Seconds until the answer", seconds.clone());
        registry.register("gateway_calls", "Calls by API and status", Family::clone(&calls));
        registry.register("gateway_call_seconds", "Seconds until the answer began", call_seconds.clone());
        registry.register("token_requests", "Token requests by grant and outcome", Family::clone(&tokens));
        registry.register("signatures", "Tokens signed since the start, by algorithm", Family::clone(&signatures));
        registry.register("password_hashes_waiting", "Password hashes that wait for a worker", hashes_waiting.clone());
        registry.register("password_hashes_computed", "Password hashes computed since the start", hashes.clone());
        registry.register("realms_loaded", "Realms whose snapshot is in memory", realms_loaded.clone());
        registry.register(
            "gateway_revocation_position",
            "The last revocation that the gateway has applied",
            revocations.clone(),
        );
        registry.register("database_up", "1 while the database answers", database_up.clone());
        registry.register("database_commits", "Commits since the start", commits.clone());
        registry.register("database_batches", "Batches that these commits held", batches.clone());
        Self {
            registry,
            requests,
            seconds,
            calls,
            call_seconds,
            tokens,
            signatures,
            hashes_waiting,
            hashes,
            realms_loaded,
            revocations,
            database_up,
            commits,
            batches,
        }
    }
}

impl Metrics {
    /// Counts an answered request.
    pub fn request(&self, route: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&ByRoute { route, status }).inc();
        self.seconds.get_or_create(&Route { route }).observe(took.as_secs_f64());
    }

    /// Counts an answered call. There are as many labels as APIs.
    pub fn call(&self, api: &str, status: u16, took: Duration) {
        self.calls.get_or_create(&ByApi { api: api.to_owned(), status }).inc();
        self.call_seconds.observe(took.as_secs_f64());
    }

    /// Counts an answered token request.
    pub fn token(&self, grant: &'static str, outcome: &'static str) {
        self.tokens.get_or_create(&ByGrant { grant, outcome }).inc();
    }

    /// Notes the last revocation that the gateway has applied.
    pub fn applied(&self, position: i64) {
        self.revocations.set(position);
    }

    /// What a gateway without a database counts, as text.
    pub fn calls_text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }

    /// All of it as text.
    pub fn text(&self, engine: &Engine) -> String {
        let statistics = engine.store.database().statistics();
        let set = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        for (algorithm, count) in engine.signatures.counts().filter(|(_, count)| *count > 0) {
            set(&self.signatures.get_or_create(&ByAlgorithm { algorithm: algorithm.name() }), count);
        }
        set(&self.hashes_waiting, engine.passwords.waiting() as u64);
        set(&self.hashes, engine.passwords.hashed());
        set(&self.realms_loaded, engine.realms.len() as u64);
        set(&self.database_up, u64::from(!engine.realms.is_lost()));
        set(&self.commits, statistics.commits);
        set(&self.batches, statistics.batches);
        self.calls_text()
    }
}
