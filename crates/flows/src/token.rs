//! The token endpoint: the steps that all grants share, once and in order.
//!
//! Realm, grant type, client, origin, repeated parameters, the grant, issue: the order is Keycloak's, recorded, since
//! it decides which of several faults the caller is told about.

use std::sync::Arc;

use grantor_model::{Code, Error, Kind, Refused, Trail};

use crate::client_auth;
use crate::decisions::About;
use crate::engine::{Call, Engine};
use crate::grant::{self, Grant};
use crate::issue::{self, TokenAnswer};
use crate::parameters::Parameters;
use crate::realms::{Client, Realm};

/// What a request shows of itself while it is judged: for the answer's headers and for the decision.
#[derive(Debug, Default)]
pub struct Seen {
    /// For the decision.
    pub about: About,
    /// Whether the answer may name the caller's origin.
    pub echo_origin: bool,
    /// The name of the grant, for counting: only names that are known.
    pub grant: Option<&'static str>,
}

/// Judges a request and issues what it is granted.
///
/// # Errors
/// A refusal with the checks in order.
pub async fn token(
    engine: &Engine,
    call: &Call<'_>,
    realm: Arc<Realm>,
    parameters: &Parameters,
    seen: &mut Seen,
) -> Result<TokenAnswer, Refused> {
    let mut trail = Trail::new();
    seen.about.realm.clone_from(&realm.name);
    seen.about.endpoint = "token";
    seen.about.client = parameters.get("client_id").map(str::to_owned);
    open(call, &realm, &mut trail)?;
    let grant = requested_grant(engine, parameters, seen, &mut trail)?;
    let client = authenticated(engine, call, &realm, parameters, seen, &mut trail).await?;
    no_repetition(parameters, &mut trail)?;
    client_auth::unbound(&client, &mut trail)?;
    // The futures that wait for a hash or the database are boxed, so that the other grants do not carry their size.
    let granted = match grant {
        Grant::ClientCredentials => {
            grant::client_credentials::grant(engine, call, &realm, &client, parameters, &mut trail).await
        }
        Grant::Password => {
            Box::pin(grant::password::grant(engine, call, &realm, &client, parameters, &mut trail)).await
        }
        Grant::RefreshToken => {
            Box::pin(grant::refresh_token::grant(engine, call, &realm, &client, parameters, &mut trail)).await
        }
        Grant::JwtBearer => {
            Box::pin(grant::jwt_bearer::grant(engine, call, &realm, &client, parameters, &mut trail)).await
        }
    }?;
    issue::issue(engine, call, &realm, granted).await.map_err(|error| trail.fail(error))
}

/// Whether a realm takes requests at all: TLS where the realm wants it, and switched on.
///
/// # Errors
/// A refusal.
pub fn open(call: &Call<'_>, realm: &Realm, trail: &mut Trail) -> Result<(), Refused> {
    let needs_tls = match realm.settings.ssl_required.as_str() {
        "none" => false,
        "all" => true,
        _ => !is_private(call.address),
    };
    if needs_tls && !call.secure {
        let error = Error::new(Kind::Forbidden, Code::InvalidRequest, "HTTPS required");
        return Err(trail.refuse("TLS", "a request over TLS", "plain HTTP", error));
    }
    if !realm.settings.enabled {
        let error = Error::new(Kind::Forbidden, Code::AccessDenied, "Realm not enabled");
        return Err(trail.refuse("realm", "a realm that is on", "it is off", error));
    }
    trail.found("realm", &realm.name);
    Ok(())
}

/// Whether Keycloak would call the address local (`sslRequired` external).
fn is_private(address: std::net::IpAddr) -> bool {
    match address.to_canonical() {
        std::net::IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        std::net::IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

fn requested_grant(
    engine: &Engine,
    parameters: &Parameters,
    seen: &mut Seen,
    trail: &mut Trail,
) -> Result<Grant, Refused> {
    let Some(name) = parameters.get("grant_type") else {
        let error = Error::request("Missing form parameter: grant_type");
        return Err(trail.refuse("grant_type", "a form parameter", "absent", error));
    };
    seen.about.grant = Some(name.to_owned());
    let Some(grant) = Grant::parse(name).filter(|grant| grant.is_offered(engine)) else {
        let error = Error::new(Kind::Request, Code::UnsupportedGrantType, "Unsupported grant_type");
        return Err(trail.refuse("grant_type", Grant::offered(engine).join(", "), name, error));
    };
    seen.grant = Some(grant.name());
    trail.found("grant_type", name);
    Ok(grant)
}

/// Authenticates the client and judges the origin of its request. A refused client is told so at whichever origin:
/// the page that tried must be able to read why.
///
/// # Errors
/// A refusal.
pub async fn authenticated(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    parameters: &Parameters,
    seen: &mut Seen,
    trail: &mut Trail,
) -> Result<Arc<Client>, Refused> {
    seen.echo_origin = true;
    let client = client_auth::authenticate(engine, call, realm, parameters, trail).await?;
    seen.about.client = Some(client.client_id().to_owned());
    origin(call, &client, seen, trail)?;
    Ok(client)
}

/// Refuses a browser at an origin that the client does not list.
///
/// # Errors
/// A refusal.
pub fn origin(call: &Call<'_>, client: &Client, seen: &mut Seen, trail: &mut Trail) -> Result<(), Refused> {
    if let Some(origin) = call.origin {
        seen.echo_origin = client.allows_origin(origin);
        if !seen.echo_origin {
            let expected = if client.allowed_origins.is_empty() {
                "no call from a browser: the client lists no web origins".to_owned()
            } else {
                client.allowed_origins.join(", ")
            };
            let error = Error::bare(Kind::Forbidden, Code::InvalidOrigin);
            return Err(trail.refuse("Origin", expected, origin, error));
        }
        trail.found("Origin", origin);
    }
    Ok(())
}

/// Refuses a parameter that occurs twice or is too long.
///
/// # Errors
/// A refusal.
pub fn no_repetition(parameters: &Parameters, trail: &mut Trail) -> Result<(), Refused> {
    if let Some(name) = parameters.repeated() {
        let error = Error::request("duplicated parameter");
        return Err(trail.refuse("parameters", "each one once", name, error));
    }
    if let Some(name) = parameters.too_long() {
        let error = Error::request(format!("The size of OIDC parameter '{name}' is longer than allowed."));
        return Err(trail.refuse("parameters", "at most 4000 bytes", name, error));
    }
    trail.pass("parameters");
    Ok(())
}
