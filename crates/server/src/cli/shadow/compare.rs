//! Where two answers to one token request differ.

use std::collections::{BTreeMap, BTreeSet};

use grantor_model::jose;
use serde_json::{Map, Value};

use crate::outbound::Answer;

/// Members and claims that are new each time. They have to be on both sides.
const NEW_EACH_TIME: [&str; 11] = [
    "jti",
    "iat",
    "sid",
    "session_state",
    "auth_time",
    "access_token",
    "refresh_token",
    "id_token",
    "at_hash",
    "reuse_id",
    "nonce",
];

/// Headers that say something of the way, or of one of the two servers.
const OF_THE_WAY: [&str; 12] = [
    "date",
    "server",
    "via",
    "connection",
    "keep-alive",
    "content-length",
    "transfer-encoding",
    "set-cookie",
    "grantor-decision",
    "x-request-id",
    "alt-svc",
    "vary",
];

/// The differences, each in one line: where, what is there, what is here.
pub(super) fn answers(there: &Answer, here: &Answer, bases: &[&str; 2]) -> Vec<String> {
    let mut found = Vec::new();
    if there.status != here.status {
        found.push(format!("status: {} there, {} here", there.status, here.status));
    }
    differ("header", &headers(there), &headers(here), &mut found);
    match (body(there), body(here)) {
        (Some(one), Some(other)) => {
            differ("body", &members(&one, bases), &members(&other, bases), &mut found);
            for name in ["access_token", "id_token", "refresh_token"] {
                if let (Some(one), Some(other)) = (token(&one, name), token(&other, name)) {
                    differ(&format!("{name} header"), &members(&one.0, bases), &members(&other.0, bases), &mut found);
                    differ(name, &members(&one.1, bases), &members(&other.1, bases), &mut found);
                }
            }
        }
        (None, None) if there.body != here.body => found.push("body: other bytes".to_owned()),
        (None, None) => {}
        _ => found.push("body: JSON on one side only".to_owned()),
    }
    found
}

fn headers(answer: &Answer) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, value) in &answer.headers {
        if !OF_THE_WAY.contains(&name.as_str()) {
            headers.insert(name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
    }
    headers
}

fn body(answer: &Answer) -> Option<Map<String, Value>> {
    serde_json::from_slice(&answer.body).ok()
}

/// Header and claims of a token that can be read.
fn token(body: &Map<String, Value>, name: &str) -> Option<(Map<String, Value>, Map<String, Value>)> {
    let parsed = jose::parse(body.get(name)?.as_str()?).ok()?;
    let header = parsed.header();
    let mut head = Map::from_iter([("alg".to_owned(), Value::from(header.alg.as_str()))]);
    head.extend(header.kid.as_deref().map(|kid| ("kid".to_owned(), Value::from(kid))));
    head.extend(header.typ.as_deref().map(|typ| ("typ".to_owned(), Value::from(typ))));
    Some((head, parsed.claims_of_access_token().ok()?))
}

/// Values by path: lists as sets, times as lifetimes, the servers' own URLs alike.
fn members(object: &Map<String, Value>, bases: &[&str; 2]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let iat = object.get("iat").and_then(Value::as_i64);
    for (name, value) in object {
        match (name.as_str(), value) {
            (name, _) if NEW_EACH_TIME.contains(&name) => drop(found.insert(name.to_owned(), "(there)".to_owned())),
            ("exp" | "nbf", Value::Number(number)) if iat.is_some() => {
                let after = number.as_i64().unwrap_or_default() - iat.unwrap_or_default();
                found.insert(name.clone(), format!("iat + {after}"));
            }
            ("scope", Value::String(text)) => {
                let scopes: BTreeSet<&str> = text.split_whitespace().collect();
                found.insert(name.clone(), scopes.into_iter().collect::<Vec<_>>().join(" "));
            }
            _ => leaves(name, value, bases, &mut found),
        }
    }
    found
}

fn leaves(at: &str, value: &Value, bases: &[&str; 2], found: &mut BTreeMap<String, String>) {
    let text = match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                leaves(&format!("{at}.{name}"), value, bases, found);
            }
            return;
        }
        Value::Array(items) => {
            let items: BTreeSet<String> = items.iter().map(Value::to_string).collect();
            format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    };
    found.insert(at.to_owned(), bases.iter().fold(text, |text, base| text.replace(base, "{server}")));
}

fn differ(what: &str, there: &BTreeMap<String, String>, here: &BTreeMap<String, String>, found: &mut Vec<String>) {
    for (name, value) in there {
        match here.get(name) {
            None => found.push(format!("{what} {name}: {value} there, not here")),
            Some(other) if other != value && !near(name, value, other) => {
                found.push(format!("{what} {name}: {value} there, {other} here"))
            }
            Some(_) => {}
        }
    }
    for (name, value) in here.iter().filter(|(name, _)| !there.contains_key(*name)) {
        found.push(format!("{what} {name}: {value} here, not there"));
    }
}

/// Lifetimes that differ because a second ended between two answers.
fn near(name: &str, value: &str, other: &str) -> bool {
    let number = |text: &str| text.trim_start_matches("iat + ").parse::<i64>().ok();
    let lifetimes = ["exp", "nbf", "expires_in", "refresh_expires_in"];
    lifetimes.contains(&name) && number(value).zip(number(other)).is_some_and(|(one, two)| (one - two).abs() <= 2)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::{Value, json};

    use super::answers;
    use crate::outbound::Answer;

    const BASES: [&str; 2] = ["https://old.example", "http://new.example"];

    fn answer(status: u16, body: &Value) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: body.to_string().into_bytes() }
    }

    fn token(claims: &Value) -> Value {
        use base64::Engine as _;
        let text = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
        json!(format!("{}.{}.AAAA", text(&json!({"alg": "RS256", "kid": "k"})), text(claims)))
    }

    #[test]
    fn what_is_new_each_time_is_no_difference() {
        let there = json!({"expires_in": 300, "scope": "a b", "access_token": token(&json!({"iat": 1, "exp": 301,
            "iss": "https://old.example/realms/a", "jti": "x", "aud": ["a", "b"]}))});
        let here = json!({"scope": "b a", "expires_in": 300, "access_token": token(&json!({"iat": 7, "exp": 307,
            "iss": "http://new.example/realms/a", "jti": "y", "aud": ["b", "a"]}))});
        assert_eq!(answers(&answer(200, &there), &answer(200, &here), &BASES), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_named() {
        let there = json!({"access_token": token(&json!({"iat": 1, "exp": 301, "realm_access": {"roles": ["a"]}, "jti": "x"}))});
        let here =
            json!({"access_token": token(&json!({"iat": 1, "exp": 61, "realm_access": {"roles": ["b"]}, "new": 1}))});
        assert_eq!(
            answers(&answer(200, &there), &answer(200, &here), &BASES),
            [
                "access_token exp: iat + 300 there, iat + 60 here",
                "access_token jti: (there) there, not here",
                "access_token realm_access.roles: [\"a\"] there, [\"b\"] here",
                "access_token new: 1 here, not there",
            ]
        );
        let refused = json!({"error": "invalid_grant"});
        assert_eq!(
            answers(&answer(400, &refused), &answer(401, &json!({"error": "invalid_client"})), &BASES),
            ["status: 400 there, 401 here", "body error: \"invalid_grant\" there, \"invalid_client\" here"]
        );
    }
}
