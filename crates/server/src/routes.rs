//! The table of public URLs. A row is a method, a path, what it is for, and its handler; `docs/urls.md` is made of it.
//!
//! Everything below `/realms` is also served below `/auth/realms`, where older programs look for it; everything below
//! `/oauth2` and `/api/server` and `/api/identity` also below `/t/{tenant}`.
//!
//! The table is searched here, not by the web framework's router: that one wraps each handler in several services and
//! its future in as many boxes, which shows at the token endpoint.

use std::pin::Pin;

use http::{Method, StatusCode, header};

use crate::app::Shared;
use crate::http::{Inbound, answer::Answer, error};
use crate::{gateway, oauth, pages, wso2};

/// The answer that a handler is working on.
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A row of the table.
#[derive(Debug)]
pub struct Route {
    /// Such as GET or POST.
    pub method: Method,
    /// The path, parameters in braces.
    pub path: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What a caller needs: `public`, `client`, `token` or `administrator`.
    pub needs: &'static str,
    handler: fn(Shared, Inbound) -> Answering,
}

macro_rules! routes {
    ($($method:ident $path:literal $needs:literal $handler:path, $about:literal;)*) => {
        vec![$(Route {
            method: Method::$method,
            path: $path,
            about: $about,
            needs: $needs,
            handler: |app, inbound| Box::pin($handler(app, inbound)),
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
        POST "/realms/{realm}/login" "public" oauth::login::post, "Plain login: a name and a password for a token";
        OPTIONS "/realms/{realm}/login" "public" oauth::preflight_post, "CORS preflight";
        POST "/api/auth/login" "public" oauth::login::post_default, "Plain login in the default realm";
        OPTIONS "/api/auth/login" "public" oauth::login::preflight_default, "CORS preflight";
        POST "/oauth2/token" "client" wso2::oauth::token, "Token endpoint, as WSO2 Identity Server has it";
        OPTIONS "/oauth2/token" "public" wso2::oauth::preflight, "CORS preflight";
        POST "/oauth2/introspect" "client" wso2::oauth::introspect, "Introspection (RFC 7662)";
        POST "/oauth2/revoke" "client" wso2::oauth::revoke, "Revocation (RFC 7009)";
        OPTIONS "/oauth2/revoke" "public" wso2::oauth::preflight, "CORS preflight";
        GET "/oauth2/userinfo" "token" wso2::oauth::userinfo, "Userinfo (OpenID Connect Core 5.3)";
        POST "/oauth2/userinfo" "token" wso2::oauth::userinfo, "The same";
        OPTIONS "/oauth2/userinfo" "public" wso2::oauth::preflight, "CORS preflight";
        GET "/oauth2/jwks" "public" wso2::oauth::keys, "Key set (RFC 7517)";
        GET "/oauth2/{component}/.well-known/openid-configuration" "public" wso2::oauth::discovery, "Discovery; the component is token or oidcdiscovery";
        GET "/oauth2/{component}/.well-known/oauth-authorization-server" "public" wso2::oauth::discovery, "The same, for OAuth (RFC 8414)";
        GET "/api/server/v1/identity-providers" "administrator" wso2::providers::list, "Identity providers, as WSO2 Identity Server lists them";
        POST "/api/server/v1/identity-providers" "administrator" wso2::providers::add, "Trusts an issuer";
        GET "/api/server/v1/identity-providers/{id}" "administrator" wso2::providers::get, "One identity provider";
        PATCH "/api/server/v1/identity-providers/{id}" "administrator" wso2::providers::patch, "Changes root attributes of it";
        DELETE "/api/server/v1/identity-providers/{id}" "administrator" wso2::providers::delete, "Removes it";
        GET "/api/server/v1/applications" "administrator" wso2::applications::list, "Applications, which are clients";
        POST "/api/server/v1/applications" "administrator" wso2::applications::add, "Adds an application";
        GET "/api/server/v1/applications/{id}" "administrator" wso2::applications::get, "One application";
        PATCH "/api/server/v1/applications/{id}" "administrator" wso2::applications::patch, "Changes its name, description, or whether it is on";
        DELETE "/api/server/v1/applications/{id}" "administrator" wso2::applications::delete, "Removes it";
        GET "/api/server/v1/applications/{id}/inbound-protocols/oidc" "administrator" wso2::applications::oidc_get, "Its OAuth settings and secret";
        PUT "/api/server/v1/applications/{id}/inbound-protocols/oidc" "administrator" wso2::applications::oidc_put, "Replaces its OAuth settings";
        DELETE "/api/server/v1/applications/{id}/inbound-protocols/oidc" "administrator" wso2::applications::oidc_delete, "Takes OAuth from it";
        POST "/api/server/v1/applications/{id}/inbound-protocols/oidc/regenerate-secret" "administrator" wso2::applications::regenerate, "A new secret; the old ones are refused";
        POST "/api/server/v1/applications/{id}/inbound-protocols/oidc/revoke" "administrator" wso2::applications::revoke, "Ends its secrets and tokens";
        GET "/api/server/v1/applications/{id}/inbound-protocols/oidc/secrets" "administrator" wso2::applications::secrets_list, "What is known of its secrets";
        POST "/api/server/v1/applications/{id}/inbound-protocols/oidc/secrets" "administrator" wso2::applications::secrets_add, "A second secret beside the first";
        DELETE "/api/server/v1/applications/{id}/inbound-protocols/oidc/secrets/{secret}" "administrator" wso2::applications::secrets_delete, "Ends one of two secrets";
        POST "/api/identity/oauth2/dcr/v1.1/register" "administrator" wso2::registration::register, "Registers a client (RFC 7591)";
        GET "/api/identity/oauth2/dcr/v1.1/register" "administrator" wso2::registration::find, "A client by client_name";
        GET "/api/identity/oauth2/dcr/v1.1/register/{client}" "administrator" wso2::registration::get, "A registered client";
        PUT "/api/identity/oauth2/dcr/v1.1/register/{client}" "administrator" wso2::registration::put, "Replaces it";
        DELETE "/api/identity/oauth2/dcr/v1.1/register/{client}" "administrator" wso2::registration::delete, "Removes it";
        GET "/api/authz/forward-auth" "token" gateway::authz::forward_auth, "Decides for Traefik or Caddy: the request in X-Forwarded-Method, -Host, -Uri";
        POST "/envoy.service.auth.v3.Authorization/Check" "token" gateway::envoy::check, "Decides for Envoy over gRPC";
        GET "/api/decisions/{id}" "token" gateway::decisions::get, "Why a call was refused: for the client whose token it was, and administrators";
        POST "/api/gateway/feed" "client" gateway::feed::post, "Routes, keys and revocations for gateways without a database";
        POST "/api/gateway/introspect" "client" gateway::feed::introspect, "Whether a token is good now, for such a gateway";
        POST "/api/authz/forward-auth" "token" gateway::authz::forward_auth, "Decides for Traefik or Caddy: the request in X-Forwarded-Method, -Host, -Uri";
        GET "/api/authz/auth-request" "token" gateway::authz::auth_request, "Decides for nginx: the request in X-Original-Method, -Host, -URI";
        GET "/api/authz/ext-authz/{*path}" "token" gateway::authz::ext_authz, "Decides for Envoy: the request itself, below this path";
        POST "/api/authz/ext-authz/{*path}" "token" gateway::authz::ext_authz, "Decides for Envoy: the request itself, below this path";
        PUT "/api/authz/ext-authz/{*path}" "token" gateway::authz::ext_authz, "Decides for Envoy: the request itself, below this path";
        PATCH "/api/authz/ext-authz/{*path}" "token" gateway::authz::ext_authz, "Decides for Envoy: the request itself, below this path";
        DELETE "/api/authz/ext-authz/{*path}" "token" gateway::authz::ext_authz, "Decides for Envoy: the request itself, below this path";
        OPTIONS "/api/authz/ext-authz/{*path}" "token" gateway::authz::ext_authz, "Decides for Envoy: the request itself, below this path";
        GET "/api/authz/ext-authz/" "token" gateway::authz::ext_authz, "The same for the root";
        POST "/api/authz/ext-authz/" "token" gateway::authz::ext_authz, "The same for the root";
        PUT "/api/authz/ext-authz/" "token" gateway::authz::ext_authz, "The same for the root";
        PATCH "/api/authz/ext-authz/" "token" gateway::authz::ext_authz, "The same for the root";
        DELETE "/api/authz/ext-authz/" "token" gateway::authz::ext_authz, "The same for the root";
        OPTIONS "/api/authz/ext-authz/" "token" gateway::authz::ext_authz, "The same for the root";
        GET "/" "public" pages::home, "Leads to the console";
        GET "/first-administrator/{link}" "public" pages::first_administrator::get, "The page behind the one-time link";
        POST "/first-administrator/{link}" "public" pages::first_administrator::post, "Makes the first administrator";
    }
}

/// The table, ready to be searched.
#[derive(Debug)]
pub(crate) struct Routes {
    search: matchit::Router<usize>,
    paths: Vec<Path>,
}

/// A path with the rows that it has.
#[derive(Debug)]
struct Path {
    name: &'static str,
    rows: Vec<Route>,
    /// The value of `Allow`.
    methods: String,
}

impl Routes {
    /// The whole table.
    ///
    /// # Panics
    /// When two paths of the table contradict each other, which the first test would show.
    #[allow(clippy::expect_used, reason = "the table is part of the program")]
    pub(crate) fn new() -> Self {
        let (mut search, mut paths) = (matchit::Router::new(), Vec::new());
        let mut left = table();
        while let Some(name) = left.first().map(|row| row.path) {
            let (rows, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|row| row.path == name);
            left = others;
            let methods = rows.iter().map(|row| row.method.as_str()).collect::<Vec<_>>().join(", ");
            search.insert(name, paths.len()).expect("paths that can be told apart");
            paths.push(Path { name, rows, methods });
        }
        Self { search, paths }
    }

    /// Answers a request; beside the answer, its path as the table writes it, for the log and the counters.
    pub(crate) async fn answer(&self, app: &Shared, inbound: Inbound) -> (&'static str, Answer) {
        let found = self.search.at(inbound.parts.uri.path()).ok().and_then(|found| self.paths.get(*found.value));
        let Some(path) = found else { return (UNMATCHED, unknown(app, inbound).await) };
        // Whatever has GET has HEAD (RFC 9110 section 9.3.2).
        let method = match &inbound.parts.method {
            &Method::HEAD => &Method::GET,
            method => method,
        };
        let answer = match path.rows.iter().find(|row| row.method == method) {
            Some(row) => (row.handler)(app.clone(), inbound).await,
            None => wrong_method(app, inbound, &path.methods).await,
        };
        (path.name, answer)
    }
}

/// What stands in the log for a path that is not in the table.
pub(crate) const UNMATCHED: &str = "unmatched";

/// A method that the path does not have: 405 with the methods it has (RFC 9110 section 15.5.6). The well-known
/// documents answer 404 instead, as recorded.
async fn wrong_method(app: &Shared, inbound: Inbound, methods: &str) -> Answer {
    // Elsewhere no part of the path names a realm.
    let realm = match inbound.parts.uri.path().starts_with("/realms/") {
        true => match inbound.realm(app).await {
            Ok(realm) => Some(realm),
            Err(answer) => return answer,
        },
        false => None,
    };
    let answer = if inbound.parts.uri.path().contains("/.well-known/") {
        error::plain(StatusCode::NOT_FOUND)
    } else {
        error::plain(StatusCode::METHOD_NOT_ALLOWED).header(header::ALLOW, methods)
    };
    match realm {
        Some(realm) => answer.of_realm(&realm),
        None => answer.with_standard_headers(),
    }
}

/// A path that is not in the table.
async fn unknown(app: &Shared, inbound: Inbound) -> Answer {
    let path = inbound.parts.uri.path();
    if !path.starts_with("/realms/") {
        let body = serde_json::json!({"error": "Unable to find matching target resource method"});
        return Answer::json(StatusCode::NOT_FOUND, &body);
    }
    let realm = match inbound.realm(app).await {
        Ok(realm) => realm,
        Err(answer) => return answer,
    };
    let other_protocol = path.split('/').nth(3) == Some("protocol") && path.split('/').nth(4) != Some("openid-connect");
    let answer = if other_protocol {
        Answer::json(StatusCode::NOT_FOUND, &serde_json::json!({"error": "Protocol not found"}))
    } else {
        error::plain(StatusCode::NOT_FOUND)
    };
    answer.of_realm(&realm)
}

/// The table as Markdown, for `docs/urls.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# URLs\n\nMade by `grantor urls --markdown`; do not edit. Everything below `/realms` is also served below \
         `/auth/realms`; everything below `/oauth2`, `/api/server` and `/api/identity` also below `/t/{tenant}`, where a \
         tenant is a realm.\n\n| method | path | needs | what |\n|---|---|---|---|\n",
    );
    for row in table().iter().filter(|row| row.method != Method::OPTIONS) {
        text.push_str(&format!("| {} | `{}` | {} | {} |\n", row.method, row.path, row.needs, row.about));
    }
    text
}
