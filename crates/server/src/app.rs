//! What all requests share.

use std::sync::Arc;

use grantor_flows::Engine;
use grantor_model::Instant;

use crate::edge::Reach;
use crate::metrics::Metrics;

/// What lives as long as the server.
#[derive(Debug)]
pub struct App {
    /// What happens.
    pub engine: Engine,
    /// Under which names and through which proxies the server is reached.
    pub reach: Reach,
    /// What is counted.
    pub metrics: Metrics,
    /// What time it is: the system's clock, or a test's.
    pub clock: Clock,
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
