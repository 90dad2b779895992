//! What all requests share.

use std::sync::Arc;

use grantor_flows::Engine;

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
}

/// Shared by all requests.
pub type Shared = Arc<App>;
