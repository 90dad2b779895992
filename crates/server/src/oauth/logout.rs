//! `POST …/logout` with a refresh token.

use grantor_flows::logout;
use grantor_flows::token::Seen;
use http::StatusCode;
use http::header::CACHE_CONTROL;

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
    let answer = match logout::by_refresh_token(&app.engine, &inbound.call(), &realm, &parameters, &mut seen).await {
        Ok(()) => Answer::empty(StatusCode::NO_CONTENT).header(CACHE_CONTROL, "no-cache"),
        Err(refused) => inbound.refusal(&app, &seen.about, &refused, error::json(refused.error()).no_store()),
    };
    inbound.with_cors(&seen, answer).of_realm(&realm)
}
