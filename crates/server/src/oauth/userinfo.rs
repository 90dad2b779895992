//! `GET` and `POST …/userinfo`. Errors are in `WWW-Authenticate` (RFC 6750 section 3) and have no body.

use std::sync::Arc;

use grantor_flows::token::Seen;
use grantor_flows::userinfo::{self, Userinfo};
use grantor_flows::{Parameters, Realm};
use grantor_model::{Code, Error};
use http::StatusCode;
use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, WWW_AUTHENTICATE};

use super::read;
use crate::app::Shared;
use crate::http::answer::Answer;
use crate::http::{Inbound, error};

pub(crate) async fn get(app: Shared, inbound: Inbound) -> Answer {
    match inbound.realm(&app).await {
        Ok(realm) => answer(&app, &inbound, &realm, &Parameters::default()).await,
        Err(answer) => answer,
    }
}

pub(crate) async fn post(app: Shared, mut inbound: Inbound) -> Answer {
    match read(&app, &mut inbound).await {
        Ok((realm, parameters)) => answer(&app, &inbound, &realm, &parameters).await,
        Err(answer) => answer,
    }
}

async fn answer(app: &Shared, inbound: &Inbound, realm: &Arc<Realm>, parameters: &Parameters) -> Answer {
    let call = inbound.call();
    let header = call.authorization.and_then(bearer);
    let token = match (header, parameters.get("access_token")) {
        (Some(_), Some(_)) => {
            let text = "More than one method used for including an access token";
            return challenge(realm, StatusCode::BAD_REQUEST, Some(&Error::request(text)));
        }
        (Some(token), None) | (None, Some(token)) if !token.is_empty() => token,
        _ => return challenge(realm, StatusCode::UNAUTHORIZED, None),
    };
    let mut seen = Seen::default();
    let answer = match userinfo::userinfo(&app.engine, &call, realm, token, &mut seen).await {
        Ok(Userinfo::Claims(claims)) => stored_by_nobody(Answer::json(StatusCode::OK, &claims)),
        Ok(Userinfo::Signed(jwt)) => stored_by_nobody(Answer::text(StatusCode::OK, "application/jwt", jwt)),
        Err(refused) => {
            let error = refused.error();
            let shown = match (error.kind, error.code) {
                (_, Code::InvalidToken | Code::InsufficientScope) => {
                    challenge(realm, error::status(error.kind), Some(error))
                }
                _ => error::json(error).no_store(),
            };
            let refusal = inbound.refusal(app, &seen.about, &refused, shown);
            if call.origin.is_some() && seen.echo_origin {
                return exposed(inbound, &seen, refusal).of_realm(realm);
            }
            refusal
        }
    };
    inbound.with_cors(&seen, answer).of_realm(realm)
}

/// A page may read what is in the challenge.
fn exposed(inbound: &Inbound, seen: &Seen, challenge: Answer) -> Answer {
    inbound
        .with_cors(seen, challenge)
        .header(ACCESS_CONTROL_EXPOSE_HEADERS, "Access-Control-Allow-Methods, WWW-Authenticate")
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn stored_by_nobody(answer: Answer) -> Answer {
    answer.no_store().header(CACHE_CONTROL, "no-store, no-cache")
}

fn challenge(realm: &Arc<Realm>, status: StatusCode, error: Option<&Error>) -> Answer {
    let mut value = format!("Bearer realm=\"{}\"", realm.name);
    if let Some(error) = error {
        let text = error.description.as_deref().unwrap_or_default();
        value.push_str(&format!(", error=\"{}\", error_description=\"{text}\"", error.code.as_str()));
    }
    Answer::text(status, "text/plain;charset=utf-8", "").no_store().header(WWW_AUTHENTICATE, &value).of_realm(realm)
}
