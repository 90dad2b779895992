//! The gateway's own word on who calls, signed: a JWT for upstreams that believe a signature rather than a header.

use std::sync::Arc;

use grantor_model::Instant;
use grantor_model::jose::{JoseError, SigningKey, encoded_header, sign_with_header};
use http::HeaderValue;
use http::header::HeaderName;
use serde_json::{Map, Value, json};

use crate::enforce::SKEW;
use crate::known::Known;

/// The header that it stands in.
pub(crate) const X_AUTH_JWT: HeaderName = HeaderName::from_static("x-auth-jwt");

/// Where its key is published.
pub(crate) const KEYS: &str = "/.well-known/grantor-gateway-jwks";

/// Its `iss`.
const ISSUER: &str = "grantor-gateway";

/// Its type: nobody takes it for an access token (RFC 8725 section 3.11).
const TYPE: &str = "grantor-identity+jwt";

/// Seconds that it lives, and that it is used again for the same token.
const LIVES: i64 = 60;
const USED_AGAIN: i64 = 30;

/// What signs.
#[derive(Debug)]
pub struct Signer {
    key: SigningKey,
    header: String,
}

/// A statement that was made for an API, and until when it is used again.
#[derive(Debug)]
pub(crate) struct Made {
    audience: String,
    until: i64,
    value: HeaderValue,
}

impl Signer {
    /// One that signs with this key.
    pub fn new(key: SigningKey) -> Self {
        let header = encoded_header(&key, TYPE);
        Self { key, header }
    }

    /// The key set that verifies it.
    pub(crate) fn key_set(&self) -> Value {
        json!({"keys": self.key.public_jwk().into_iter().collect::<Vec<_>>()})
    }

    /// The statement about a token towards an API.
    pub(crate) fn of(&self, known: &Known, audience: &str, now: Instant) -> Result<HeaderValue, JoseError> {
        let now = now.seconds();
        if let Some(made) = &*known.statement.load()
            && made.audience == audience
            && now < made.until
        {
            return Ok(made.value.clone());
        }
        let claims = claims(known, audience, now);
        let payload = serde_json::to_vec(&claims).map_err(|_| JoseError::Backend)?;
        let text = sign_with_header(&self.header, &payload, &self.key)?;
        let mut value = HeaderValue::try_from(text).map_err(|_| JoseError::Backend)?;
        value.set_sensitive(true);
        let made = Made { audience: audience.to_owned(), until: now.saturating_add(USED_AGAIN), value: value.clone() };
        known.statement.store(Some(Arc::new(made)));
        Ok(value)
    }
}

fn claims(known: &Known, audience: &str, now: i64) -> Map<String, Value> {
    let text = |name: &str| known.claims.get(name).and_then(Value::as_str).map(Value::from);
    let until = now.saturating_add(LIVES).min(known.times.exp.saturating_add(SKEW));
    let issuer = text("iss").unwrap_or_else(|| Value::from(known.issuer.name()));
    let all = [
        ("iss", Some(Value::from(ISSUER))),
        ("aud", Some(Value::from(audience))),
        ("iat", Some(Value::from(now))),
        ("exp", Some(Value::from(until))),
        ("token_issuer", Some(issuer)),
        ("sub", text("sub")),
        ("username", text("preferred_username").or_else(|| text("username"))),
        ("client_id", known.client().map(Value::from)),
        ("scope", Some(Value::from(known.scopes().join(" ")))),
        ("roles", Some(Value::from(known.roles()))),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
