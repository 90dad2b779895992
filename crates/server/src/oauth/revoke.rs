//! `POST …/revoke`.

use grantor_flows::revoke::{self, Revoked};
use grantor_flows::token::Seen;
use http::StatusCode;
use serde_json::json;

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
    let answer = match revoke::revoke(&app.engine, &inbound.call(), &realm, &parameters, &mut seen).await {
        Ok(Revoked::Done) => Answer::empty(StatusCode::OK),
        Ok(Revoked::Unknown) => {
            Answer::json(StatusCode::OK, &json!({"error": "invalid_token", "error_description": "Invalid token"}))
        }
        Err(refused) => inbound.refusal(&app, &seen.about, &refused, error::json(refused.error())),
    };
    inbound.with_cors(&seen, answer).of_realm(&realm)
}
