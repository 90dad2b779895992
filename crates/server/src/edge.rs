//! What every request passes: its path is judged, its origin found out, its answer secured, counted and logged.
//!
//! The clock is read here, once, and nowhere below. A path that two readers could read differently (`//`, dots, `;`) is
//! refused before anything looks at it. The issuer's address comes from the configuration, or from a `Host` header that
//! names this machine, and never from a stranger.

mod context;
mod reach;

pub use context::Context;
pub use reach::Reach;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant as Stopwatch;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use grantor_model::realm::RealmDocument;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use tower::{Service, ServiceExt as _};

use crate::app::Shared;
use crate::http::answer::{Answer, Secured};
use crate::listen::Peer;
use crate::routes::Matched;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request that was turned away at the door, with its answer.
type Turned = Box<(Context, Response)>;

/// The service of the main listener.
#[derive(Clone, Debug)]
pub struct Edge {
    app: Shared,
    router: Router,
}

impl Edge {
    /// Everything reachable at the main listener.
    pub fn new(app: Shared) -> Self {
        Self { router: crate::routes::router(app.clone()), app }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Body>) -> Response {
        let started = Stopwatch::now();
        let method = request.method().clone();
        let (context, mut response) = match self.admitted(request) {
            Ok((context, request)) => {
                let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
                (context, response)
            }
            Err(refused) => *refused,
        };
        secure(&method, &mut response);
        if let Ok(id) = HeaderValue::from_str(&context.request_id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let route = response.extensions().get::<Matched>().map_or("unmatched", |matched| matched.0);
        let (status, took) = (response.status().as_u16(), started.elapsed());
        self.app.metrics.request(route, status, took);
        tracing::info!(
            target: "grantor::request",
            request = %context.request_id,
            %method,
            route,
            status,
            micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            address = %context.address,
        );
        response
    }

    /// Judges the path and the `Host` header, and finds out who is calling.
    fn admitted(&self, request: Request<Body>) -> Result<(Context, Request<Body>), Turned> {
        let (mut parts, body) = request.into_parts();
        let peer = parts.extensions.get::<Peer>().copied();
        let context = self.app.reach.context((self.app.clock.0)(), &self.app.engine.entropy, peer, &parts);
        if let Some(answer) = bad_path(parts.uri.path()) {
            return Err(Box::new((context.unwrap_or_default(), answer.into_response())));
        }
        let context = match context {
            Ok(context) => context,
            Err(context) => {
                let hosts = self.app.reach.hosts();
                let text = format!("This server does not answer for that host name. It answers for: {hosts}");
                let body = serde_json::json!({"error": "misdirected_request", "error_description": text});
                let answer = Answer::json(StatusCode::MISDIRECTED_REQUEST, &body).with_standard_headers();
                return Err(Box::new((*context, answer.into_response())));
            }
        };
        parts.uri = canonical(parts.uri);
        parts.extensions.insert(context.clone());
        Ok((context, Request::from_parts(parts, body)))
    }
}

impl<B> Service<Request<B>> for Edge
where
    B: http_body_util::BodyExt<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let edge = self.clone();
        Box::pin(async move { Ok(edge.handle(request.map(Body::new)).await) })
    }
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
    let lower = path.to_ascii_lowercase();
    let dotted = |segment: &str| matches!(segment.replace("%2e", ".").as_str(), "." | "..");
    let hidden = lower.contains("%5c") || lower.contains('\\') || lower.contains("%00");
    if path.contains("//") || hidden || lower.split('/').any(dotted) {
        return Some(answer("missingNormalization", "Request path not normalized"));
    }
    None
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
fn secure(method: &Method, response: &mut Response) {
    let Some(secured) = response.extensions_mut().remove::<Secured>() else { return };
    let standard;
    let policy = match &secured {
        Secured::By(realm) => &realm.settings.browser_security_headers,
        Secured::Standard => {
            standard = RealmDocument::default();
            &standard.browser_security_headers
        }
    };
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let status = response.status();
    let is_preflight = kind.is_empty() && method == Method::OPTIONS;
    let is_page = !is_preflight && !status.is_redirection() && (kind.is_empty() || kind.starts_with("text/html"));
    let framed = is_page || kind.starts_with("application/json");
    let own_policy = response.headers().contains_key("content-security-policy");
    let headers = [
        ("referrerPolicy", "referrer-policy", true),
        ("strictTransportSecurity", "strict-transport-security", true),
        ("xContentTypeOptions", "x-content-type-options", true),
        ("xRobotsTag", "x-robots-tag", true),
        ("xFrameOptions", "x-frame-options", framed),
        ("contentSecurityPolicy", "content-security-policy", is_page && !own_policy),
        ("contentSecurityPolicyReportOnly", "content-security-policy-report-only", is_page),
    ];
    for (setting, name, applies) in headers {
        let value = policy.get(setting).filter(|value| applies && !value.is_empty());
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{bad_path, canonical};

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
