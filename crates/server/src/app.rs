//! What all requests share.

use std::sync::Arc;

use grantor_flows::Engine;
use grantor_model::Instant;

use crate::config::Config;
use crate::edge::Reach;
use crate::gateway::Fed;
use crate::metrics::Metrics;

/// What lives as long as the server.
#[derive(Debug)]
pub struct App {
    /// What happens.
    pub engine: Engine,
    /// Under which names and through which proxies the server is reached.
    pub reach: Arc<Reach>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The gateway in front of APIs.
    pub gateway: Fed,
    /// What time it is: the system's clock, or a test's.
    pub clock: Arc<Clock>,
}

impl App {
    /// Everything, as configured. The gateway refuses all until it is fed.
    ///
    /// # Errors
    /// When the gateway has no way to its upstreams.
    pub fn new(engine: Engine, config: &Config, clock: Clock) -> Result<Shared, String> {
        let metrics = Arc::new(Metrics::default());
        let seed = engine.entropy.bytes().map(u64::from_ne_bytes).unwrap_or_default();
        let gateway = Fed::new(config, engine.decisions.clone(), metrics.clone(), seed)?;
        let (reach, clock) = (Arc::new(Reach::new(config)), Arc::new(clock));
        Ok(Arc::new(Self { engine, reach, metrics, gateway, clock }))
    }
}

/// A clock.
pub struct Clock(pub Box<dyn Fn() -> Instant + Send + Sync>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Clock")
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self(Box::new(crate::start::now))
    }
}

/// Shared by all requests.
pub type Shared = Arc<App>;
