//! A request as handlers get it.

use std::sync::Arc;

use axum::body::Body;
use grantor_flows::decisions::About;
use grantor_flows::token::Seen;
use grantor_flows::{Call, Parameters, Realm};
use grantor_model::{Code, Error, Kind, Refused, Trail};
use http::Method;
use http::header::{AUTHORIZATION, HeaderName, ORIGIN};
use http::request::Parts;
use sync_wrapper::SyncWrapper;

use super::answer::Answer;
use super::{body, error};
use crate::app::App;
use crate::edge::Context;

/// The header that names the decision behind a refusal.
const DECISION: HeaderName = HeaderName::from_static("grantor-decision");

/// The head of a request, its body, and what the edge found out about it.
pub(crate) struct Inbound {
    pub(crate) parts: Parts,
    /// Wrapped, since a body may be used by one task at a time and the rest is shared with flows.
    body: SyncWrapper<Body>,
    pub(crate) context: Context,
    /// The tenant of the path, as it stands there.
    tenant: Option<String>,
}

impl Inbound {
    /// What the edge let in.
    pub(crate) fn new(parts: Parts, body: Body, context: Context, tenant: Option<String>) -> Self {
        let tenant = tenant.map(|tenant| percent_decoded(&tenant));
        Self { parts, body: SyncWrapper::new(body), context, tenant }
    }

    /// The tenant that the path was below, decoded.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The parameters of the URL.
    pub(crate) fn query(&self) -> Parameters {
        let text = self.parts.uri.query().unwrap_or_default();
        Parameters::new(form_urlencoded::parse(text.as_bytes()).into_owned())
    }

    /// Takes the body and reads it as it is.
    pub(crate) async fn bytes(&mut self) -> Result<bytes::Bytes, Error> {
        let body = std::mem::replace(self.body.get_mut(), Body::empty());
        body::read(body).await
    }

    /// Takes the body and reads the JSON object in it.
    pub(crate) async fn object(&mut self) -> Result<serde_json::Map<String, serde_json::Value>, Error> {
        let body = std::mem::replace(self.body.get_mut(), Body::empty());
        body::object(&self.parts.headers, body).await
    }

    /// Takes the body and reads the JSON value in it.
    pub(crate) async fn value(&mut self) -> Result<serde_json::Value, Error> {
        let body = std::mem::replace(self.body.get_mut(), Body::empty());
        body::value(&self.parts.headers, body).await
    }

    /// The request as flows see it.
    pub(crate) fn call(&self) -> Call<'_> {
        let text = |name: HeaderName| self.parts.headers.get(name).and_then(|value| value.to_str().ok());
        Call {
            now: self.context.now,
            address: self.context.address,
            secure: self.context.secure,
            base: &self.context.base,
            origin: text(ORIGIN),
            authorization: text(AUTHORIZATION),
        }
    }

    /// The path segment at a position, decoded: `/realms/{1}/…`.
    pub(crate) fn segment(&self, position: usize) -> String {
        let segment = self.parts.uri.path().split('/').nth(position + 1).unwrap_or_default();
        percent_decoded(segment)
    }

    /// The realm that the path names. Without one, whoever posted is told and the refusal kept.
    pub(crate) async fn realm(&self, app: &App) -> Result<Arc<Realm>, Answer> {
        self.realm_called(app, &self.segment(1)).await
    }

    /// The realm of a name.
    pub(crate) async fn realm_called(&self, app: &App, name: &str) -> Result<Arc<Realm>, Answer> {
        let error = match app.engine.realm(name, self.context.now).await {
            Ok(Some(realm)) => return Ok(realm),
            Ok(None) => Error::bare(Kind::NotFound, Code::UnknownRealm),
            Err(error) => error,
        };
        let answer = error::json(&error).with_standard_headers();
        if self.parts.method != Method::POST {
            return Err(answer);
        }
        let about = About { realm: name.to_owned(), endpoint: "realm", ..About::default() };
        let refused = match error.kind {
            Kind::NotFound => Trail::new().refuse("realm", "a realm of this server", name, error),
            _ => Trail::new().fail(error),
        };
        Err(self.refusal(app, &about, &refused, answer))
    }

    /// Takes the body and reads the parameters in it.
    pub(crate) async fn parameters(&mut self) -> Result<Parameters, Error> {
        let body = std::mem::replace(self.body.get_mut(), Body::empty());
        body::parameters(&self.parts.headers, body).await
    }

    /// Keeps a refusal and names it in the answer.
    pub(crate) fn refusal(&self, app: &App, about: &About, refused: &Refused, answer: Answer) -> Answer {
        let error = refused.error();
        if matches!(error.kind, Kind::Internal | Kind::Unavailable) {
            tracing::error!(request = %self.context.request_id, %error, "a request failed");
        }
        let call = self.call();
        let Ok(id) = app.engine.entropy.hex::<10>() else { return answer };
        app.engine.decisions.note(&id, &call, about, refused);
        answer.header(DECISION, &id)
    }

    /// Adds the caller's origin to an answer that it may read.
    pub(crate) fn with_cors(&self, seen: &Seen, answer: Answer) -> Answer {
        match self.call().origin {
            Some(origin) if seen.echo_origin => answer.allow_origin(origin, true),
            _ => answer,
        }
    }
}

fn percent_decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::percent_decoded;

    #[test]
    fn segments_are_decoded() {
        assert_eq!(percent_decoded("a%20b+c"), "a b+c");
        assert_eq!(percent_decoded("master&x=%26"), "master&x=&");
        assert_eq!(percent_decoded("%ff%"), "\u{fffd}%");
        assert_eq!(percent_decoded("%D0%B0"), "а");
    }
}
