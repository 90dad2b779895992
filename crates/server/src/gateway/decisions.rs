//! `GET /api/decisions/{id}`: why a call was refused, for the client whose token it was, and for administrators.

use grantor_flows::userinfo;
use grantor_flows::wso2::manage::{Caller, caller};
use grantor_model::{Code, Error, Kind};
use http::StatusCode;
use http::header::WWW_AUTHENTICATE;

use crate::app::Shared;
use crate::http::answer::Answer;
use crate::http::{Inbound, error};

/// Roles that let an administrator read the decisions of a realm.
const ROLES: [&str; 2] = ["view-events", "manage-events"];

pub(crate) async fn get(app: Shared, inbound: Inbound) -> Answer {
    match found(&app, &inbound).await {
        Ok(answer) => answer,
        Err(error) => {
            let answer = error::json(&error).no_store();
            if error.kind == Kind::Unauthenticated { answer.header(WWW_AUTHENTICATE, "Bearer, Basic") } else { answer }
        }
    }
}

async fn found(app: &Shared, inbound: &Inbound) -> Result<Answer, Error> {
    let call = inbound.call();
    if call.authorization.is_none() {
        let text = "The access token of the client that was refused, or an administrator's, is needed";
        return Err(Error::new(Kind::Unauthenticated, Code::InvalidToken, text));
    }
    let decision = app.engine.store.decision(&inbound.segment(2)).await;
    let decision = decision.map_err(|error| Error::unavailable(error.to_string()))?;
    // Whoever may not read it does not learn whether it is there.
    let missing = || Error::new(Kind::NotFound, Code::InvalidRequest, "There is no such decision that you may read");
    let decision = decision.ok_or_else(missing)?;
    let realm = app.engine.realm(&decision.realm, call.now).await?.ok_or_else(missing)?;
    let is_own = match (userinfo::client_of(&app.engine, &call, &realm).await?, &decision.client) {
        (Some(asking), Some(refused)) => asking == *refused,
        _ => false,
    };
    if !is_own && caller(&app.engine, &call, &realm, &ROLES).await? != Caller::Administrator {
        return Err(missing());
    }
    Ok(Answer::json(StatusCode::OK, &decision).no_store())
}
