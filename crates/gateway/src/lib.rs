//! The gateway: lets an API call through, or says why not.
//!
//! It knows no database and no realm: routes, keys and revocations are handed to it and replaced whole, by swapping a
//! pointer. A call costs no lock and, once its token was seen, no signature.

mod answer;
mod body;
mod enforce;
mod forward;
pub mod host;
mod identity;
pub mod issuer;
mod known;
mod lease;
mod memory;
pub mod path;
mod permit;
mod rate;
pub mod revoked;
mod statement;
pub mod table;
pub mod upstream;

use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use grantor_model::revocation::Revocation;
use grantor_model::{Decision, Instant, Trail};
use http::{Request, Response};
use hyper::body::Incoming;

pub use answer::Detail;
pub use enforce::{Allowed, Ask, Denied, SKEW, With};
pub use forward::Body;
pub use identity::{Identity, WRITTEN, is_forged};
pub use known::Known;
pub use rate::Standing;
use revoked::Revoked;
pub use statement::Signer;
use table::Table;

/// What a gateway is set up with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many verified tokens are remembered.
    pub tokens: usize,
    /// What callers are told about refusals.
    pub detail: Detail,
    /// Seconds without news of revocations after which they count as not known.
    pub stale_after: i64,
    /// What signs identities for upstreams.
    pub signer: Option<Arc<Signer>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tokens: 16_384, detail: Detail::Code, stale_after: 10, signer: None }
    }
}

/// Where refusals and counts go.
pub trait Sink: Send + Sync + Debug {
    /// A call was refused.
    fn refused(&self, decision: Decision);

    /// A call was answered.
    fn answered(&self, _api: Option<&str>, _status: u16, _took: Duration) {}
}

/// The gateway.
#[derive(Debug)]
pub struct Gateway {
    table: ArcSwap<Table>,
    revoked: ArcSwap<Revoked>,
    memory: memory::Memory,
    clients: forward::Clients,
    settings: Settings,
    sink: Arc<dyn Sink>,
    /// When it was last known that nothing else was revoked, in milliseconds.
    heard: AtomicI64,
    last_id: AtomicU64,
    /// Makes ids that nobody outside can foretell.
    ids: std::hash::RandomState,
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub struct From {
    /// The moment.
    pub now: Instant,
    /// The caller, after trusted proxies.
    pub address: IpAddr,
    /// Whether the caller came over TLS, after trusted proxies.
    pub secure: bool,
}

impl Gateway {
    /// A gateway without an API: it refuses everything. `seed` makes its ids differ from those of others.
    ///
    /// # Errors
    /// When no TLS version can be used towards upstreams.
    pub fn new(settings: Settings, sink: Arc<dyn Sink>, seed: u64) -> Result<Self, String> {
        Ok(Self {
            table: ArcSwap::default(),
            revoked: ArcSwap::default(),
            memory: memory::Memory::of(settings.tokens),
            clients: forward::Clients::new()?,
            settings,
            sink,
            heard: AtomicI64::new(0),
            last_id: AtomicU64::new(seed),
            ids: std::hash::RandomState::new(),
        })
    }

    /// The APIs in use.
    pub fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// Uses other APIs from the next call on. Calls under way are not touched.
    pub fn replace(&self, table: Table) {
        self.table.store(Arc::new(table));
    }

    /// What was revoked.
    pub fn revoked(&self) -> Guard<Arc<Revoked>> {
        self.revoked.load()
    }

    /// Applies revocations: no call that begins after this is let through with a token that they name.
    pub fn revoke(&self, entries: &[Revocation]) {
        if !entries.is_empty() {
            self.revoked.rcu(|revoked| revoked.with(entries));
        }
    }

    /// Uses only these revocations: those that are left after others have passed.
    pub fn replace_revoked(&self, position: i64, entries: &[Revocation]) {
        let mut revoked = Revoked::default().with(entries);
        revoked.position = revoked.position.max(position);
        self.revoked.store(Arc::new(revoked));
    }

    /// Notes that at `now` nothing was revoked that is not applied.
    pub fn hear(&self, now: Instant) {
        self.heard.fetch_max(now.millis(), Ordering::Relaxed);
    }

    /// When that was known last.
    pub fn heard(&self) -> Instant {
        Instant::from_millis(self.heard.load(Ordering::Relaxed))
    }

    /// Whether revocations count as not known.
    pub fn is_stale(&self, now: Instant) -> bool {
        self.heard().plus_seconds(self.settings.stale_after) < now
    }

    /// Answers a call: hands it on, or refuses it.
    pub async fn answer(self: &Arc<Self>, from: From, request: Request<Incoming>) -> Response<Body> {
        answer::answer(self, from, request).await
    }

    /// Judges a call that another gateway asks about.
    ///
    /// # Errors
    /// The answer that refuses it.
    pub async fn ask(&self, from: From, ask: &Ask<'_>) -> Result<Allowed, Response<Body>> {
        let mut trail = Trail::new();
        match self.decide(ask, &mut trail).await {
            Ok(allowed) => Ok(allowed),
            Err(denied) => Err(answer::refusal(self, from, ask, *denied)),
        }
    }

    /// Looks at the health of the upstreams that have a path for that, all at once.
    pub async fn look(&self, within: Duration) {
        let table = self.table.load_full();
        let mut looks = tokio::task::JoinSet::new();
        let mut seen = std::collections::HashSet::new();
        for api in table.apis() {
            let Some(path) = api.upstreams.health.clone().filter(|_| seen.insert(&api.name)) else { continue };
            for at in 0..api.upstreams.len() {
                let (upstreams, clients, path) = (api.upstreams.clone(), self.clients.clone(), path.clone());
                looks.spawn(async move {
                    if let Some(upstream) = upstreams.iter().nth(at) {
                        upstream.looked(clients.is_well(upstream, &path, within).await);
                    }
                });
            }
        }
        while looks.join_next().await.is_some() {}
    }
}
