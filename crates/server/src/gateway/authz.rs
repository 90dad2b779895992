//! Decisions for other gateways: Traefik and Caddy (`forward-auth`), nginx (`auth-request`), Envoy (`ext-authz`). The
//! same engine and the same decisions as for calls that come here themselves.
//!
//! The request that is judged is described by headers or by the path; the answer is 200 with the caller's identity in
//! headers, or the refusal.

use grantor_gateway::{Ask, From, WRITTEN, is_forged};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use crate::app::Shared;
use crate::http::Inbound;
use crate::http::answer::Answer;

/// Tells Envoy which headers to take off a call.
pub(super) const REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// Headers of a call that only we write, and did not: the gateway that asked must take them off.
pub(super) fn left_over(headers: &HeaderMap, told: &HeaderMap) -> Vec<String> {
    let came = headers.keys().filter(|name| is_forged(name.as_str()) && !name.as_str().starts_with("x-forwarded-"));
    let mut names: Vec<&str> = came.map(HeaderName::as_str).collect();
    names.extend(WRITTEN.iter().map(HeaderName::as_str));
    names.retain(|name| !told.contains_key(*name));
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(str::to_owned).collect()
}

/// Where Envoy's requests are, before the path that is judged.
pub(crate) const EXT_AUTHZ: &str = "/api/authz/ext-authz";

pub(super) const DECISION: HeaderName = HeaderName::from_static("grantor-decision");

/// Traefik, Caddy: `X-Forwarded-Method`, `X-Forwarded-Host`, `X-Forwarded-Uri`.
pub(crate) async fn forward_auth(app: Shared, inbound: Inbound) -> Answer {
    let described = described(&inbound.parts.headers, ["x-forwarded-method", "x-forwarded-host", "x-forwarded-uri"]);
    judged(&app, &inbound, described, false).await
}

/// nginx: `X-Original-Method`, `X-Original-Host` (or `Host`), `X-Original-URI`. It knows no statuses but 401 and 403.
pub(crate) async fn auth_request(app: Shared, inbound: Inbound) -> Answer {
    let described = described(&inbound.parts.headers, ["x-original-method", "x-original-host", "x-original-uri"]);
    judged(&app, &inbound, described, true).await
}

/// Envoy over HTTP: the request itself, below a prefix.
pub(crate) async fn ext_authz(app: Shared, inbound: Inbound) -> Answer {
    let parts = &inbound.parts;
    // HTTP/2 has no Host header; several are nobody's.
    let mut lines = parts.headers.get_all(http::header::HOST).iter();
    let host = match (lines.next(), lines.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        (None, None) => parts.uri.authority().map_or("", |authority| authority.as_str()),
        _ => "",
    };
    let path = parts.uri.path().strip_prefix(EXT_AUTHZ).unwrap_or_default();
    let path = if path.is_empty() { "/" } else { path };
    let described = Some((parts.method.clone(), host.to_owned(), path.to_owned()));
    judged(&app, &inbound, described, false).await
}

type Described = (Method, String, String);

/// The request that three headers describe; each must be there once.
fn described(headers: &HeaderMap, names: [&str; 3]) -> Option<Described> {
    let once = |name: &str| {
        let mut lines = headers.get_all(name).iter();
        let line = lines.next()?.to_str().ok()?;
        lines.next().is_none().then_some(line)
    };
    let [method, host, uri] = names;
    // As it came: what a parser would leave out, the other gateway hands on.
    let path = once(uri)?.split('?').next().unwrap_or_default();
    Some((once(method)?.parse().ok()?, once(host)?.to_owned(), path.to_owned()))
}

async fn judged(app: &Shared, inbound: &Inbound, described: Option<Described>, only_two: bool) -> Answer {
    let Some((method, host, path)) = described else {
        let text = "The request that is to be judged is not described: its method, host and URI, once each";
        let body = serde_json::json!({"error": "invalid_request", "error_description": text});
        return Answer::json(StatusCode::BAD_REQUEST, &body);
    };
    let context = &inbound.context;
    let from = From { now: context.now, address: context.address, secure: context.secure };
    let headers = &inbound.parts.headers;
    let ask = Ask { now: from.now, method: &method, host: &host, path: &path, headers, address: from.address };
    let gateway = &app.gateway.gateway;
    match gateway.ask(from, &ask).await {
        Ok(allowed) => {
            let mut answer = Answer::empty(StatusCode::OK).no_store();
            let mut told = HeaderMap::new();
            if let Some(known) = &allowed.known {
                known.identity.write(&mut told);
            }
            told.insert(DECISION, gateway.next_id());
            if let Some((name, value)) = super::envoy::remove_header(headers, &told) {
                told.insert(name, value);
            }
            answer.response.headers_mut().extend(told);
            answer
        }
        Err(refused) => {
            let (mut head, body) = refused.into_parts();
            if only_two && head.status != StatusCode::UNAUTHORIZED {
                head.status = StatusCode::FORBIDDEN;
            }
            Answer::from_response(http::Response::from_parts(head, axum::body::Body::new(body)))
        }
    }
}
