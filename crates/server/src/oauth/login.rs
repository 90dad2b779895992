//! `POST …/login` and `POST /api/auth/login`: a name and a password for a token.

use std::sync::Arc;

use grantor_flows::Realm;
use grantor_flows::decisions::About;
use grantor_flows::login::{self, Delivery, LoggedIn};
use grantor_flows::token::Seen;
use grantor_model::{Error, Kind, Trail};
use http::StatusCode;
use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, SET_COOKIE, WWW_AUTHENTICATE};
use serde_json::json;

use crate::app::Shared;
use crate::http::answer::Answer;
use crate::http::{Inbound, body, error};

/// The cookie's name: its prefix makes browsers insist on `Secure` and on this host (RFC 6265bis section 4.1.3.2).
const COOKIE: &str = "__Host-token";

pub(crate) async fn post(app: Shared, inbound: Inbound) -> Answer {
    let name = inbound.segment(1);
    named(&app, inbound, &name).await
}

/// In the realm that URLs without one mean.
pub(crate) async fn post_default(app: Shared, inbound: Inbound) -> Answer {
    let name = app.reach.default_realm().to_owned();
    named(&app, inbound, &name).await
}

/// The preflight of `/api/auth/login`.
pub(crate) async fn preflight_default(app: Shared, inbound: Inbound) -> Answer {
    match inbound.realm_called(&app, app.reach.default_realm()).await {
        Ok(realm) => Answer::preflight(inbound.call().origin, "POST, OPTIONS").of_realm(&realm),
        Err(answer) => answer,
    }
}

async fn named(app: &Shared, inbound: Inbound, name: &str) -> Answer {
    match inbound.realm_called(app, name).await {
        Ok(realm) => in_realm(app, inbound, &realm).await,
        Err(answer) => answer,
    }
}

async fn in_realm(app: &Shared, mut inbound: Inbound, realm: &Arc<Realm>) -> Answer {
    if !body::has_parameters(&inbound.parts.headers) {
        let error = Error::request("The body must be JSON or a form");
        let answer = error::json_as(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error).no_store().of_realm(realm);
        let about = About { realm: realm.name.clone(), endpoint: "login", ..About::default() };
        let refused = Trail::new().refuse("Content-Type", "application/json or a form", "another or none", error);
        return inbound.refusal(app, &about, &refused, answer);
    }
    let parameters = match inbound.parameters().await {
        Ok(parameters) => parameters,
        Err(error) => return super::unreadable(app, &inbound, realm, error),
    };
    let mut seen = Seen::default();
    let result = login::login(&app.engine, &inbound.call(), realm, &parameters, &mut seen).await;
    let (answer, outcome) = match &result {
        Ok(logged_in) => (handed_over(logged_in), "ok"),
        Err(refused) => {
            let answer = match refused.error().kind {
                Kind::Unauthenticated => error::json(refused.error()).header(WWW_AUTHENTICATE, "Bearer"),
                _ => error::json(refused.error()),
            };
            (inbound.refusal(app, &seen.about, refused, answer), refused.error().code.as_str())
        }
    };
    app.metrics.token("login", outcome);
    let answer = inbound.with_cors(&seen, answer.no_store()).of_realm(realm);
    match result {
        Ok(LoggedIn { delivery: Delivery::Header, .. }) => {
            answer.header(ACCESS_CONTROL_EXPOSE_HEADERS, "Authorization")
        }
        _ => answer,
    }
}

fn handed_over(LoggedIn { token, expires_in, delivery }: &LoggedIn) -> Answer {
    let whole = json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in});
    match delivery {
        Delivery::Body => Answer::json(StatusCode::OK, &whole),
        Delivery::Header => Answer::json(StatusCode::OK, &whole).header(AUTHORIZATION, &format!("Bearer {token}")),
        // A token that a script could read in the body would make the cookie's protection useless.
        Delivery::Cookie => {
            let cookie = format!("{COOKIE}={token}; Max-Age={expires_in}; Path=/; HttpOnly; Secure; SameSite=Strict");
            Answer::json(StatusCode::OK, &json!({"token_type": "Bearer", "expires_in": expires_in}))
                .header(SET_COOKIE, &cookie)
        }
    }
}
