//! A task API: takes the name of an algorithm, runs it in the background, and posts the result to whoever asked.
//!
//! It knows nothing of tokens. The gateway in front of it has verified the caller's, and says in `X-Auth-Subject` and
//! `X-Auth-Roles` who it is; it listens on the loopback interface, so that nobody comes past the gateway.
//!
//! Settings are variables: `LISTEN` (127.0.0.1:9102), `ALLOW_CALLBACKS` (addresses and networks that results may be
//! posted to besides public ones), `CALLBACK_SECRET` (results are signed with it).

mod berths;
mod callback;
mod tasks;

use std::error::Error;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use callback::Callbacks;
use tasks::{Caller, Tasks};

struct App {
    tasks: Tasks,
    callbacks: Callbacks,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let variable = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let callbacks = Callbacks::new(&variable("ALLOW_CALLBACKS", ""), variable("CALLBACK_SECRET", "").into_bytes())?;
    let app = Arc::new(App { tasks: Tasks::default(), callbacks });
    let router = Router::new()
        .route("/health", get(|| async { "well" }))
        .route("/v1/algorithms/{algorithm}", post(run))
        .route("/v1/operations/{algorithm}", post(run))
        .route("/v1/tasks", get(list))
        .route("/v1/tasks/{id}", get(show))
        .with_state(app);
    let listener = tokio::net::TcpListener::bind(variable("LISTEN", "127.0.0.1:9102")).await?;
    tracing::info!(address = %listener.local_addr()?, "the task API listens");
    axum::serve(listener, router).await?;
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    name: String,
    #[serde(default)]
    response_url: Option<String>,
    #[serde(default, rename = "responseURL")]
    response_url_as_written: Option<String>,
}

/// An error as JSON: which field, and what is wrong with it.
fn wrong(status: StatusCode, field: &str, message: &str) -> Response {
    (status, Json(json!({"error": {"field": field, "message": message}}))).into_response()
}

async fn run(
    State(app): State<Arc<App>>,
    Path(algorithm): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    const LARGEST: usize = 64 * 1024;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type", "application/json is needed");
    }
    let Some(work) = tasks::algorithm(&algorithm) else {
        return wrong(StatusCode::NOT_FOUND, "algorithm", "there is none of that name");
    };
    let Ok(body) = axum::body::to_bytes(request.into_body(), LARGEST).await else {
        return wrong(StatusCode::PAYLOAD_TOO_LARGE, "body", "at most 64 KiB");
    };
    let order: Order = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return wrong(StatusCode::BAD_REQUEST, "body", &error.to_string()),
    };
    if order.name.trim().is_empty() || order.name.len() > 200 {
        return wrong(StatusCode::UNPROCESSABLE_ENTITY, "name", "1 to 200 characters");
    }
    let url = order.response_url_as_written.or(order.response_url);
    if let Some(url) = &url
        && let Err(reason) = app.callbacks.admits(url).await
    {
        return wrong(StatusCode::UNPROCESSABLE_ENTITY, "responseURL", &reason);
    }
    let caller = Caller::of(&headers);
    let Some(task) = app.tasks.add(&order.name, &algorithm, &caller) else {
        return wrong(StatusCode::SERVICE_UNAVAILABLE, "tasks", "too many are waiting");
    };
    let (id, answer) = (task.id.clone(), task.as_json());
    tokio::spawn(async move {
        let done = app.tasks.run(&id, work).await;
        if let (Some(url), Some(done)) = (url, done) {
            app.callbacks.post(&url, &done).await;
        }
    });
    let place = format!("/v1/tasks/{}", task.id);
    (StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(answer)).into_response()
}

async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Json<Vec<Value>> {
    Json(app.tasks.of(&Caller::of(&headers)))
}

async fn show(State(app): State<Arc<App>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    match app.tasks.one(&id, &Caller::of(&headers)) {
        Some(task) => Json(task).into_response(),
        None => wrong(StatusCode::NOT_FOUND, "id", "you have no task of that id"),
    }
}
