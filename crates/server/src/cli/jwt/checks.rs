//! The checks of `grantor jwt verify`, in the order in which a receiver makes them (RFC 7519 section 7.2, RFC 8725
//! section 3).
//!
//! A receiver stops at the first check that fails; a person who looks for the mistake wants to see all of them. So
//! every check is made that can be, and each says what was expected and what was found.

use grantor_model::Instant;
use grantor_model::jose::{self, Algorithm, Header, JwkSet, Parsed, VerifyingKey};
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::output::{moment, printable, utc};
use super::decode::whole_seconds;

/// What the caller wants to hold, besides the signature and the times.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expected<'a> {
    /// `iss` must be this.
    pub(super) issuer: Option<&'a str>,
    /// `aud` must hold this.
    pub(super) audience: Option<&'a str>,
    /// Seconds by which the clocks may differ.
    pub(super) leeway: i64,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// There was nothing to compare.
    Skipped,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What was looked at.
    pub(super) check: &'static str,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// What would have passed; only where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    /// What was found.
    actual: String,
}

impl Check {
    fn passed(check: &'static str, actual: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Passed, expected: None, actual: actual.into() }
    }

    fn skipped(check: &'static str, actual: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Skipped, expected: None, actual: actual.into() }
    }

    fn failed(check: &'static str, expected: impl Into<String>, actual: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Failed, expected: Some(expected.into()), actual: actual.into() }
    }

    /// What was found, and what was expected where that differs, in one line.
    pub(super) fn detail(&self) -> String {
        let actual = printable(&self.actual);
        match &self.expected {
            Some(expected) => format!("expected {}, found {actual}", printable(expected)),
            None => actual,
        }
    }
}

/// Makes every check that can be made.
pub(super) fn checks(token: &str, keys: &JwkSet, expected: &Expected<'_>, now: Instant) -> Vec<Check> {
    const FORM: &str = "a signed token (JWS) with a JSON object as claims";
    let parsed = match jose::parse(token) {
        Ok(parsed) => parsed,
        Err(error) => return vec![Check::failed("form", FORM, error.to_string())],
    };
    let claims = match parsed.claims_of_access_token() {
        Ok(claims) => claims,
        Err(error) => return vec![Check::failed("form", FORM, error.to_string())],
    };
    let mut checks = vec![Check::passed("form", format!("three parts, {} characters", token.len()))];
    checks.extend(signed(&parsed, keys));
    checks.push(issuer(&claims, expected.issuer));
    checks.push(audience(&claims, expected.audience));
    checks.extend(times(&claims, expected.leeway, now));
    checks
}

/// Algorithm, key and signature: each needs the one before.
fn signed(parsed: &Parsed<'_>, keys: &JwkSet) -> [Check; 3] {
    let header = parsed.header();
    let algorithm = match header.algorithm() {
        Ok(algorithm) => algorithm,
        Err(_) => {
            let known = Algorithm::ALL.map(Algorithm::name).join(", ");
            return [
                Check::failed("alg", format!("one of {known}"), header.alg.as_str()),
                Check::skipped("key", "not looked for: no key has this algorithm"),
                Check::skipped("signature", "not verified"),
            ];
        }
    };
    let alg = Check::passed("alg", algorithm.name());
    let candidates = match candidates(header, algorithm, keys) {
        Ok(candidates) => candidates,
        Err(check) => return [alg, check, Check::skipped("signature", "not verified: there is no key to do it with")],
    };
    let key = match (header.kid.as_deref(), candidates.len()) {
        (Some(kid), _) => Check::passed("key", kid),
        (None, count) => Check::passed("key", format!("the token names none; {count} of the set fit")),
    };
    let signature = match candidates.iter().find(|key| parsed.verify(key).is_ok()) {
        Some(key) => Check::passed("signature", format!("made by the key {}", key.kid().unwrap_or("without a name"))),
        None => Check::failed("signature", "the key's signature of this header and these claims", "another one"),
    };
    [alg, key, signature]
}

/// The keys that may have signed: those of the name in the header, or all when it names none (RFC 7515 section 4.1.4).
fn candidates(header: &Header, algorithm: Algorithm, keys: &JwkSet) -> Result<Vec<VerifyingKey>, Check> {
    let named = keys.keys.iter().filter(|key| header.kid.is_none() || key.kid == header.kid);
    let (mut fitting, mut unfit) = (Vec::new(), None);
    for jwk in named {
        match VerifyingKey::from_jwk(jwk) {
            Ok(key) if key.fits(algorithm) => fitting.push(key),
            Ok(_) => unfit = Some(format!("one for {}", jwk.alg.as_deref().unwrap_or(&jwk.kty))),
            Err(error) => unfit = Some(format!("one that cannot be used: {error}")),
        }
    }
    if !fitting.is_empty() {
        return Ok(fitting);
    }
    let expected = match (&unfit, header.kid.is_some()) {
        (Some(_), _) => format!("a key for {algorithm}"),
        (None, true) => format!("one of the keys {}", names(keys)),
        (None, false) => "a set with keys in it".to_owned(),
    };
    let actual = match (unfit, header.kid.as_deref()) {
        (Some(unfit), _) => unfit,
        (None, Some(kid)) => kid.to_owned(),
        (None, None) => "an empty one".to_owned(),
    };
    Err(Check::failed("key", expected, actual))
}

fn names(keys: &JwkSet) -> String {
    let names: Vec<&str> = keys.keys.iter().filter_map(|key| key.kid.as_deref()).collect();
    if names.is_empty() { "(the set names none)".to_owned() } else { names.join(", ") }
}

/// RFC 7519 section 4.1.1: compared as it stands, without making URLs alike.
fn issuer(claims: &Map<String, Value>, expected: Option<&str>) -> Check {
    let actual = claims.get("iss").map_or_else(|| "absent".to_owned(), plain);
    match expected {
        None => Check::skipped("iss", format!("{actual} (not compared: no --expect-issuer)")),
        Some(expected) if claims.get("iss").and_then(Value::as_str) == Some(expected) => Check::passed("iss", actual),
        Some(expected) => Check::failed("iss", expected, actual),
    }
}

/// RFC 7519 section 4.1.3: one name or a list of them.
fn audience(claims: &Map<String, Value>, expected: Option<&str>) -> Check {
    let listed: Vec<&Value> = match claims.get("aud") {
        None => Vec::new(),
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one) => vec![one],
    };
    let actual = match listed.as_slice() {
        [] => "absent".to_owned(),
        values => values.iter().map(|value| plain(value)).collect::<Vec<_>>().join(", "),
    };
    match expected {
        None => Check::skipped("aud", format!("{actual} (not compared: no --audience)")),
        Some(expected) if listed.iter().any(|value| value.as_str() == Some(expected)) => Check::passed("aud", actual),
        Some(expected) => Check::failed("aud", expected, actual),
    }
}

/// A string as it is, everything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `exp`, `nbf` and `iat` (RFC 7519 sections 4.1.4 to 4.1.6). A token must end: without `exp` it fails, although RFC
/// 7519 leaves the claim open, since access tokens (RFC 9068 section 2.2) and ID tokens (OpenID Connect Core section 2)
/// must have it.
fn times(claims: &Map<String, Value>, leeway: i64, now: Instant) -> [Check; 3] {
    let (early, late) = (now.plus_seconds(leeway.saturating_neg()), now.plus_seconds(leeway));
    let exp = match claims.get("exp") {
        None => Check::failed("exp", format!("a time after {}", utc(early.seconds())), "absent"),
        Some(value) => time("exp", value, now, format!("a time after {}", utc(early.seconds())), |at| at > fine(early)),
    };
    let begun = |name: &'static str| match claims.get(name) {
        None => Check::skipped(name, "absent"),
        Some(value) => {
            time(name, value, now, format!("a time not after {}", utc(late.seconds())), |at| at <= fine(late))
        }
    };
    [exp, begun("nbf"), begun("iat")]
}

/// A moment as the fractional seconds of a NumericDate.
fn fine(at: Instant) -> f64 {
    at.millis() as f64 / 1000.0
}

fn time(check: &'static str, value: &Value, now: Instant, expected: String, holds: impl FnOnce(f64) -> bool) -> Check {
    match (value.as_f64(), whole_seconds(value)) {
        (Some(at), Some(seconds)) if holds(at) => Check::passed(check, moment(seconds, now)),
        (Some(_), Some(seconds)) => Check::failed(check, expected, moment(seconds, now)),
        _ => Check::failed(check, "a number of seconds since 1970", value.to_string()),
    }
}
