//! The page behind the one-time link: a name and a password for the first administrator.
//!
//! The link is the proof. It is part of the path, so that it is in no log (paths are logged as the URL table writes
//! them), it works once and for an hour, and only its hash is stored.

use askama::Template;
use grantor_model::Secret;
use http::StatusCode;
use http::header::{CACHE_CONTROL, REFERRER_POLICY};

use crate::app::Shared;
use crate::http::Inbound;
use crate::http::answer::Answer;

/// Shorter passwords are refused here: this one opens everything.
const SHORTEST: usize = 12;

#[derive(Template)]
#[template(path = "first_administrator.html")]
struct Page<'a> {
    stage: Stage,
    username: &'a str,
    problem: Option<&'a str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Done,
    Gone,
}

impl Page<'_> {
    fn answer(&self, status: StatusCode) -> Answer {
        let html = self.render().unwrap_or_else(|error| {
            tracing::error!(%error, "a page cannot be made");
            String::new()
        });
        Answer::text(status, "text/html;charset=utf-8", html)
            .with_standard_headers()
            .header(CACHE_CONTROL, "no-store")
            .header(REFERRER_POLICY, "no-referrer")
            .header(
                http::header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            )
    }
}

const GONE: Page<'_> = Page { stage: Stage::Gone, username: "", problem: None };

pub(crate) async fn get(app: Shared, inbound: Inbound) -> Answer {
    match app.engine.is_administrator_link(&inbound.segment(1), inbound.context.now).await {
        Ok(true) => Page { stage: Stage::Open, username: "", problem: None }.answer(StatusCode::OK),
        Ok(false) => GONE.answer(StatusCode::NOT_FOUND),
        Err(error) => unavailable(&error),
    }
}

pub(crate) async fn post(app: Shared, mut inbound: Inbound) -> Answer {
    let (link, now) = (inbound.segment(1), inbound.context.now);
    match app.engine.is_administrator_link(&link, now).await {
        Ok(true) => {}
        Ok(false) => return GONE.answer(StatusCode::NOT_FOUND),
        Err(error) => return unavailable(&error),
    }
    let form = inbound.parameters().await.unwrap_or_default();
    let get = |name: &str| form.get(name).unwrap_or_default();
    let username = get("username").trim().to_owned();
    let problem = if username.is_empty() {
        Some("Choose a user name.")
    } else if get("password").chars().count() < SHORTEST {
        Some("The password needs at least 12 characters.")
    } else if get("password") != get("again") {
        Some("The two passwords differ.")
    } else {
        None
    };
    let open = |problem: &str| {
        Page { stage: Stage::Open, username: &username, problem: Some(problem) }.answer(StatusCode::BAD_REQUEST)
    };
    if let Some(problem) = problem {
        return open(problem);
    }
    match app.engine.use_administrator_link(&link, &username, Secret::new(get("password")), now).await {
        Ok(()) => Page { stage: Stage::Done, username: &username, problem: None }.answer(StatusCode::OK),
        Err(error) => open(&error.problem),
    }
}

fn unavailable(error: &grantor_flows::admin::AdminError) -> Answer {
    tracing::error!(%error, "the first administrator's link cannot be checked");
    Answer::text(
        StatusCode::SERVICE_UNAVAILABLE,
        "text/plain;charset=utf-8",
        "The database does not answer. Try again later.\n",
    )
}
