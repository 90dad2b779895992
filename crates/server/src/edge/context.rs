//! What the edge knows about a request.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use grantor_model::Instant;
use http::HeaderValue;

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
    pub request_id: RequestId,
}

/// The name of a request: 16 hexadecimal digits, another for each. It is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    /// The next one. Adding an odd number visits all of them before it comes back, and neighbours do not look alike.
    pub(super) fn after(last: &AtomicU64) -> Self {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        Self(last.fetch_add(STEP, Ordering::Relaxed))
    }

    /// As the value of a header.
    pub(super) fn value(self) -> HeaderValue {
        let mut digits = [0_u8; 16];
        for (at, digit) in digits.iter_mut().enumerate() {
            let nibble = (self.0 >> (60 - 4 * at)) as u8 & 15;
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        HeaderValue::from_bytes(&digits).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

impl Default for Context {
    fn default() -> Self {
        Self {
            now: Instant::from_millis(0),
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            secure: false,
            base: Arc::from(""),
            request_id: RequestId(0),
        }
    }
}
