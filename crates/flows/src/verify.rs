//! Reading tokens that this server gave out: signature, type, issuer, time.

use grantor_model::Instant;
use grantor_model::jose::{self, Algorithm};
use serde_json::{Map, Value};

use crate::realms::Realm;

/// A token of this realm: its signature is right, nothing else is checked.
#[derive(Debug)]
pub struct Known {
    /// The claims.
    pub claims: Map<String, Value>,
}

/// Reads a token and checks its signature against the realm's keys. `None` for anything else.
pub fn signed_by(realm: &Realm, token: &str, now: Instant) -> Option<Known> {
    let parsed = jose::parse(token).ok()?;
    let algorithm = Algorithm::parse(&parsed.header().alg)?;
    let key = realm.keys.verifier(parsed.header().kid.as_deref(), algorithm, now)?;
    parsed.verify(key).ok()?;
    Some(Known { claims: parsed.claims_of_access_token().ok()? })
}

impl Known {
    /// Whether the token is of this server: the id that it gives has the moment of its birth in it. An id that was
    /// drawn at random says so once in 2^31 times.
    pub fn is_born_here(&self) -> bool {
        let iat = self.number("iat").unwrap_or_default();
        let born = self.text("jti").and_then(|jti| uuid::Uuid::parse_str(jti).ok()).map(|id| id.as_u128() >> 80);
        born.and_then(|millis| i64::try_from(millis / 1000).ok()).is_some_and(|born| (born - iat).abs() <= 60)
    }

    /// A claim as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// A claim as a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        let value = self.claims.get(name)?;
        value.as_i64().or_else(|| value.as_f64().filter(|number| number.is_finite()).map(|number| number as i64))
    }

    /// `typ`.
    pub fn kind(&self) -> &str {
        self.text("typ").unwrap_or_default()
    }

    /// Whether `exp` (if any) lies ahead and `nbf` (if any) behind.
    pub fn is_active(&self, now: Instant) -> bool {
        let (exp, nbf) = (self.number("exp"), self.number("nbf"));
        let readable = |name: &str, number: Option<i64>| number.is_some() || !self.claims.contains_key(name);
        readable("exp", exp)
            && readable("nbf", nbf)
            && exp.is_none_or(|exp| exp > now.seconds())
            && nbf.is_none_or(|nbf| nbf <= now.seconds())
    }

    /// `aud` as a list.
    pub fn audience(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}
