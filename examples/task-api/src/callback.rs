//! Results on their way to whoever asked for them: signed, tried again a few times, and never into the own network.

use std::error::Error;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use grantor::config::Destination;
use grantor::outbound::Outbound;
use grantor_flows::fetch::Fetch as _;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Uri};
use serde_json::Value;

/// How often a result is sent at most.
const TRIES: u32 = 4;

/// The pause before the second try; each further one is three times as long.
const FIRST_PAUSE: Duration = Duration::from_millis(300);

/// HMAC-SHA256 of the body under the shared secret, in hexadecimal digits.
const SIGNATURE: HeaderName = HeaderName::from_static("x-task-signature");

pub(crate) struct Callbacks {
    /// Reaches public addresses over TLS, and what is allowed besides; it follows no redirect.
    client: Outbound,
    /// What is allowed besides, where that is one port only.
    ports: Vec<(Destination, u16)>,
    secret: Vec<u8>,
}

impl Callbacks {
    /// `allow` lists addresses, networks and names, with commas; behind a colon the only port of it.
    pub(crate) fn new(allow: &str, secret: Vec<u8>) -> Result<Self, Box<dyn Error>> {
        let (mut all, mut ports) = (Vec::new(), Vec::new());
        for entry in allow.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let wrong = |error| format!("ALLOW_CALLBACKS: {error}");
            let with_port = entry.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
            let (host, port) = with_port.map_or((entry, None), |(host, port)| (host, Some(port)));
            let destination: Destination = host.parse().map_err(wrong)?;
            ports.extend(port.map(|port| (destination.clone(), port)));
            all.push(destination);
        }
        Ok(Self { client: Outbound::new(all, Duration::from_secs(3))?, ports, secret })
    }

    /// Whether results may be posted to a URL.
    pub(crate) async fn admits(&self, url: &str) -> Result<(), String> {
        self.client.admits(url).await?;
        let uri: Uri = url.parse().map_err(|_| "the URL cannot be read".to_owned())?;
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        // A name may lead to an address that is allowed for one port only.
        let addresses = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
        for address in addresses.map_err(|_| "the name does not resolve".to_owned())? {
            let address = address.ip().to_canonical();
            let mut meant = self.ports.iter().filter(|(allowed, _)| allowed.covers(host, address)).peekable();
            if meant.peek().is_some() && !meant.any(|(_, allowed)| *allowed == port) {
                return Err(format!("port {port} of {address} is not allowed"));
            }
        }
        Ok(())
    }

    /// Posts a result. A 2xx answer ends it; so does the last try.
    pub(crate) async fn post(&self, url: &str, result: &Value) {
        let body = result.to_string();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !self.secret.is_empty() {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.secret), body.as_bytes());
            let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            if let Ok(value) = HeaderValue::from_str(&format!("sha256={digits}")) {
                headers.insert(SIGNATURE, value);
            }
        }
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            let answer = match self.admits(url).await {
                Ok(()) => self.client.post(url, headers.clone(), Bytes::from(body.clone())).await,
                Err(reason) => Err(reason),
            };
            match answer {
                Ok(answer) if (200..300).contains(&answer.status) => return,
                Ok(answer) => tracing::warn!(attempt, status = answer.status, "the result was not taken"),
                Err(reason) => tracing::warn!(attempt, reason, "the result could not be posted"),
            }
            if attempt < TRIES {
                tokio::time::sleep(pause).await;
                pause *= 3;
            }
        }
    }
}
