//! What the edge knows about a request.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use grantor_model::Instant;

/// Found out once, handed to the handler.
#[derive(Clone, Debug)]
pub struct Context {
    /// The moment of the request.
    pub now: Instant,
    /// The caller, after trusted proxies.
    pub address: IpAddr,
    /// Whether the caller came over TLS, after trusted proxies.
    pub secure: bool,
    /// Where this server is reached.
    pub base: Arc<str>,
    /// The name of the request in the log.
    pub request_id: Arc<str>,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            now: Instant::from_millis(0),
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            secure: false,
            base: Arc::from(""),
            request_id: Arc::from(""),
        }
    }
}
