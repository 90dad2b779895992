//! What describes a realm: discovery, key set, realm document. A realm that is off still shows them, so that tokens
//! given out before can be verified.
//!
//! Discovery names what works and nothing else (RFC 8414 section 2).

use std::sync::Arc;

use grantor_flows::Realm;
use grantor_flows::keys::KeyUse;
use grantor_model::jose::Algorithm;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};

use crate::app::Shared;
use crate::http::Inbound;
use crate::http::answer::Answer;

/// How long discovery may be stored: not at all.
const NEVER_STORED: &str = "no-cache, must-revalidate, no-transform, no-store";

pub(crate) async fn discovery(app: Shared, inbound: Inbound) -> Answer {
    match inbound.realm(&app).await {
        Ok(realm) => described(&app, &inbound, &realm),
        Err(answer) => answer,
    }
}

pub(crate) async fn discovery_before_path(app: Shared, inbound: Inbound) -> Answer {
    match app.engine.realm(&inbound.segment(3), inbound.context.now).await {
        Ok(Some(realm)) => described(&app, &inbound, &realm),
        Ok(None) => {
            let unknown = grantor_model::Error::bare(grantor_model::Kind::NotFound, grantor_model::Code::UnknownRealm);
            crate::http::error::json(&unknown).with_standard_headers()
        }
        Err(error) => crate::http::error::json(&error).with_standard_headers(),
    }
}

fn described(app: &Shared, inbound: &Inbound, realm: &Arc<Realm>) -> Answer {
    let issuer = realm.issuer(&inbound.context.base);
    let at = |path: &str| format!("{issuer}/protocol/openid-connect/{path}");
    let names = |keep: fn(&Algorithm) -> bool| -> Vec<&str> {
        Algorithm::ALL.iter().filter(|algorithm| keep(algorithm)).map(|algorithm| algorithm.name()).collect()
    };
    let all = names(|_| true);
    let methods = ["private_key_jwt", "client_secret_basic", "client_secret_post", "client_secret_jwt"];
    let scopes: Vec<&str> = std::iter::once("openid").chain(realm.scopes.keys().map(String::as_str)).collect();
    let document = json!({
        "issuer": issuer,
        "token_endpoint": at("token"),
        "introspection_endpoint": at("token/introspect"),
        "userinfo_endpoint": at("userinfo"),
        "jwks_uri": at("certs"),
        "grant_types_supported": grantor_flows::grant::Grant::offered(&app.engine),
        "acr_values_supported": ["0", "1"],
        "response_types_supported": [],
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": all,
        "userinfo_signing_alg_values_supported": all.iter().copied().chain(["none"]).collect::<Vec<_>>(),
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": all,
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": all,
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "name", "given_name", "family_name",
            "preferred_username", "email", "acr", "azp", "nonce"],
        "claim_types_supported": ["normal"],
        "claims_parameter_supported": false,
        "scopes_supported": scopes,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "tls_client_certificate_bound_access_tokens": false,
        "revocation_endpoint": at("revoke"),
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": all,
    });
    readable_anywhere(inbound, Answer::json(StatusCode::OK, &document).header(CACHE_CONTROL, NEVER_STORED))
        .of_realm(realm)
}

/// The realm with all that is published of it: a new realm's keys are made when somebody asks.
async fn with_keys(app: &Shared, inbound: &Inbound, realm: Arc<Realm>) -> Result<Arc<Realm>, Answer> {
    app.engine.with_standard_keys(&realm, true, inbound.context.now).await.map_err(|error| {
        tracing::error!(request = %inbound.context.request_id, %error, "a realm's keys cannot be made");
        crate::http::error::json(&error).of_realm(&realm)
    })
}

pub(crate) async fn keys(app: Shared, inbound: Inbound) -> Answer {
    let realm = match inbound.realm(&app).await {
        Ok(realm) => realm,
        Err(answer) => return answer,
    };
    let realm = match with_keys(&app, &inbound, realm).await {
        Ok(realm) => realm,
        Err(answer) => return answer,
    };
    let keys: Vec<_> = realm.keys.published(inbound.context.now).collect();
    let answer = Answer::json(StatusCode::OK, &json!({"keys": keys}));
    readable_anywhere(&inbound, answer.header(CACHE_CONTROL, "no-cache")).of_realm(&realm)
}

pub(crate) async fn realm(app: Shared, inbound: Inbound) -> Answer {
    let realm = match inbound.realm(&app).await {
        Ok(realm) => realm,
        Err(answer) => return answer,
    };
    let realm = match with_keys(&app, &inbound, realm).await {
        Ok(realm) => realm,
        Err(answer) => return answer,
    };
    let issuer = realm.issuer(&inbound.context.base);
    let document = json!({
        "realm": realm.name,
        "public_key": public_key(&realm),
        "token-service": format!("{issuer}/protocol/openid-connect"),
        "account-service": format!("{issuer}/account"),
        "tokens-not-before": realm.settings.not_before,
    });
    let body = serde_json::to_string(&document).unwrap_or_default();
    let answer = Answer::text(StatusCode::OK, "application/json;charset=UTF-8", body);
    readable_anywhere(&inbound, answer.header(CACHE_CONTROL, "no-cache")).of_realm(&realm)
}

/// The key that signs, as base64 of its SubjectPublicKeyInfo.
fn public_key(realm: &Realm) -> Value {
    let algorithm = realm.settings.default_signature_algorithm.as_deref().and_then(Algorithm::parse);
    let signer = realm.keys.signer(algorithm.unwrap_or(Algorithm::RS256));
    let first = || realm.keys.iter().find(|key| key.key_use == KeyUse::Sig).and_then(|key| key.public_spki());
    let spki = signer.and_then(|signer| signer.key.spki_der()).or_else(first);
    use base64::Engine as _;
    spki.map_or(Value::Null, |spki| Value::from(base64::engine::general_purpose::STANDARD.encode(spki)))
}

/// Public documents may be read by a page of any origin.
fn readable_anywhere(inbound: &Inbound, answer: Answer) -> Answer {
    match inbound.call().origin {
        Some(origin) => answer.allow_origin(origin, false),
        None => answer,
    }
}
