//! `POST …/token`.

use grantor_flows::token::{self, Seen};
use http::StatusCode;
use http::header::SET_COOKIE;

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
    let result = token::token(&app.engine, &inbound.call(), realm.clone(), &parameters, &mut seen).await;
    let (answer, outcome) = match result {
        Ok(issued) => {
            let answer = Answer::text(StatusCode::OK, "application/json", issued.body);
            let cookie = issued.locale.map(|locale| {
                let locale: String =
                    locale.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
                format!("KEYCLOAK_LOCALE={locale};Version=1;Path=/realms/{}/;Secure;HttpOnly;SameSite=None", realm.name)
            });
            (cookie.iter().fold(answer, |answer, cookie| answer.header(SET_COOKIE, cookie)), "ok")
        }
        Err(refused) => {
            let answer = error::json(refused.error());
            (inbound.refusal(&app, &seen.about, &refused, answer), refused.error().code.as_str())
        }
    };
    app.metrics.token(seen.grant.unwrap_or("none"), outcome);
    inbound.with_cors(&seen, answer.no_store()).of_realm(&realm)
}
