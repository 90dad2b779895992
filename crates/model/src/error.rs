//! What went wrong, as a value: an OAuth code and a public text for the caller, a reason for the operator.
//!
//! Which HTTP status, header or page shows it is decided in one table of the server (`http/error.rs`).

use std::borrow::Cow;

/// The registered OAuth error codes that Grantor uses, and the few that Keycloak adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// RFC 6749 section 5.2.
    InvalidRequest,
    /// RFC 6749 section 5.2.
    InvalidClient,
    /// RFC 6749 section 5.2.
    InvalidGrant,
    /// RFC 6749 section 5.2.
    UnauthorizedClient,
    /// RFC 6749 section 5.2.
    UnsupportedGrantType,
    /// RFC 6749 section 5.2.
    InvalidScope,
    /// RFC 6749 section 4.1.2.1.
    AccessDenied,
    /// RFC 6750 section 3.1.
    InvalidToken,
    /// RFC 6750 section 3.1.
    InsufficientScope,
    /// RFC 7009 section 2.2.1.
    UnsupportedTokenType,
    /// Keycloak's own: offline access without the right to it.
    NotAllowed,
    /// Keycloak's own: a browser at an origin that the client does not list.
    InvalidOrigin,
    /// Keycloak's own: no realm has the name in the path.
    UnknownRealm,
    /// RFC 6749 section 4.1.2.1; here also for a database that does not answer.
    TemporarilyUnavailable,
    /// RFC 6749 section 4.1.2.1.
    ServerError,
    /// The gateway's: no API, or nothing of it, has the host and path.
    NoRoute,
    /// The gateway's: nobody said who is calling (RFC 6750 section 3.1 gives that no code).
    NoToken,
    /// The gateway's: more requests than are allowed.
    RateLimited,
    /// The gateway's: the upstream failed.
    UpstreamFailed,
}

impl Code {
    /// The value of the JSON member `error`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::AccessDenied => "access_denied",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::NotAllowed => "not_allowed",
            Self::InvalidOrigin => "Invalid origin",
            Self::UnknownRealm => "Realm does not exist",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
            Self::NoRoute => "no_route",
            Self::NoToken => "unauthorized",
            Self::RateLimited => "rate_limited",
            Self::UpstreamFailed => "upstream_failed",
        }
    }
}

/// Whose fault it is; the server's table turns this into a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request cannot be fulfilled as it stands.
    Request,
    /// Nobody, or the wrong one, is calling.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// What is asked for does not exist.
    NotFound,
    /// The request is larger than is read.
    TooLarge,
    /// The caller did something too often, and may try again after so many seconds.
    Throttled(i64),
    /// Try again later: the database, or the queue of password hashes, has no room.
    Unavailable,
    /// There is something, but not for this method.
    Method,
    /// The upstream failed.
    Upstream,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// A defect of ours.
    Internal,
}

/// An error with its public and its private side.
#[derive(Debug)]
pub struct Error {
    /// Whose fault it is.
    pub kind: Kind,
    /// The OAuth code.
    pub code: Code,
    /// What the caller is told; `None` leaves `error_description` out.
    pub description: Option<Cow<'static, str>>,
    /// What only the operator is told: logged, and kept with the decision.
    pub reason: Option<String>,
}

impl Error {
    /// An error of `kind` with a public text.
    pub fn new(kind: Kind, code: Code, description: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, code, description: Some(description.into()), reason: None }
    }

    /// An error without a public text beyond its code.
    pub fn bare(kind: Kind, code: Code) -> Self {
        Self { kind, code, description: None, reason: None }
    }

    /// `400 invalid_request`.
    pub fn request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Request, Code::InvalidRequest, description)
    }

    /// `400 invalid_grant`.
    pub fn grant(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Request, Code::InvalidGrant, description)
    }

    /// The database cannot be used now.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, Code::TemporarilyUnavailable, "The server cannot answer now, try again later")
            .because(reason)
    }

    /// A defect of ours: the caller learns nothing but that.
    pub fn internal(reason: impl Into<String>) -> Self {
        Self::new(Kind::Internal, Code::ServerError, "The server failed to answer").because(reason)
    }

    /// Adds the operator's side.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.code.as_str())?;
        if let Some(description) = &self.description {
            write!(out, ": {description}")?;
        }
        match &self.reason {
            Some(reason) => write!(out, " ({reason})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
