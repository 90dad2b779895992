//! Who calls, as the upstream is told: headers that only the gateway writes.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

use crate::known::Known;

/// What stands escaped in a value: what no header may hold, what is no ASCII, and the escape itself.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// The headers with a caller's identity, ready to be added.
#[derive(Debug, Default)]
pub struct Identity {
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The token, for upstreams that get it in `X-Access-Token`.
    pub(crate) token: Option<HeaderValue>,
}

/// The names of the headers that may be written.
pub static WRITTEN: [HeaderName; 6] = [
    HeaderName::from_static("x-auth-issuer"),
    HeaderName::from_static("x-auth-subject"),
    HeaderName::from_static("x-auth-username"),
    HeaderName::from_static("x-auth-client"),
    HeaderName::from_static("x-auth-scopes"),
    HeaderName::from_static("x-auth-roles"),
];

impl Identity {
    pub(crate) fn of(known: &Known) -> Self {
        let text = |name: &str| known.claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let issuer = text("iss").unwrap_or_else(|| known.issuer.name().to_owned());
        let username = text("preferred_username").or_else(|| text("username"));
        let client = known.client().map(str::to_owned);
        let (scopes, roles) = (Some(known.scopes().join(" ")), Some(known.roles().join(",")));
        let values = WRITTEN.iter().cloned().zip([Some(issuer), text("sub"), username, client, scopes, roles]);
        let header = |(name, value): (HeaderName, Option<String>)| {
            let value = value.filter(|value| !value.is_empty())?;
            let escaped = utf8_percent_encode(&value, ESCAPED).to_string();
            Some((name, HeaderValue::from_str(&escaped).ok()?))
        };
        let token = HeaderValue::from_str(known.token()).ok();
        Self { headers: values.filter_map(header).collect(), token }
    }

    /// Writes the headers.
    pub fn write(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// Headers that only the gateway writes, or that would make an upstream see another request than was judged.
const FORGED: [&str; 12] = [
    "x-access-token",
    "x-userinfo",
    "x-id-token",
    "x-real-ip",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-original-method",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "forwarded",
];

/// Whether a header of this name is taken off every call. An underscore counts as a hyphen, since there are servers that
/// see no difference.
pub fn is_forged(name: &str) -> bool {
    let forged = |name: &str| {
        name.starts_with("x-auth-")
            || name.starts_with("x-forwarded-")
            || name.starts_with("grantor-")
            || FORGED.contains(&name)
    };
    match name.as_bytes().first() {
        Some(b'x' | b'f' | b'g') if name.contains('_') => forged(&name.replace('_', "-")),
        Some(b'x' | b'f' | b'g') => forged(name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_forged;

    #[test]
    fn headers_that_only_the_gateway_writes_are_taken_off() {
        for name in [
            "x-auth-subject",
            "x_auth_subject",
            "x-forwarded-for",
            "x-access_token",
            "forwarded",
            "x-http-method-override",
            "grantor-decision",
        ] {
            assert!(is_forged(name), "{name}");
        }
        for name in ["authorization", "x-request-id", "x-authority", "from", "host", "x-forward", "accept"] {
            assert!(!is_forged(name), "{name}");
        }
    }
}
