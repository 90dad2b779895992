//! The table of public URLs. A row is a method, a path, what it is for, and its handler; `docs/urls.md` is made of it.
//!
//! Everything below `/realms` is also served below `/auth/realms`, where older programs look for it.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::{Method, StatusCode, header};

use crate::app::Shared;
use crate::http::{Inbound, answer::Answer, error};
use crate::{oauth, pages};

/// A row of the table.
#[derive(Debug)]
pub struct Route {
    /// GET, POST or OPTIONS.
    pub method: Method,
    /// The path, parameters in braces.
    pub path: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What a caller needs: `public`, `client` or `token`.
    pub needs: &'static str,
    router: fn(MethodFilter) -> MethodRouter<Shared>,
}

/// The row that a request matched, for the log and the counters.
#[derive(Clone, Copy, Debug)]
pub struct Matched(pub &'static str);

macro_rules! routes {
    ($($method:ident $path:literal $needs:literal $handler:path, $about:literal;)*) => {
        vec![$(Route {
            method: Method::$method,
            path: $path,
            about: $about,
            needs: $needs,
            router: |filter| on(filter, $handler),
        }),*]
    };
}

/// All rows.
pub fn table() -> Vec<Route> {
    routes! {
        POST "/realms/{realm}/protocol/openid-connect/token" "client" oauth::token::post, "Token endpoint (RFC 6749)";
        OPTIONS "/realms/{realm}/protocol/openid-connect/token" "public" oauth::preflight_post, "CORS preflight";
        POST "/realms/{realm}/protocol/openid-connect/token/introspect" "client" oauth::introspect::post, "Introspection (RFC 7662)";
        OPTIONS "/realms/{realm}/protocol/openid-connect/token/introspect" "public" oauth::preflight_post, "CORS preflight";
        POST "/realms/{realm}/protocol/openid-connect/revoke" "client" oauth::revoke::post, "Revocation (RFC 7009)";
        OPTIONS "/realms/{realm}/protocol/openid-connect/revoke" "public" oauth::preflight_post, "CORS preflight";
        POST "/realms/{realm}/protocol/openid-connect/logout" "client" oauth::logout::post, "Logout by refresh token";
        GET "/realms/{realm}/protocol/openid-connect/userinfo" "token" oauth::userinfo::get, "Userinfo (OpenID Connect Core 5.3)";
        POST "/realms/{realm}/protocol/openid-connect/userinfo" "token" oauth::userinfo::post, "Userinfo, token in the form too";
        OPTIONS "/realms/{realm}/protocol/openid-connect/userinfo" "public" oauth::preflight_get_head, "CORS preflight";
        GET "/realms/{realm}/protocol/openid-connect/certs" "public" oauth::documents::keys, "Key set (RFC 7517)";
        OPTIONS "/realms/{realm}/protocol/openid-connect/certs" "public" oauth::preflight_get, "CORS preflight";
        GET "/realms/{realm}/.well-known/openid-configuration" "public" oauth::documents::discovery, "Discovery (OpenID Connect Discovery 1.0)";
        OPTIONS "/realms/{realm}/.well-known/openid-configuration" "public" oauth::preflight_get, "CORS preflight";
        GET "/realms/{realm}/.well-known/oauth-authorization-server" "public" oauth::documents::discovery, "The same, for OAuth (RFC 8414)";
        GET "/.well-known/oauth-authorization-server/realms/{realm}" "public" oauth::documents::discovery_before_path, "The same, where RFC 8414 section 3.1 puts it";
        GET "/realms/{realm}" "public" oauth::documents::realm, "Name, public key and addresses of a realm";
        OPTIONS "/realms/{realm}" "public" oauth::preflight_get, "CORS preflight";
        GET "/" "public" pages::home, "Leads to the console";
        GET "/first-administrator/{link}" "public" pages::first_administrator::get, "The page behind the one-time link";
        POST "/first-administrator/{link}" "public" pages::first_administrator::post, "Makes the first administrator";
    }
}

/// The table as a router.
pub(crate) fn router(app: Shared) -> Router {
    let mut router = Router::new();
    let mut rows = table();
    while let Some(path) = rows.first().map(|row| row.path) {
        let (same, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.path == path);
        rows = others;
        let mut methods: MethodRouter<Shared> = MethodRouter::new();
        for row in &same {
            let filter = MethodFilter::try_from(row.method.clone()).unwrap_or(MethodFilter::GET);
            methods = methods.merge((row.router)(filter));
        }
        let allow = same.iter().map(|row| row.method.as_str()).collect::<Vec<_>>().join(", ");
        let methods = methods.fallback(move |state, inbound| wrong_method(state, inbound, allow.clone()));
        let label = from_fn(move |request: Request, next: Next| labelled(path, request, next));
        router = router.route(path, methods.layer(label));
    }
    router.fallback(unknown).with_state(app)
}

async fn labelled(path: &'static str, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.extensions_mut().insert(Matched(path));
    response
}

/// A method that the path does not have: 405 with the methods it has (RFC 9110 section 15.5.6). The well-known
/// documents answer 404 instead, as recorded.
async fn wrong_method(State(app): State<Shared>, inbound: Inbound, allow: String) -> Response {
    let realm = match inbound.realm(&app).await {
        _ if !inbound.parts.uri.path().starts_with("/realms/") => None,
        Ok(realm) => Some(realm),
        Err(answer) => return answer.into_response(),
    };
    let answer = if inbound.parts.uri.path().contains("/.well-known/") {
        error::plain(StatusCode::NOT_FOUND)
    } else {
        error::plain(StatusCode::METHOD_NOT_ALLOWED).header(header::ALLOW, &allow)
    };
    match realm {
        Some(realm) => answer.of_realm(&realm).into_response(),
        None => answer.with_standard_headers().into_response(),
    }
}

/// A path that is not in the table.
async fn unknown(State(app): State<Shared>, inbound: Inbound) -> Response {
    let path = inbound.parts.uri.path();
    if !path.starts_with("/realms/") {
        let body = serde_json::json!({"error": "Unable to find matching target resource method"});
        return Answer::json(StatusCode::NOT_FOUND, &body).into_response();
    }
    let realm = match inbound.realm(&app).await {
        Ok(realm) => realm,
        Err(answer) => return answer.into_response(),
    };
    let other_protocol = path.split('/').nth(3) == Some("protocol") && path.split('/').nth(4) != Some("openid-connect");
    let answer = if other_protocol {
        Answer::json(StatusCode::NOT_FOUND, &serde_json::json!({"error": "Protocol not found"}))
    } else {
        error::plain(StatusCode::NOT_FOUND)
    };
    answer.of_realm(&realm).into_response()
}

/// The table as Markdown, for `docs/urls.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# URLs\n\nMade by `grantor urls --markdown`; do not edit. Everything below `/realms` is also served below \
         `/auth/realms`.\n\n| method | path | needs | what |\n|---|---|---|---|\n",
    );
    for row in table().iter().filter(|row| row.method != Method::OPTIONS) {
        text.push_str(&format!("| {} | `{}` | {} | {} |\n", row.method, row.path, row.needs, row.about));
    }
    text
}
