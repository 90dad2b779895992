//! The gateway's listener while no route is configured: everything is refused.
//!
//! Deny by default is the gateway's first rule, so an address that answers nothing yet is its honest beginning.

use axum::Router;
use axum::response::IntoResponse;
use http::StatusCode;
use http::header::CONTENT_TYPE;

/// Refuses every request.
pub fn closed() -> Router {
    Router::new().fallback(refused)
}

async fn refused() -> impl IntoResponse {
    let body = serde_json::json!({"error": "no_route", "error_description": "No route of the gateway names this host and path"});
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "application/json")], body.to_string())
}
