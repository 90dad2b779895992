//! An answer as a test sees it: whole, with tokens opened and what is random masked.

use axum::response::Response;
use grantor_model::jose::{self, Algorithm, JwkSet};
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};

use super::World;

/// Headers that tests look at; the others are transport.
const HEADERS: [&str; 16] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "allow",
    "cache-control",
    "content-security-policy",
    "content-type",
    "location",
    "pragma",
    "retry-after",
    "set-cookie",
    "www-authenticate",
    "x-content-type-options",
    "x-frame-options",
];

/// An answer.
pub struct Shown {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
    keys: JwkSet,
}

impl Shown {
    pub(super) async fn of(response: Response, world: &World) -> Self {
        let (parts, body) = response.into_parts();
        let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let headers: Vec<(String, String)> = headers.collect();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let mut keys = JwkSet { keys: Vec::new() };
        for (name, _) in world.app.engine.store.realm_versions().await.unwrap_or_default() {
            if let Ok(Some(realm)) = world.app.engine.realm(&name, world.now()).await {
                keys.keys.extend(realm.keys.published(world.now()).cloned());
            }
        }
        Self { status: parts.status.as_u16(), headers, body, keys }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }

    /// A member of the JSON body, as text.
    pub fn text(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.body)).to_owned()
    }

    /// The claims of a token in the JSON body.
    pub fn claims(&self, name: &str) -> Value {
        let token = self.text(name);
        Value::Object(jose::parse(&token).unwrap().claims().unwrap())
    }

    /// Says what came instead when the status is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// Says what came instead when status or OAuth code are others.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.json()["error"].as_str()), (status, Some(code)), "{}", self.body);
        self
    }

    /// The whole answer for a snapshot.
    pub fn whole(&self) -> Value {
        let headers: Map<String, Value> =
            HEADERS.iter().filter_map(|name| Some(((*name).to_owned(), Value::from(self.header(name)?)))).collect();
        let body = match serde_json::from_str::<Value>(&self.body) {
            Ok(value) => self.masked(value),
            Err(_) => self.masked(Value::from(self.body.as_str())),
        };
        json!({"status": self.status, "headers": headers, "body": body})
    }

    fn masked(&self, value: Value) -> Value {
        match value {
            Value::String(text) => self.masked_text(&text),
            Value::Array(list) => list.into_iter().map(|value| self.masked(value)).collect(),
            Value::Object(members) => members
                .into_iter()
                .map(|(name, value)| {
                    let value = if name == "at_hash" { self.judged_hash(&value) } else { self.masked(value) };
                    (name, value)
                })
                .collect(),
            other => other,
        }
    }

    /// Whether an ID token's `at_hash` is that of the access token beside it (OpenID Connect Core 3.1.3.6).
    fn judged_hash(&self, found: &Value) -> Value {
        let algorithm = jose::parse(&self.text("id_token")).unwrap().header().algorithm().unwrap();
        let right = jose::at_hash(algorithm, &self.text("access_token"));
        Value::from(if *found == right.as_str() { "<right>" } else { "<WRONG>" })
    }

    fn masked_text(&self, text: &str) -> Value {
        if text.len() == 52 && text.bytes().take(24).all(|byte| byte.is_ascii_hexdigit()) {
            return Value::from("<opaque token>");
        }
        if let Ok(parsed) = jose::parse(text) {
            let header = parsed.header();
            let algorithm = Algorithm::parse(&header.alg).unwrap();
            let key = self.keys.verifying_keys().into_iter().find(|key| key.kid() == header.kid.as_deref());
            let signature = match key {
                Some(key) => {
                    if parsed.verify(&key).is_ok() {
                        "valid"
                    } else {
                        "INVALID"
                    }
                }
                None if algorithm.is_hmac() => "by a key that is not published",
                None => "BY AN UNKNOWN KEY",
            };
            return json!({
                "header": {"alg": header.alg, "typ": header.typ, "kid": "<kid>"},
                "claims": self.masked(Value::Object(parsed.claims().unwrap())),
                "signature": signature,
            });
        }
        Value::from(match text.split_once(':') {
            Some((letters, id)) if is_uuid(id) => format!("{letters}:<uuid>"),
            _ if is_uuid(text) && !text.starts_with("00000000-") => "<uuid>".to_owned(),
            _ if is_session(text) => "<session>".to_owned(),
            _ => text.to_owned(),
        })
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Session ids begin with the time of the world's beginning.
fn is_session(text: &str) -> bool {
    text.len() == 24 && text.starts_with("AaMY")
}
