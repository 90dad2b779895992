//! `POST …/token/introspect`.

use grantor_flows::introspect;
use grantor_flows::token::Seen;
use http::StatusCode;
use http::header::{ACCEPT, CACHE_CONTROL};

use super::read;
use crate::app::Shared;
use crate::http::answer::Answer;
use crate::http::{Inbound, error};

pub(crate) async fn post(app: Shared, mut inbound: Inbound) -> Answer {
    let (realm, parameters) = match read(&app, &mut inbound).await {
        Ok(both) => both,
        Err(answer) => return answer,
    };
    let mut seen = Seen::default();
    let accept = inbound.parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wants_jwt = accept.contains("application/jwt");
    let result = introspect::introspect(&app.engine, &inbound.call(), &realm, &parameters, wants_jwt, &mut seen).await;
    let answer = match result {
        Ok(claims) => Answer::json(StatusCode::OK, &claims).header(CACHE_CONTROL, "no-cache"),
        Err(refused) => inbound.refusal(&app, &seen.about, &refused, error::json(refused.error())),
    };
    inbound.with_cors(&seen, answer).of_realm(&realm)
}
