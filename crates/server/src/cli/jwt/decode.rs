//! Showing a token: header and claims as they were written, and the times in them as people read them.

use grantor_model::Instant;
use grantor_model::jose::{self, JoseError, Parsed};
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::output::{CliError, Output, moment, pairs};

/// The claims that are moments (RFC 7519 section 4.1, OpenID Connect Core section 2).
const MOMENTS: [&str; 4] = ["auth_time", "iat", "nbf", "exp"];

/// A token as it is shown to programs.
#[derive(Debug, Serialize)]
struct Decoded {
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

pub(super) fn show(token: &str, now: Instant, output: &Output) -> Result<(), CliError> {
    let decoded = decode(token).map_err(|error| unreadable(token, &error))?;
    output.show(&decoded, || for_people(&decoded, now))?;
    output.note("warning: nothing is verified, anybody can write such a token; grantor jwt verify checks it");
    Ok(())
}

fn decode(token: &str) -> Result<Decoded, JoseError> {
    let parsed = jose::parse(token)?;
    Ok(Decoded { header: header(&parsed)?, claims: parsed.claims_of_access_token()? })
}

/// The header with its members in the order in which they were written.
fn header(parsed: &Parsed<'_>) -> Result<Map<String, Value>, JoseError> {
    let encoded = parsed.signing_input().split('.').next().unwrap_or_default();
    let bytes = jose::b64url_decode(encoded)?;
    serde_json::from_slice(&bytes).map_err(|_| JoseError::Malformed("the header is not a JSON object"))
}

fn unreadable(token: &str, error: &JoseError) -> CliError {
    let refused = CliError::new(format!("the token cannot be read: {error}"));
    match token.split('.').count() {
        // RFC 7516 section 3.1.
        5 => refused.with_hint("it has five parts, so it is encrypted (JWE): only its receiver can read it"),
        1 => refused
            .with_hint("without a dot in it, it may be an opaque token: its issuer's introspection endpoint knows it"),
        _ => refused,
    }
}

fn for_people(decoded: &Decoded, now: Instant) -> String {
    let mut text = format!("Header\n{}\n\nClaims\n{}", indented(&decoded.header), indented(&decoded.claims));
    let times: Vec<(&str, String)> = MOMENTS
        .into_iter()
        .filter_map(|name| decoded.claims.get(name).and_then(whole_seconds).map(|at| (name, moment(at, now))))
        .collect();
    if !times.is_empty() {
        text.push_str("\n\nTimes\n");
        text.push_str(&pairs(&times));
    }
    text
}

fn indented(members: &Map<String, Value>) -> String {
    // Names and values that came out of JSON always go back into it.
    serde_json::to_string_pretty(members).unwrap_or_default()
}

/// A NumericDate without its fraction (RFC 7519 section 2).
pub(super) fn whole_seconds(value: &Value) -> Option<i64> {
    // The conversion ends at the ends of `i64`, which are far outside every calendar.
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64))
}
