//! One call from its head to its answer, and what a refusal looks like (RFC 6750, RFC 9728).

use std::fmt::Write as _;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant as Stopwatch;

use bytes::Bytes;
use grantor_model::decision::{Check, Outcome};
use grantor_model::{Code, Decision, Error, Kind, Trail};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use crate::enforce::{Ask, Denied, With};
use crate::forward::{self, Added, Body, DECISION};
use crate::rate::Standing;
use crate::statement::KEYS;
use crate::{From, Gateway};

/// What callers are told about refusals, besides the status and the id of the decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// The error code, and which check it was.
    #[default]
    Code,
    /// A sentence, too.
    Text,
}

const METADATA: &str = "/.well-known/oauth-protected-resource";
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Answers a call.
pub(crate) async fn answer(gateway: &Arc<Gateway>, from: From, request: Request<Incoming>) -> Response<Body> {
    let started = Stopwatch::now();
    let (parts, body) = request.into_parts();
    let host = match parts.headers.get(HOST) {
        Some(host) => host.to_str().unwrap_or_default().to_owned(),
        None => parts.uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default(),
    };
    // What is judged is what is handed on.
    let host = crate::host::written(&host).unwrap_or(host);
    let head = Head { method: parts.method.clone(), path: parts.uri.clone(), host };
    let mut trail = Trail::new();
    if let Some(oddity) = forward::oddity(&parts) {
        let error = Error::request("The request can be read in two ways");
        let refused = trail.refuse("request", "one that can be read in one way", oddity, error);
        let denied = Denied { refused, api: None, client: None, with: With::Nothing };
        let ask = head.ask(from, &parts.headers);
        let mut answer = refusal(gateway, from, &ask, denied);
        // Whoever sends such a request may have hidden a second one behind it.
        answer.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        return finished(gateway, None, answer, started);
    }
    if let Some(metadata) = metadata(gateway, from, &head) {
        return finished(gateway, None, metadata, started);
    }
    let decided = gateway.decide(&head.ask(from, &parts.headers), &mut trail).await;
    let allowed = match decided {
        Ok(allowed) => allowed,
        Err(denied) => {
            let name = denied.api.as_ref().map(|api| api.name.clone());
            let answer = refusal(gateway, from, &head.ask(from, &parts.headers), *denied);
            return finished(gateway, name.as_deref(), answer, started);
        }
    };
    let id = gateway.next_id();
    let added = Added { decision: &id, address: from.address, secure: from.secure, host: &head.host };
    let mut answer = match forward::forward(gateway, &allowed, (parts, body), &added, from.now).await {
        Ok(mut answer) => {
            answer.headers_mut().insert(DECISION, id);
            answer
        }
        Err(failed) => {
            let refused = trail.refuse(failed.check, failed.expected, &failed.actual, failed.error);
            let client = allowed.known.as_ref().and_then(|known| known.client()).map(str::to_owned);
            let denied = Denied { refused, api: Some(allowed.api.clone()), client, with: With::Nothing };
            refusal(gateway, from, &head.ask(from, &http::HeaderMap::new()), denied)
        }
    };
    if let Some(standing) = &allowed.standing {
        limits(answer.headers_mut(), standing);
    }
    finished(gateway, Some(&allowed.api.name), answer, started)
}

fn finished(gateway: &Gateway, api: Option<&str>, answer: Response<Body>, started: Stopwatch) -> Response<Body> {
    gateway.sink.answered(api, answer.status().as_u16(), started.elapsed());
    answer
}

/// What of a call is needed to judge it and to tell of it.
struct Head {
    method: Method,
    path: http::Uri,
    host: String,
}

impl Head {
    fn ask<'a>(&'a self, from: From, headers: &'a http::HeaderMap) -> Ask<'a> {
        let (method, path) = (&self.method, self.path.path());
        Ask { now: from.now, method, host: &self.host, path, headers, address: from.address }
    }
}

impl Gateway {
    /// The id of the next decision: 16 hexadecimal digits that nobody outside can foretell.
    pub fn next_id(&self) -> HeaderValue {
        let number = self.ids.hash_one(self.last_id.fetch_add(1, Ordering::Relaxed));
        let mut digits = [0_u8; 16];
        for (at, digit) in digits.iter_mut().enumerate() {
            let nibble = (number >> (60 - 4 * at)) as u8 & 15;
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        HeaderValue::from_bytes(&digits).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

const fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Request => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Method => StatusCode::METHOD_NOT_ALLOWED,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Upstream => StatusCode::BAD_GATEWAY,
        Kind::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The answer that refuses a call; the decision goes where decisions are kept.
pub(crate) fn refusal(gateway: &Gateway, from: From, ask: &Ask<'_>, denied: Denied) -> Response<Body> {
    let id = gateway.next_id();
    let Denied { refused, api, client, with } = denied;
    let (error, mut checks) = refused.into_parts();
    let failed = checks.last().map(|check| check.check.clone()).unwrap_or_default();
    let detail = gateway.settings.detail;
    let mut body = Map::new();
    if detail != Detail::None {
        body.insert("error".to_owned(), Value::from(error.code.as_str()));
        body.insert("check".to_owned(), Value::from(failed.as_ref()));
    }
    if let (Detail::Text, Some(text)) = (detail, &error.description) {
        body.insert("error_description".to_owned(), Value::from(text.as_ref()));
    }
    if error.code == Code::RateLimited {
        body.insert("message".to_owned(), Value::from("API rate limit exceeded"));
    }
    body.insert("decision".to_owned(), Value::from(id.to_str().unwrap_or_default()));
    let mut answer = own(status(error.kind), &Value::Object(body));
    let headers = answer.headers_mut();
    let base = api.as_ref().map_or("", |api| api.document.path.trim_end_matches('/'));
    match &with {
        With::Nothing => {}
        With::Challenge => challenge(headers, from, ask.host, base, detail, &error, None),
        With::Scopes(scopes) => challenge(headers, from, ask.host, base, detail, &error, Some(scopes)),
        With::Methods(methods) => insert(headers, ALLOW, methods),
        With::Limit(standing) => limits(headers, standing),
    }
    match error.kind {
        Kind::Throttled(seconds) => insert(headers, RETRY_AFTER, &seconds.to_string()),
        Kind::Unavailable => insert(headers, RETRY_AFTER, "2"),
        _ => {}
    }
    let revision = gateway.table.load().revision.clone();
    headers.insert(DECISION, id.clone());
    if matches!(error.kind, Kind::Upstream | Kind::UpstreamTimeout | Kind::Unavailable | Kind::Internal) {
        tracing::warn!(decision = id.to_str().unwrap_or_default(), api = api.as_ref().map(|api| api.name.as_str()), %error, "a call failed");
    }
    let found = |check: &'static str, actual: String| Check {
        check: check.into(),
        outcome: Outcome::Passed,
        expected: None,
        actual: Some(actual),
    };
    let mut first =
        vec![found("request", short(&format!("{} {}{}", ask.method, ask.host, ask.path))), found("routes", revision)];
    if let Some(api) = &api {
        first.push(found("API", api.name.clone()));
        checks.retain(|check| check.check != "API" || check.outcome == Outcome::Failed);
    }
    first.append(&mut checks);
    gateway.sink.refused(Decision {
        id: id.to_str().unwrap_or_default().to_owned(),
        at: from.now,
        realm: api.as_ref().and_then(|api| api.document.realm.clone()).unwrap_or_default(),
        endpoint: "gateway".to_owned(),
        grant: None,
        client,
        address: from.address.to_string(),
        error: error.code.as_str().to_owned(),
        description: error.description.map(String::from),
        reason: error.reason,
        checks: first,
    });
    answer
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// `WWW-Authenticate` (RFC 6750 section 3, RFC 9728 section 5.1). Without a token there is nothing to say about it.
fn challenge(
    headers: &mut http::HeaderMap,
    from: From,
    host: &str,
    base: &str,
    detail: Detail,
    error: &Error,
    scopes: Option<&str>,
) {
    let scheme = if from.secure { "https" } else { "http" };
    let mut text = "Bearer".to_owned();
    if error.code != Code::NoToken && detail != Detail::None {
        let _ = write!(text, " error=\"{}\"", error.code.as_str());
        if let (Detail::Text, Some(description)) = (detail, &error.description) {
            let _ = write!(text, ", error_description=\"{description}\"");
        }
        if let Some(scopes) = scopes {
            let _ = write!(text, ", scope=\"{scopes}\"");
        }
        text.push(',');
    }
    // The name is the caller's own, and goes nowhere that its quotes could end.
    if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_'))
    {
        let _ = write!(text, " resource_metadata=\"{scheme}://{host}{METADATA}{base}\"");
    }
    insert(headers, WWW_AUTHENTICATE, text.trim_end_matches(','));
}

fn limits(headers: &mut http::HeaderMap, standing: &Standing) {
    headers.insert(RATE_LIMIT, HeaderValue::from(standing.limit));
    headers.insert(RATE_REMAINING, HeaderValue::from(standing.left));
    headers.insert(RATE_RESET, HeaderValue::from(standing.reset));
}

fn insert(headers: &mut http::HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// An answer of our own.
pub(crate) fn own(status: StatusCode, body: &Value) -> Response<Body> {
    let mut answer = Response::new(Either::Right(Full::new(Bytes::from(body.to_string()))));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// What a client needs to know to get a token (RFC 9728 section 3), and what an upstream needs to verify identities.
fn metadata(gateway: &Gateway, from: From, head: &Head) -> Option<Response<Body>> {
    if head.path.path() == KEYS && head.method == Method::GET {
        let signer = gateway.settings.signer.as_ref()?;
        let mut answer = own(StatusCode::OK, &signer.key_set());
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
        answer.headers_mut().insert(DECISION, gateway.next_id());
        return Some(answer);
    }
    let rest = head.path.path().strip_prefix(METADATA)?;
    let path = if rest.is_empty() { "/" } else { rest };
    let table = gateway.table.load();
    let (host, _) = crate::host::canonical(&head.host)?;
    let (api, _) = table.find(&host, path).filter(|_| head.method == Method::GET && path.starts_with('/'))?;
    let scheme = if from.secure { "https" } else { "http" };
    let base = api.document.path.trim_end_matches('/');
    let servers: Vec<&str> = api.issuers.iter().filter_map(|issuer| issuer.url()).collect();
    let mut answer = own(
        StatusCode::OK,
        &json!({
            "resource": format!("{scheme}://{}{base}", head.host),
            "resource_name": api.name,
            "authorization_servers": servers,
            "scopes_supported": api.scopes(),
            "bearer_methods_supported": ["header"],
        }),
    );
    answer.headers_mut().insert(DECISION, gateway.next_id());
    Some(answer)
}
