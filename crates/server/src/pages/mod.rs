//! Pages for people. They work without JavaScript, by keyboard, on a phone and in the dark.

pub(crate) mod first_administrator;

use http::StatusCode;
use http::header::LOCATION;

use crate::app::Shared;
use crate::http::Inbound;
use crate::http::answer::Answer;

/// `/` leads to the console.
pub(crate) async fn home(_: Shared, inbound: Inbound) -> Answer {
    let console = format!("{}/admin/", inbound.context.base);
    Answer::empty(StatusCode::FOUND).header(LOCATION, &console).with_standard_headers()
}
