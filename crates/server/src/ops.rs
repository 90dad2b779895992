//! Health and metrics, on a port of their own.

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::any;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::app::Shared;

/// The router of the operations port.
pub fn router(app: Shared) -> Router {
    Router::new()
        .route("/health", any(ready))
        .route("/health/ready", any(ready))
        .route("/health/live", any(alive))
        .route("/health/started", any(alive))
        .route("/metrics", any(metrics))
        .with_state(app)
}

fn health(status: StatusCode, body: &Value) -> impl IntoResponse + use<> {
    let headers = [(CONTENT_TYPE, "application/json; charset=UTF-8"), (CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string())
}

async fn alive() -> impl IntoResponse {
    health(StatusCode::OK, &json!({"status": "UP", "checks": []}))
}

/// Ready while the database answers. A server that has lost it refuses requests and comes back by itself.
async fn ready(State(app): State<Shared>) -> impl IntoResponse {
    let up = !app.engine.realms.is_lost();
    let word = if up { "UP" } else { "DOWN" };
    let status = if up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let kind = app.engine.store.database().kind();
    // Routes that cannot be used keep nobody else waiting.
    let faults = crate::gateway::faults(&app);
    let routes = if faults.is_empty() { "UP" } else { "DOWN" };
    let checks = json!([{"name": format!("database ({kind})"), "status": word},
                        {"name": "routes", "status": routes, "data": faults}]);
    health(status, &json!({"status": word, "checks": checks}))
}

async fn metrics(State(app): State<Shared>) -> impl IntoResponse {
    let headers =
        [(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    app.metrics.applied(app.gateway.gateway.revoked().position);
    (headers, app.metrics.text(&app.engine))
}
