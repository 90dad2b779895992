//! The one table from errors to statuses, and the JSON of protocol errors (RFC 6749 section 5.2).

use grantor_model::{Error, Kind};
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::{Map, Value};

use super::answer::Answer;

/// The status of an error.
pub(crate) fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Request => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Method => StatusCode::METHOD_NOT_ALLOWED,
        Kind::Upstream => StatusCode::BAD_GATEWAY,
        Kind::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A protocol error as JSON. The reason stays inside.
pub(crate) fn json(error: &Error) -> Answer {
    json_as(status(error.kind), error)
}

/// The same with a status that the table does not give.
pub(crate) fn json_as(status: StatusCode, error: &Error) -> Answer {
    let mut body = Map::new();
    body.insert("error".to_owned(), Value::from(error.code.as_str()));
    if let Some(description) = &error.description {
        body.insert("error_description".to_owned(), Value::from(description.as_ref()));
    }
    let answer = Answer::json(status, &body);
    match error.kind {
        Kind::Throttled(seconds) => answer.header(RETRY_AFTER, &seconds.to_string()),
        Kind::Unavailable => answer.header(RETRY_AFTER, "2"),
        _ => answer,
    }
}

/// An error of HTTP itself, as Keycloak words it.
pub(crate) fn plain(status: StatusCode) -> Answer {
    let text = format!("HTTP {} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    Answer::json(status, &Map::from_iter([("error".to_owned(), Value::from(text))]))
}
