//! The gateway's listener, and what keeps it up to date: APIs from the database and the routes file, keys of the realms
//! by pointer, revocations from their log.

pub(crate) mod authz;
pub(crate) mod decisions;
pub(crate) mod envoy;
pub(crate) mod feed;
pub(crate) mod issuers;
pub(crate) mod node;
pub(crate) mod routes;

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use grantor_flows::decisions::Decisions;
use grantor_gateway::{Body, From, Gateway, Settings, Signer, Sink};
use grantor_model::{Decision, Error, Instant, jose};
use http::{Request, Response};
use hyper::body::Incoming;
use zeroize::Zeroizing;

use crate::app::{App, Clock, Shared};
use crate::config::Config;
use crate::edge::Reach;
use crate::listen::{Peer, Service};
use crate::metrics::Metrics;

/// Entries of the log that are read at once.
const AT_ONCE: i64 = 10_000;

/// The gateway with what feeds it.
#[derive(Debug)]
pub struct Fed {
    /// What judges and hands on.
    pub gateway: Arc<Gateway>,
    /// Where further APIs are written.
    routes: routes::File,
    /// The change of the database that the table was made of; less than any when it was not made yet.
    change: AtomicI64,
    /// What of the routes cannot be used.
    faults: Mutex<Vec<String>>,
}

impl Fed {
    /// A gateway that refuses everything until it is fed.
    ///
    /// # Errors
    /// When no TLS version can be used towards upstreams.
    pub fn new(config: &Config, decisions: Arc<Decisions>, metrics: Arc<Metrics>, seed: u64) -> Result<Self, String> {
        let gateway = Arc::new(Gateway::new(settings(config)?, Arc::new(Kept { decisions, metrics }), seed)?);
        Ok(Self {
            gateway,
            routes: routes::File::new(config.gateway.routes.clone()),
            change: AtomicI64::new(i64::MIN),
            faults: Mutex::default(),
        })
    }
}

/// What a gateway is set up with.
///
/// # Errors
/// When the key for identities cannot be read.
pub(crate) fn settings(config: &Config) -> Result<Settings, String> {
    Ok(Settings {
        signer: config.gateway.identity_key.as_deref().map(signer).transpose()?.map(Arc::new),
        tokens: usize::try_from(config.gateway.remembered_tokens).unwrap_or_default(),
        detail: config.gateway.detail.into(),
        stale_after: i64::try_from(config.gateway.stale_after_seconds).unwrap_or(i64::MAX),
    })
}

/// What signs identities for upstreams.
fn signer(path: &Path) -> Result<Signer, String> {
    let fault = |reason: String| format!("identity_key in [gateway]: {}: {reason}", path.display());
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| fault(error.to_string()))?;
    let der = jose::pem_or_base64_der(&text).map_err(|error| fault(error.to_string()))?;
    let key = jose::SigningKey::pkcs8(&der);
    let key =
        key.map_err(|_| fault("not a private key in PKCS#8: Ed25519, EC, or RSA of 2048 bits or more".to_owned()))?;
    Ok(Signer::new(key))
}

/// Counts and logs a call.
fn counted(metrics: &Metrics, api: Option<&str>, status: u16, took: Duration) {
    let api = api.unwrap_or("none");
    metrics.call(api, status, took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(target: "grantor::call", api, status, micros);
}

/// Where refusals and counts of the gateway go.
struct Kept {
    decisions: Arc<Decisions>,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Kept")
    }
}

impl Sink for Kept {
    fn refused(&self, decision: Decision) {
        self.decisions.keep(decision);
    }

    fn answered(&self, api: Option<&str>, status: u16, took: Duration) {
        counted(&self.metrics, api, status, took);
    }
}

/// Brings the gateway up to date with the database and the routes file. An API that cannot be used is left out, or left
/// as it was; keys, clients and revocations of the others go on.
///
/// # Errors
/// When the database cannot be read: then nothing counts as heard, and the next look tries again.
pub async fn refresh(app: &Shared, now: Instant) -> Result<(), Error> {
    let fed = &app.gateway;
    let store = &app.engine.store;
    let unavailable = |error: grantor_store::StoreError| Error::unavailable(error.to_string());
    // What is revoked before this moment is read below.
    let mut position = fed.gateway.revoked().position;
    if store.revocation_position().await.map_err(unavailable)? < position {
        // An older copy of the database was put in its place: its log counts, from its beginning.
        forget(app).await?;
        position = fed.gateway.revoked().position;
    }
    let mut entries = store.revocations_after(position, AT_ONCE).await.map_err(unavailable)?;
    while !entries.is_empty() {
        fed.gateway.revoke(&entries);
        position = entries.last().map_or(position, |entry| entry.position);
        entries = store.revocations_after(position, AT_ONCE).await.map_err(unavailable)?;
    }
    let change = store.change_number().await.map_err(unavailable)?;
    let written = fed.routes.look();
    if fed.change.load(Ordering::Relaxed) != change || written {
        // The number first, the snapshots after it: whatever changes meanwhile has a greater one.
        app.engine.refresh_realms(now).await?;
        let (table, faults) = routes::table(app, change, now).await?;
        fed.gateway.replace(table);
        for fault in &faults {
            tracing::error!(fault, "routes that cannot be used");
        }
        *fed.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
        fed.change.store(change, Ordering::Relaxed);
    }
    fed.gateway.hear(now);
    Ok(())
}

/// Reads the log of revocations anew, without the entries whose tokens have expired. Belongs to where [`refresh`] is
/// called: what one of them applies, the other must not take back.
///
/// # Errors
/// When the database cannot be read.
pub async fn forget(app: &Shared) -> Result<(), Error> {
    let store = &app.engine.store;
    let unavailable = |error: grantor_store::StoreError| Error::unavailable(error.to_string());
    let position = store.revocation_position().await.map_err(unavailable)?;
    let mut all: Vec<grantor_model::revocation::Revocation> = Vec::new();
    loop {
        let last = all.last().map_or(i64::MIN, |entry| entry.position);
        let entries = store.revocations_after(last, AT_ONCE).await.map_err(unavailable)?;
        if entries.is_empty() {
            break;
        }
        all.extend(entries);
    }
    app.gateway.gateway.replace_revoked(position, &all);
    Ok(())
}

/// What of the routes cannot be used.
pub fn faults(app: &App) -> Vec<String> {
    app.gateway.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The change of the database that the gateway's table was made of.
pub fn change(app: &App) -> i64 {
    app.gateway.change.load(Ordering::Relaxed)
}

/// What a gateway is called where gateways are listed: its machine and its port.
pub fn name(address: std::net::SocketAddr) -> String {
    let named = |text: String| Some(text.trim().to_owned()).filter(|name| !name.is_empty());
    let file = || std::fs::read_to_string("/etc/hostname").ok().and_then(named);
    let host = std::env::var("HOSTNAME").ok().and_then(named).or_else(file);
    format!("{}:{}", host.unwrap_or_else(|| address.ip().to_string()), address.port())
}

/// The service of the gateway's listener.
#[derive(Clone, Debug)]
pub struct Front(Arc<Listening>);

#[derive(Debug)]
struct Listening {
    gateway: Arc<Gateway>,
    reach: Arc<Reach>,
    clock: Arc<Clock>,
}

impl Front {
    /// A gateway behind these proxies.
    pub fn new(gateway: Arc<Gateway>, reach: Arc<Reach>, clock: Arc<Clock>) -> Self {
        Self(Arc::new(Listening { gateway, reach, clock }))
    }

    /// The gateway of a server.
    pub fn of(app: &App) -> Self {
        Self::new(app.gateway.gateway.clone(), app.reach.clone(), app.clock.clone())
    }

    /// Answers one call.
    async fn handle(&self, peer: Peer, request: Request<Incoming>) -> Response<Body> {
        let Listening { gateway, reach, clock } = &*self.0;
        let (address, secure): (IpAddr, bool) = reach.caller(peer, request.headers());
        gateway.answer(From { now: (clock.0)(), address, secure }, request).await
    }
}

impl Service for Front {
    type Body = Body;

    fn answer(&self, peer: Peer, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + use<> {
        let front = self.clone();
        async move { front.handle(peer, request).await }
    }
}
