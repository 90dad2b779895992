//! Results on their way to whoever asked for them: signed, tried again a few times, and never into the own network.

use std::error::Error;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use grantor::outbound::Outbound;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue};
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
    secret: Vec<u8>,
}

impl Callbacks {
    /// `allow` lists addresses, networks and names, with commas.
    pub(crate) fn new(allow: &str, secret: Vec<u8>) -> Result<Self, Box<dyn Error>> {
        let allow = allow.split(',').map(str::trim).filter(|one| !one.is_empty());
        let allow = allow
            .map(str::parse)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("ALLOW_CALLBACKS: {error}"))?;
        Ok(Self { client: Outbound::new(allow, Duration::from_secs(3))?, secret })
    }

    /// Whether results may be posted to a URL.
    pub(crate) async fn admits(&self, url: &str) -> Result<(), String> {
        use grantor_flows::fetch::Fetch as _;
        self.client.admits(url).await
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
            match self.client.post(url, headers.clone(), Bytes::from(body.clone())).await {
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
