//! The JWT bearer grant (RFC 7523 section 2.1), Keycloak's "JWT authorization grant": an identity provider's assertion
//! becomes a token. There is no session and no refresh token: whoever has the next assertion gets the next token.

use std::sync::Arc;

use grantor_model::assertion::{Fault, SubjectFault};
use grantor_model::{Error, Refused, Trail};

use super::{Granted, Refresh, Session, scopes};
use crate::assertions::{self, Court, ENABLED, Lookup};
use crate::engine::{Call, Engine};
use crate::parameters::Parameters;
use crate::realms::{Client, Realm};

/// The letters of the grant in `jti`.
pub(crate) const LETTERS: &str = "ag";

/// Proves that an identity provider speaks for a user.
///
/// # Errors
/// A refusal.
pub(crate) async fn grant(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Arc<Client>,
    parameters: &Parameters,
    trail: &mut Trail,
) -> Result<Granted, Refused> {
    if client.document.is_public() {
        let error = Error::grant("Public client not allowed to use authorization grant");
        return Err(trail.refuse("client kind", "a confidential client", "public", error));
    }
    if !client.document.switched_on(ENABLED) {
        let error = Error::grant("JWT Authorization Grant is not supported for the requested client");
        return Err(trail.refuse(ENABLED, "true", "false", error));
    }
    let Some(text) = parameters.get("assertion") else {
        return Err(trail.refuse(
            "assertion",
            "a form parameter",
            "absent",
            Error::grant("Missing parameter:assertion"),
        ));
    };
    let requested = scopes::requested(client, parameters.get("scope"), trail)?;
    let court = Court { realm, client: Some(client), lookup: Lookup::Issuer };
    let (accepted, user) = assertions::proved(engine, call, court, text, words, trail).await?;
    let scopes = scopes::granted(client, &user, &requested);
    assertions::used(engine, call, realm, &accepted, words, trail).await?;
    Ok(Granted {
        user: Arc::new(user),
        client: client.clone(),
        scopes,
        session: Session::Transient,
        letters: LETTERS,
        refresh: Refresh::No,
    })
}

/// Keycloak's words, recorded.
pub(crate) fn words(fault: &Fault) -> Error {
    Error::grant(match fault {
        Fault::Form(_) | Fault::Type(_) => "The provided assertion is not a valid JWT",
        Fault::Missing("iss") => "Missing claim: iss",
        Fault::Missing("sub") => "Missing claim: sub",
        Fault::Missing("exp") => "Token exp claim is required",
        Fault::Missing(_) | Fault::Audience(_) => "Invalid token audience",
        Fault::UnknownIssuer(_) | Fault::ProviderOff(_) => "No Identity Provider for provided issuer",
        Fault::NotForClient(_) => "Identity Provider is not allowed for the client",
        Fault::Algorithm(_) => "Invalid signature algorithm",
        Fault::Unreachable { reason, .. } => return Error::unavailable(reason.as_str()),
        Fault::NoKey { .. } | Fault::NoKid | Fault::Certificate(_) | Fault::Signature => "Invalid signature",
        Fault::ManyAudiences => "Multiple audiences not allowed",
        Fault::Expired(_) | Fault::TooEarly(_) => "Token is not active",
        Fault::FromTheFuture(_) => "Token was issued in the future",
        Fault::TooOld(_) => "Token was issued too far in the past to be used now",
        Fault::TooLong(_) => "Token expiration is too far in the future and iat claim not present in token",
        Fault::NoJti => "Token jti claim is required",
        Fault::Replayed => "Token reuse detected",
        Fault::Subject(SubjectFault::Unknown | SubjectFault::OfOurs) => "User not found",
        Fault::Subject(SubjectFault::Off) => "User is not enabled",
        Fault::Subject(SubjectFault::NotSetUp) => "Account is not fully set up",
    })
}
