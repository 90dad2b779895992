//! Client authentication: who is asking? (RFC 6749 section 2.3, RFC 7521, RFC 7523)
//!
//! The client's own setting decides about the method. Form parameters win over the Basic header, each for itself, as
//! recorded from Keycloak. A client that is unknown or off and one with a wrong secret are told the same text, after
//! the same work.

mod assertion;
mod basic;

use std::sync::Arc;

use grantor_model::jose::{constant_time_eq, sha256};
use grantor_model::{Code, Error, Kind, Refused, Trail};

use crate::client_secrets;
use crate::engine::{Call, Engine};
use crate::parameters::Parameters;
use crate::realms::{Client, Realm};
use crate::wso2::setting;

/// The assertion type of RFC 7523 section 2.2.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const WRONG: &str = "Invalid client or Invalid client credentials";

fn unknown() -> Error {
    Error::new(Kind::Unauthenticated, Code::InvalidClient, WRONG)
}

fn wrong() -> Error {
    Error::new(Kind::Unauthenticated, Code::UnauthorizedClient, WRONG)
}

/// What the header says about a client.
#[derive(Debug)]
pub(crate) enum BasicHeader {
    /// There is none, or one of another scheme.
    None,
    /// It cannot be read.
    Unreadable,
    /// The client id in it.
    Credentials(String),
}

/// Name and password of a Basic header; those of people are not form-encoded (RFC 7617 section 2).
pub(crate) fn basic_credentials(header: Option<&str>) -> Option<(String, String)> {
    basic::plain(header)
}

/// Reads the header for a face that does not take an unreadable one for none.
pub(crate) fn basic_header(header: Option<&str>) -> BasicHeader {
    match basic::credentials(header) {
        Ok(Some((id, _))) => BasicHeader::Credentials(id),
        Ok(None) => {
            let scheme = header.and_then(|header| header.split_whitespace().next()).unwrap_or_default();
            if scheme.eq_ignore_ascii_case("basic") { BasicHeader::Unreadable } else { BasicHeader::None }
        }
        Err(basic::BadEscape) => BasicHeader::Unreadable,
    }
}

/// Finds out who is calling.
///
/// # Errors
/// A refusal with the check that failed.
pub async fn authenticate(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    parameters: &Parameters,
    trail: &mut Trail,
) -> Result<Arc<Client>, Refused> {
    let basic = match basic::credentials(call.authorization) {
        Ok(basic) => basic,
        Err(basic::BadEscape) => {
            let text = "Unexpected error when authenticating client";
            let error = Error::new(Kind::Request, Code::UnauthorizedClient, text);
            return Err(trail.refuse("Basic header", "parts in form encoding", "a % that is no escape", error));
        }
    };
    let assertion = parameters.get("client_assertion").filter(|assertion| !assertion.is_empty());
    let asserts = parameters.get("client_assertion_type") == Some(JWT_BEARER);
    let named = parameters.get("client_id").or(basic.as_ref().map(|(id, _)| id.as_str()));
    let claimed = if asserts { assertion.and_then(assertion::subject) } else { None };
    let Some(id) = named.or(claimed.as_deref()) else {
        return Err(trail.refuse("client", "client_id, a Basic header or an assertion", "none of them", unknown()));
    };
    let Some(client) = realm.clients.get(id).filter(|client| may_call(client)).cloned() else {
        // The same work as for a client that is there.
        let _ = constant_time_eq(&sha256(parameters.get("client_secret").unwrap_or_default().as_bytes()), &[0; 32]);
        return Err(trail.refuse("client", "a client of this realm that is on", id, unknown()));
    };
    trail.found("client", id);

    if client.document.is_public() {
        trail.pass("public client, nothing to prove");
        return Ok(client);
    }
    let shown = Shown { named: named.is_some(), assertion, asserts, basic: basic.map(|(_, secret)| secret) };
    proved(engine, call, realm, &client, parameters, shown, trail).await?;
    if client.document.bearer_only {
        let error = Error::new(Kind::Request, Code::InvalidClient, "Bearer-only not allowed");
        return Err(trail.refuse("client kind", "a client that may ask for tokens", "bearer-only", error));
    }
    Ok(client)
}

/// Whether a client is there for anybody: on, and neither its credentials revoked nor OAuth taken from it.
fn may_call(client: &Client) -> bool {
    let document = &client.document;
    document.enabled && !document.switched_on(setting::REVOKED) && !document.switched_on(setting::WITHOUT_OAUTH)
}

/// Refuses a client whose tokens are to be bound to its key or certificate: a token that anybody could use is not what
/// it was set up for.
///
/// # Errors
/// The refusal.
pub fn unbound(client: &Client, trail: &mut Trail) -> Result<(), Refused> {
    let (check, text) = if client.document.switched_on("dpop.bound.access.tokens") {
        ("DPoP proof", "DPoP proof is missing")
    } else if client.document.switched_on("tls.client.certificate.bound.access.tokens") {
        ("client certificate", "Client Certification missing for MTLS HoK Token Binding")
    } else {
        return Ok(());
    };
    Err(trail.refuse(check, "a proof, which this version cannot check yet", "none that counts", Error::request(text)))
}

/// What a request brought to prove its client.
struct Shown<'a> {
    named: bool,
    assertion: Option<&'a str>,
    asserts: bool,
    basic: Option<String>,
}

/// Checks the proof that the client's setting asks for.
async fn proved(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Client,
    parameters: &Parameters,
    shown: Shown<'_>,
    trail: &mut Trail,
) -> Result<(), Refused> {
    match client.document.client_authenticator_type.as_str() {
        "client-jwt" | "client-secret-jwt" => {
            if parameters.get("client_assertion_type").is_none() {
                let error =
                    Error::new(Kind::Request, Code::InvalidClient, "Parameter client_assertion_type is missing");
                return Err(trail.refuse("client assertion", "client_assertion_type", "absent", error));
            }
            let Some(assertion) = shown.assertion.filter(|_| shown.asserts) else {
                return Err(trail.refuse("client assertion", "a JWT of the type jwt-bearer", "none", unknown()));
            };
            Box::pin(assertion::check(engine, call, realm, client, assertion, trail)).await
        }
        "client-x509" => Err(trail.refuse("client certificate", "mutual TLS", "no certificate", unknown())),
        _ => {
            if !shown.named {
                return Err(trail.refuse("client method", "a secret, as the client is set", "an assertion", unknown()));
            }
            let presented = parameters.get("client_secret").or(shown.basic.as_deref());
            check_secret(call, client, presented, trail)
        }
    }
}

fn check_secret(call: &Call<'_>, client: &Client, presented: Option<&str>, trail: &mut Trail) -> Result<(), Refused> {
    if client.secrets.is_empty() {
        let error = Error::new(Kind::Request, Code::UnauthorizedClient, "Client credentials setup required");
        return Err(trail.refuse("client secret", "a client with a secret", "the client has none", error));
    }
    let Some(presented) = presented else {
        return Err(trail.refuse("client secret", "the client's secret", "none was sent", wrong()));
    };
    if client_secrets::shown(&client.secrets, presented, call.now) {
        trail.pass("client secret");
        Ok(())
    } else {
        Err(trail.refuse("client secret", "the client's secret", "another one", wrong()))
    }
}
