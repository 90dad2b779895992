//! What every request passes: its path is judged, its origin found out, its answer secured, counted and logged.
//!
//! The clock is read here, once, and nowhere below. A path that two readers could read differently (`//`, dots, `;`) is
//! refused before anything looks at it. The issuer's address comes from the configuration, or from a `Host` header that
//! names this machine, and never from a stranger.

mod context;
mod reach;

pub use context::{Context, RequestId};
pub use reach::Reach;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant as Stopwatch;

use axum::body::Body;
use axum::response::Response;
use grantor_model::realm::SECURITY_HEADERS;
use http::header::{
    CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY, CONTENT_TYPE, HeaderName,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use hyper::body::{Body as _, Incoming};

use crate::app::Shared;
use crate::http::Inbound;
use crate::http::answer::{Answer, Secured};
use crate::listen::{Peer, Service};
use crate::routes::{Routes, UNMATCHED};

/// Below this, other gateways ask for decisions.
const AUTHZ: &str = "/api/authz/";

/// Envoy asks there by the name that it gave us.
const GRPC: &str = "/envoy.service.auth.v3.Authorization/";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// The service of the main listener.
#[derive(Clone, Debug)]
pub struct Edge(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    app: Shared,
    routes: Routes,
    /// Names requests: unlike numbers from one, what it gives does not repeat after a restart.
    last_id: AtomicU64,
}

impl Edge {
    /// Everything reachable at the main listener.
    pub fn new(app: Shared) -> Self {
        let first = app.engine.entropy.bytes().map(u64::from_ne_bytes).unwrap_or_default();
        Self(Arc::new(Inner { routes: Routes::new(), last_id: AtomicU64::new(first), app }))
    }

    /// Answers one request.
    pub async fn handle(&self, peer: Peer, request: Request<Body>) -> Response {
        let Inner { app, routes, last_id } = &*self.0;
        let started = Stopwatch::now();
        let method = request.method().clone();
        let context = app.reach.context((app.clock.0)(), RequestId::after(last_id), peer, &request);
        let (id, address) = match &context {
            Ok(context) => (context.request_id, context.address),
            Err(stranger) => (stranger.request_id, stranger.address),
        };
        let (route, answer) = match admitted(app, context, request) {
            Ok(inbound) => routes.answer(app, inbound).await,
            Err(refused) => (UNMATCHED, *refused),
        };
        let Answer { mut response, secured } = answer;
        if let Some(secured) = secured {
            secure(&method, &secured, &mut response);
        }
        response.headers_mut().insert(REQUEST_ID, id.value());
        if method == Method::HEAD {
            response = without_body(response);
        }
        let (status, took) = (response.status().as_u16(), started.elapsed());
        app.metrics.request(route, status, took);
        tracing::info!(
            target: "grantor::request",
            request = %id,
            %method,
            route,
            status,
            micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            %address,
        );
        response
    }
}

impl Service for Edge {
    type Body = Body;

    fn answer(&self, peer: Peer, request: Request<Incoming>) -> impl Future<Output = Response> + use<> {
        let edge = self.clone();
        async move { edge.handle(peer, request.map(Body::new)).await }
    }
}

/// Judges the path and the `Host` header. A bad path is told first.
fn admitted(
    app: &Shared,
    context: Result<Context, Box<Context>>,
    request: Request<Body>,
) -> Result<Inbound, Box<Answer>> {
    let (mut parts, body) = request.into_parts();
    if let Some(answer) = bad_path(parts.uri.path()) {
        return Err(Box::new(answer));
    }
    let for_others = parts.uri.path().starts_with(AUTHZ) || parts.uri.path().starts_with(GRPC);
    let context = match context {
        // A request that another gateway asks about carries the name that was called, not ours.
        Err(context) if for_others => Ok(*context),
        context => context,
    };
    let Ok(context) = context else {
        let hosts = app.reach.hosts();
        let text = format!("This server does not answer for that host name. It answers for: {hosts}");
        let body = serde_json::json!({"error": "misdirected_request", "error_description": text});
        return Err(Box::new(Answer::json(StatusCode::MISDIRECTED_REQUEST, &body).with_standard_headers()));
    };
    // The path that is judged for another gateway is not ours to shorten.
    if !for_others {
        parts.uri = canonical(parts.uri);
    }
    let mut tenant = None;
    if let Some((name, uri)) = in_tenant(&parts.uri) {
        (tenant, parts.uri) = (Some(name), uri);
    }
    Ok(Inbound::new(parts, body, context, tenant))
}

/// The tenant of a path below `/t/{tenant}`, and the URI without it.
fn in_tenant(uri: &Uri) -> Option<(String, Uri)> {
    let (tenant, rest) = uri.path().strip_prefix("/t/")?.split_once('/')?;
    if tenant.is_empty() || !["oauth2/", "api/server/", "api/identity/"].iter().any(|known| rest.starts_with(known)) {
        return None;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let uri = format!("/{rest}{query}").parse().ok()?;
    Some((tenant.to_owned(), uri))
}

/// A path that two readers could read differently is refused, in Keycloak's words.
fn bad_path(path: &str) -> Option<Answer> {
    let answer = |error: &str, text: &str| {
        let body = serde_json::json!({"error": error, "error_description": text}).to_string();
        Answer::text(StatusCode::BAD_REQUEST, "application/json; charset=UTF-8", body)
    };
    if path.contains(';') {
        return Some(answer("invalidCharacter", "Request path contains invalid character ';'"));
    }
    let mut escapes = path.as_bytes().windows(3).filter(|three| three.starts_with(b"%"));
    let hidden = path.contains('\\') || escapes.any(|three| matches!(three, b"%5c" | b"%5C" | b"%00"));
    if hidden || path.contains("//") || path.split('/').any(is_dotted) {
        return Some(answer("missingNormalization", "Request path not normalized"));
    }
    None
}

/// Whether a segment is `.` or `..`, also when its dots are escaped.
fn is_dotted(segment: &str) -> bool {
    let (mut rest, mut dots) = (segment, 0);
    while !rest.is_empty() {
        match [".", "%2e", "%2E"].iter().find_map(|dot| rest.strip_prefix(dot)) {
            Some(after) => rest = after,
            None => return false,
        }
        dots += 1;
    }
    matches!(dots, 1 | 2)
}

/// The path without the prefix `/auth`, which older programs still have, and without a slash at the end.
fn canonical(uri: Uri) -> Uri {
    let path = uri.path();
    let short = path.strip_prefix("/auth").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    let short = if short.len() > 1 { short.strip_suffix('/').unwrap_or(short) } else { short };
    if short.len() == path.len() {
        return uri;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{short}{query}").parse().unwrap_or(uri)
}

/// Writes the security headers of the realm that an answer belongs to. Which of them depends on what a browser would
/// do with the answer: text cannot be framed, and only pages run scripts.
fn secure(method: &Method, secured: &Secured, response: &mut Response) {
    let status = response.status();
    let headers = response.headers_mut();
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_preflight = kind.is_empty() && method == Method::OPTIONS;
    let is_page = !is_preflight && !status.is_redirection() && (kind.is_empty() || kind.starts_with("text/html"));
    let framed = is_page || kind.starts_with("application/json");
    let own_policy = headers.contains_key(CONTENT_SECURITY_POLICY);
    let mut put = |setting: &str, value: &str| {
        let (name, applies) = match setting {
            "referrerPolicy" => (REFERRER_POLICY, true),
            "strictTransportSecurity" => (STRICT_TRANSPORT_SECURITY, true),
            "xContentTypeOptions" => (X_CONTENT_TYPE_OPTIONS, true),
            "xRobotsTag" => (X_ROBOTS_TAG, true),
            "xFrameOptions" => (X_FRAME_OPTIONS, framed),
            "contentSecurityPolicy" => (CONTENT_SECURITY_POLICY, is_page && !own_policy),
            "contentSecurityPolicyReportOnly" => (CONTENT_SECURITY_POLICY_REPORT_ONLY, is_page),
            _ => return,
        };
        if applies && !value.is_empty() {
            insert(headers, name, value);
        }
    };
    match secured {
        Secured::By(realm) => {
            realm.settings.browser_security_headers.iter().for_each(|(setting, value)| put(setting, value));
        }
        Secured::Standard => SECURITY_HEADERS.iter().for_each(|(setting, value)| put(setting, value)),
    }
}

/// Most realms keep the values that they began with; those need no copy.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let usual = SECURITY_HEADERS.iter().find(|(_, usual)| *usual == value);
    let value = usual.map_or_else(|| HeaderValue::from_str(value), |(_, usual)| Ok(HeaderValue::from_static(usual)));
    if let Ok(value) = value {
        headers.insert(name, value);
    }
}

/// The answer to HEAD: what GET would say, and how long it would be (RFC 9110 section 9.3.2).
fn without_body(mut response: Response) -> Response {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    response.map(|_| Body::empty())
}

#[cfg(test)]
mod tests {
    use super::{bad_path, canonical, in_tenant};

    #[test]
    fn a_tenant_is_taken_off_the_urls_that_have_tenants() {
        let found = |uri: &str| in_tenant(&uri.parse().expect("a URI")).map(|(name, uri)| (name, uri.to_string()));
        assert_eq!(found("/t/a.b/oauth2/token?x=y"), Some(("a.b".to_owned(), "/oauth2/token?x=y".to_owned())));
        for other in ["/t/a/realms/a", "/t//oauth2/token", "/t/a", "/oauth2/token", "/t/a/t/b/oauth2/token", "/t/a/"] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for path in ["//", "/a//b", "/a/../b", "/a/./b", "/a/%2e%2E/b", "/a/.%2e", "/a;b", "/a\\b", "/a%5cb", "/%00"] {
            assert!(bad_path(path).is_some(), "{path}");
        }
        for path in ["/", "/a/b/", "/.well-known/x", "/realms/a.b/...", "/realms/a%20b"] {
            assert!(bad_path(path).is_none(), "{path}");
        }
    }

    #[test]
    fn old_prefix_and_slash_are_dropped() {
        let short = |uri: &str| canonical(uri.parse().expect("a URI")).to_string();
        assert_eq!(short("/auth/realms/x/?a=b"), "/realms/x?a=b");
        assert_eq!(short("/authority"), "/authority");
        assert_eq!(short("/auth"), "/auth");
        assert_eq!(short("/"), "/");
        assert_eq!(short("/realms/auth/token/"), "/realms/auth/token");
    }
}
