//! The protocol endpoints: forms in, flows called, answers out.

pub(crate) mod documents;
pub(crate) mod introspect;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod revoke;
pub(crate) mod token;
pub(crate) mod userinfo;

use std::sync::Arc;

use grantor_flows::decisions::About;
use grantor_flows::{Parameters, Realm};
use grantor_model::Error;

use crate::app::Shared;
use crate::http::answer::Answer;
use crate::http::{Inbound, error};

/// The realm of a request and the parameters in its body; what is wrong with them is answered at once.
pub(crate) async fn read(app: &Shared, inbound: &mut Inbound) -> Result<(Arc<Realm>, Parameters), Answer> {
    let realm = inbound.realm(app).await?;
    match inbound.parameters().await {
        Ok(parameters) => Ok((realm, parameters)),
        Err(error) => Err(unreadable(app, inbound, &realm, error)),
    }
}

/// A body that cannot be read is a refusal as well, with its decision.
fn unreadable(app: &Shared, inbound: &Inbound, realm: &Arc<Realm>, error: Error) -> Answer {
    let answer = error::json(&error).no_store().of_realm(realm);
    let about = About { realm: realm.name.clone(), endpoint: "body", ..About::default() };
    let found = error.reason.clone().unwrap_or_default();
    let refused = grantor_model::Trail::new().refuse("body", "a form, or a flat JSON object", &found, error);
    inbound.refusal(app, &about, &refused, answer)
}

pub(crate) async fn preflight_post(app: Shared, inbound: Inbound) -> Answer {
    preflight(app, inbound, "POST, OPTIONS").await
}

pub(crate) async fn preflight_get(app: Shared, inbound: Inbound) -> Answer {
    preflight(app, inbound, "GET").await
}

pub(crate) async fn preflight_get_head(app: Shared, inbound: Inbound) -> Answer {
    preflight(app, inbound, "GET, HEAD, OPTIONS").await
}

async fn preflight(app: Shared, inbound: Inbound, methods: &'static str) -> Answer {
    match inbound.realm(&app).await {
        Ok(realm) => Answer::preflight(inbound.call().origin, methods).of_realm(&realm),
        Err(answer) => answer,
    }
}
