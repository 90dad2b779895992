//! Reading parameters: forms, multipart forms, and a flat JSON object.
//!
//! Only the body is read, never the query. A body of another kind reads as empty, as recorded from Keycloak: then
//! `grant_type` is missing. A strict flat JSON object is accepted beside the form, since documents show one.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use axum::body::Body;
use bytes::Bytes;
use grantor_flows::Parameters;
use grantor_model::{Code, Error, Kind};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// The longest body that is read.
const LONGEST: usize = 256 * 1024;

/// The longest time that a body may take.
const SLOWEST: std::time::Duration = std::time::Duration::from_secs(10);

/// Reads a body and the parameters in it.
pub(crate) async fn parameters(headers: &HeaderMap, body: Body) -> Result<Parameters, Error> {
    let bytes = read(body).await?;
    let kind = kind(headers);
    match essence(kind).as_str() {
        FORM => Ok(Parameters::new(form_urlencoded::parse(&bytes).into_owned())),
        MULTIPART => Box::pin(multipart(kind, bytes)).await.map(Parameters::new),
        JSON => json(&bytes).map(Parameters::new),
        _ => Ok(Parameters::default()),
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";
const JSON: &str = "application/json";

fn kind(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn essence(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Reads a body of JSON, of any depth that a management API has.
pub(crate) async fn value(headers: &HeaderMap, body: Body) -> Result<serde_json::Value, Error> {
    let bytes = read(body).await?;
    if essence(kind(headers)) != JSON {
        return Err(Error::request("The body must be application/json"));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Error::request(format!("The body is not JSON: {place}"))
    })
}

/// Reads a body of one JSON object.
pub(crate) async fn object(
    headers: &HeaderMap,
    body: Body,
) -> Result<serde_json::Map<String, serde_json::Value>, Error> {
    match value(headers, body).await? {
        serde_json::Value::Object(members) => Ok(members),
        _ => Err(Error::request("The body is not a JSON object")),
    }
}

/// Whether a body is of a kind that holds parameters.
pub(crate) fn has_parameters(headers: &HeaderMap) -> bool {
    matches!(essence(kind(headers)).as_str(), FORM | MULTIPART | JSON)
}

/// Reads a whole body.
pub(crate) async fn read(body: Body) -> Result<Bytes, Error> {
    let mut reading = pin!(Limited::new(body, LONGEST).collect());
    // A body that came with its head needs no clock.
    let read = match poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await {
        Poll::Ready(read) => Ok(read),
        Poll::Pending => tokio::time::timeout(SLOWEST, reading).await,
    };
    match read {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Error::new(Kind::TooLarge, Code::InvalidRequest, "The request body is larger than 256 KiB"))
        }
        Ok(Err(_)) => Err(Error::request("The request body ended before its end")),
        Err(_) => Err(Error::request("The request body took longer than 10 seconds")),
    }
}

async fn multipart(kind: &str, bytes: Bytes) -> Result<Vec<(String, String)>, Error> {
    let bad = |_: multer::Error| Error::request("The multipart form cannot be read");
    let boundary = multer::parse_boundary(kind).map_err(bad)?;
    let stream = futures_util::stream::once(std::future::ready(Ok::<_, std::convert::Infallible>(bytes)));
    let mut form = multer::Multipart::new(stream, boundary);
    let mut pairs = Vec::new();
    while let Some(field) = form.next_field().await.map_err(bad)? {
        let name = field.name().unwrap_or_default().to_owned();
        pairs.push((name, field.text().await.map_err(bad)?));
    }
    Ok(pairs)
}

/// A JSON object, its members as they stand in the body: a stranger's tree costs nothing but its bytes. A member that
/// occurs twice stays twice, so that it is refused like a repeated form parameter.
struct Flat<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Flat<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Flat<'de>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object with texts as members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Flat<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Flat(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A member that is a text; the name of another one is told, its value is not. Of the name stays what an error
/// description may hold (RFC 6749 section 5.2).
fn text((name, value): (String, &RawValue)) -> Result<(String, String), Error> {
    match serde_json::from_str(value.get()) {
        Ok(text) => Ok((name, text)),
        Err(_) => {
            let allowed = |c: &char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
            let shown: String = name.chars().filter(allowed).take(40).collect();
            let text = format!("A JSON body must be an object whose members are texts, and '{shown}' is none");
            Err(Error::request(text))
        }
    }
}

fn json(bytes: &[u8]) -> Result<Vec<(String, String)>, Error> {
    match serde_json::from_slice(bytes) {
        Ok(Flat(pairs)) => pairs.into_iter().map(text).collect(),
        // What the parser says itself would quote the body, and with it a password that is not a text.
        Err(error) => {
            let place = format!("line {}, column {}", error.line(), error.column());
            Err(Error::request("A JSON body must be an object whose members are texts").because(place))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::json;

    #[test]
    fn only_flat_objects_of_texts_are_read() {
        assert_eq!(json(br#"{"a":"1","a":"2"}"#).map(|pairs| pairs.len()).ok(), Some(2));
        for bad in
            ["", "[]", "1", "{\"a\":1}", "{\"a\":{}}", "{\"a\":null}", "{\"a\":\"1\"", "{\"a\":\"1\"} x", "\u{feff}{}"]
        {
            assert!(json(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
