//! `/oauth2/token`, `introspect`, `revoke`, `userinfo`, `jwks`, and what describes them.

use std::sync::Arc;

use grantor_flows::Realm;
use grantor_flows::decisions::About;
use grantor_flows::grant::Grant;
use grantor_flows::token::Seen;
use grantor_flows::wso2;
use grantor_model::jose::Algorithm;
use grantor_model::{Code, Error, Kind, Refused, Trail};
use http::StatusCode;
use http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use serde_json::json;

use super::{is_plain, manage, realm};
use crate::app::Shared;
use crate::http::answer::Answer;
use crate::http::{Inbound, error};

/// The realm, or the answer: a tenant that is not there is told as a wrong client is, so that nobody learns which
/// tenants there are.
async fn tenant(app: &Shared, inbound: &Inbound) -> Result<Arc<Realm>, Answer> {
    let found = match is_plain(&inbound.query()) {
        true => realm(app, inbound).await,
        false => Ok(None),
    };
    let error = match found {
        Ok(Some(realm)) => return Ok(realm),
        Ok(None) => Error::new(Kind::Unauthenticated, Code::InvalidClient, "Client credentials are invalid."),
        Err(error) => error,
    };
    let name = inbound.tenant().unwrap_or_default().to_owned();
    let answer = shown(inbound, &error).with_standard_headers();
    let about = About { realm: name.clone(), endpoint: "oauth2", ..About::default() };
    let refused = match error.kind {
        Kind::Unauthenticated => Trail::new().refuse("tenant", "a realm, named once or twice the same", &name, error),
        _ => Trail::new().fail(error),
    };
    Err(inbound.refusal(app, &about, &refused, answer))
}

/// An error in this face's shape: a wrong client is asked for Basic credentials (RFC 6749 section 5.2).
fn shown(inbound: &Inbound, error: &Error) -> Answer {
    let answer = error::json(error).no_store();
    if error.kind == Kind::Unauthenticated {
        let host = inbound.context.base.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        return answer.header(WWW_AUTHENTICATE, &format!("Basic realm=\"{host}\""));
    }
    answer
}

fn refusal(app: &Shared, inbound: &Inbound, seen: &Seen, refused: &Refused) -> Answer {
    inbound.refusal(app, &seen.about, refused, shown(inbound, refused.error()))
}

/// Realm and parameters of a POST.
async fn read(app: &Shared, inbound: &mut Inbound) -> Result<(Arc<Realm>, grantor_flows::Parameters), Answer> {
    let realm = tenant(app, inbound).await?;
    match inbound.parameters().await {
        Ok(parameters) => Ok((realm, parameters)),
        Err(error) => {
            let told = match error.kind {
                Kind::TooLarge => error,
                _ => Error { reason: error.reason, ..Error::request("Malformed or unsupported request payload") },
            };
            let answer = error::json(&told).no_store().of_realm(&realm);
            let about = About { realm: realm.name.clone(), endpoint: "oauth2", ..About::default() };
            let refused = Trail::new().refuse("body", "a form, or a flat JSON object", "something else", told);
            Err(inbound.refusal(app, &about, &refused, answer))
        }
    }
}

pub(crate) async fn token(app: Shared, mut inbound: Inbound) -> Answer {
    let (realm, parameters) = match read(&app, &mut inbound).await {
        Ok(both) => both,
        Err(answer) => return answer,
    };
    let (mut seen, query) = (Seen::default(), inbound.query());
    let result = wso2::token(&app.engine, &inbound.call(), realm.clone(), &parameters, &query, &mut seen).await;
    let (answer, outcome) = match result {
        Ok(body) => (Answer::text(StatusCode::OK, "application/json", body), "ok"),
        Err(refused) => (refusal(&app, &inbound, &seen, &refused), refused.error().code.as_str()),
    };
    app.metrics.token(seen.grant.unwrap_or("none"), outcome);
    inbound.with_cors(&seen, answer.no_store()).of_realm(&realm)
}

pub(crate) async fn introspect(app: Shared, mut inbound: Inbound) -> Answer {
    let (realm, parameters) = match read(&app, &mut inbound).await {
        Ok(both) => both,
        Err(answer) => return answer,
    };
    let (mut seen, query) = (Seen::default(), inbound.query());
    let by_administrator = match manage::is_administrator(&app, &inbound, &realm).await {
        Ok(by_administrator) => by_administrator,
        Err(error) => return refusal(&app, &inbound, &seen, &Trail::new().fail(error)).of_realm(&realm),
    };
    let call = inbound.call();
    let result = wso2::introspect(&app.engine, &call, &realm, &parameters, &query, by_administrator, &mut seen).await;
    let answer = match result {
        Ok(wso2::Introspected(claims)) => Answer::json(StatusCode::OK, &claims).no_store(),
        // This endpoint has one error of its own, without a description.
        Err(refused) if refused.error().description.as_deref() == Some("Invalid input") => {
            let answer = Answer::json(StatusCode::BAD_REQUEST, &json!({"error": "Invalid input"}));
            inbound.refusal(&app, &seen.about, &refused, answer)
        }
        Err(refused) => refusal(&app, &inbound, &seen, &refused),
    };
    inbound.with_cors(&seen, answer).of_realm(&realm)
}

pub(crate) async fn revoke(app: Shared, mut inbound: Inbound) -> Answer {
    let (realm, parameters) = match read(&app, &mut inbound).await {
        Ok(both) => both,
        Err(answer) => return answer,
    };
    let (mut seen, query) = (Seen::default(), inbound.query());
    let answer = match wso2::revoke(&app.engine, &inbound.call(), &realm, &parameters, &query, &mut seen).await {
        Ok(()) => Answer::empty(StatusCode::OK).no_store(),
        Err(refused) => refusal(&app, &inbound, &seen, &refused),
    };
    inbound.with_cors(&seen, answer).of_realm(&realm)
}

pub(crate) async fn userinfo(app: Shared, inbound: Inbound) -> Answer {
    let realm = match tenant(&app, &inbound).await {
        Ok(realm) => realm,
        Err(answer) => return answer,
    };
    let call = inbound.call();
    let told = |text: &'static str| {
        Answer::json(StatusCode::BAD_REQUEST, &json!({"error": "invalid_request", "error_description": text}))
            .no_store()
            .of_realm(&realm)
    };
    let Some(header) = call.authorization else { return told("Authorization or Content-Type header is missing") };
    let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some(token) = token.map(|(_, token)| token.trim()).filter(|token| !token.is_empty()) else {
        return told("Bearer token missing");
    };
    let mut seen = Seen::default();
    let answer = match wso2::userinfo(&app.engine, &call, &realm, token, &mut seen).await {
        Ok(claims) => Answer::json(StatusCode::OK, &claims).no_store(),
        Err(refused) => {
            let error = refused.error();
            let answer = error::json(error).no_store();
            let answer = match error.code {
                Code::InvalidToken | Code::InsufficientScope => {
                    answer.header(WWW_AUTHENTICATE, &format!("Bearer error=\"{}\"", error.code.as_str()))
                }
                _ => answer,
            };
            inbound.refusal(&app, &seen.about, &refused, answer)
        }
    };
    inbound.with_cors(&seen, answer).of_realm(&realm)
}

/// The realm of a public document; what is public tells nothing by not being there.
async fn published(app: &Shared, inbound: &Inbound) -> Result<Arc<Realm>, Answer> {
    match realm(app, inbound).await {
        Ok(Some(realm)) if is_plain(&inbound.query()) => Ok(realm),
        Ok(_) => Err(error::json(&Error::bare(Kind::NotFound, Code::UnknownRealm)).with_standard_headers()),
        Err(error) => Err(error::json(&error).with_standard_headers()),
    }
}

pub(crate) async fn keys(app: Shared, inbound: Inbound) -> Answer {
    let realm = match published(&app, &inbound).await {
        Ok(realm) => realm,
        Err(answer) => return answer,
    };
    let realm = match app.engine.with_standard_keys(&realm, true, inbound.context.now).await {
        Ok(realm) => realm,
        Err(error) => return error::json(&error).of_realm(&realm),
    };
    let keys: Vec<_> = realm.keys.published(inbound.context.now).collect();
    let answer = Answer::json(StatusCode::OK, &json!({"keys": keys})).header(CACHE_CONTROL, "no-cache");
    readable_anywhere(&inbound, answer).of_realm(&realm)
}

/// `/oauth2/{component}/.well-known/openid-configuration`, and the same for OAuth (RFC 8414).
pub(crate) async fn discovery(app: Shared, inbound: Inbound) -> Answer {
    let component = inbound.segment(1);
    if !matches!(component.as_str(), "token" | "oidcdiscovery") {
        let shown: String = component.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
        let text = format!("Invalid path to the discovery document. Received path : {shown} is not resolvable");
        let body = json!({"error": "invalid_request", "error_description": text});
        return Answer::json(StatusCode::BAD_REQUEST, &body).with_standard_headers();
    }
    let realm = match published(&app, &inbound).await {
        Ok(realm) => realm,
        Err(answer) => return answer,
    };
    let at = app.engine.wso2.oauth2_of(&realm, &inbound.context.base);
    let all: Vec<&str> = Algorithm::ALL.iter().filter(|one| !one.is_hmac()).map(|one| one.name()).collect();
    let methods = ["client_secret_basic", "client_secret_post", "private_key_jwt", "client_secret_jwt"];
    let scopes: Vec<&str> = std::iter::once("openid").chain(realm.scopes.keys().map(String::as_str)).collect();
    let document = json!({
        "issuer": app.engine.wso2.issuer_of(&realm, &inbound.context.base),
        "token_endpoint": format!("{at}/token"),
        "introspection_endpoint": format!("{at}/introspect"),
        "revocation_endpoint": format!("{at}/revoke"),
        "userinfo_endpoint": format!("{at}/userinfo"),
        "jwks_uri": format!("{at}/jwks"),
        "grant_types_supported": Grant::offered(&app.engine),
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "scopes_supported": scopes,
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nbf", "azp", "at_hash"],
        "id_token_signing_alg_values_supported": all,
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
    });
    readable_anywhere(&inbound, Answer::json(StatusCode::OK, &document)).of_realm(&realm)
}

pub(crate) async fn preflight(app: Shared, inbound: Inbound) -> Answer {
    match tenant(&app, &inbound).await {
        Ok(realm) => Answer::preflight(inbound.call().origin, "GET, POST, OPTIONS").of_realm(&realm),
        Err(answer) => answer,
    }
}

/// Public documents may be read by a page of any origin.
fn readable_anywhere(inbound: &Inbound, answer: Answer) -> Answer {
    match inbound.call().origin {
        Some(origin) => answer.allow_origin(origin, false),
        None => answer,
    }
}
