//! Building answers: body, caching, CORS, and which realm's security headers they get.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use grantor_flows::Realm;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_TYPE,
    HeaderName, PRAGMA,
};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// Whose security headers an answer gets; the edge writes them.
#[derive(Clone, Debug)]
pub(crate) enum Secured {
    /// The realm's own.
    By(Arc<Realm>),
    /// Those of a new realm.
    Standard,
}

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) secured: Option<Secured>,
}

/// Room for the headers of an answer with those that the edge adds: a map that has to grow is filled twice.
const HEADERS: usize = 12;

impl Answer {
    fn new(status: StatusCode, body: Body) -> Self {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().reserve(HEADERS);
        Self { response, secured: None }
    }

    /// An answer that was made elsewhere.
    pub(crate) fn from_response(response: Response) -> Self {
        Self { response, secured: None }
    }

    /// An answer without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::new(status, Body::empty())
    }

    /// An answer of some media type.
    pub(crate) fn text(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Self {
        let mut answer = Self::new(status, body.into());
        answer.response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        answer
    }

    /// JSON.
    pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        Self::text(status, "application/json", serde_json::to_string(value).unwrap_or_default())
    }

    /// Sets a header; a value that cannot stand in one is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.response.headers_mut().insert(name, value);
        }
        self
    }

    /// Not to be stored by anybody (RFC 6749 section 5.1).
    pub(crate) fn no_store(mut self) -> Self {
        let headers = self.response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        self
    }

    /// With a realm's security headers.
    pub(crate) fn of_realm(mut self, realm: &Arc<Realm>) -> Self {
        self.secured = Some(Secured::By(realm.clone()));
        self
    }

    /// With the security headers of a new realm.
    pub(crate) fn with_standard_headers(mut self) -> Self {
        self.secured = Some(Secured::Standard);
        self
    }

    /// Readable for a page of this origin.
    pub(crate) fn allow_origin(self, origin: &str, exposes: bool) -> Self {
        let answer = self.header(ACCESS_CONTROL_ALLOW_ORIGIN, origin).header(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        if exposes { answer.header(ACCESS_CONTROL_EXPOSE_HEADERS, "Access-Control-Allow-Methods") } else { answer }
    }

    /// The answer to a preflight (Fetch standard, "CORS-preflight request"): any origin may ask, since the request
    /// itself is judged by its client.
    pub(crate) fn preflight(origin: Option<&str>, methods: &'static str) -> Self {
        const HEADERS: &str = "Origin, Accept, X-Requested-With, Content-Type, Access-Control-Request-Method, \
                               Access-Control-Request-Headers, Authorization, DPoP";
        let answer = Self::empty(StatusCode::OK);
        match origin {
            None => answer,
            Some(origin) => answer
                .allow_origin(origin, false)
                .header(ACCESS_CONTROL_ALLOW_METHODS, methods)
                .header(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS)
                .header(ACCESS_CONTROL_MAX_AGE, "3600"),
        }
    }
}
