//! The client credentials grant (RFC 6749 section 4.4): a client acts for itself, as its service account.

use std::sync::Arc;

use grantor_model::{Code, Error, Kind, Refused, Trail};

use super::{Granted, Refresh, Session, new_session, scopes};
use crate::engine::{Call, Engine};
use crate::parameters::Parameters;
use crate::realms::{Client, Realm};

fn not_allowed(text: &'static str) -> Error {
    Error::new(Kind::Unauthenticated, Code::UnauthorizedClient, text)
}

/// Proves that the client may act for itself.
///
/// # Errors
/// A refusal.
pub async fn grant(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Arc<Client>,
    parameters: &Parameters,
    trail: &mut Trail,
) -> Result<Granted, Refused> {
    let document = &client.document;
    if document.is_public() {
        let error = not_allowed("Public client not allowed to retrieve service account");
        return Err(trail.refuse("client kind", "a confidential client", "public", error));
    }
    if !document.service_accounts_enabled {
        let error = not_allowed("Client not enabled to retrieve service account");
        return Err(trail.refuse("serviceAccountsEnabled", "true", "false", error));
    }
    let Some(user) = client.service_account.clone() else {
        let text = "The associated service account for the client does not exist";
        let error = Error::new(Kind::Unauthenticated, Code::InvalidRequest, text);
        return Err(trail.refuse("service account", "the client's user", "there is none", error));
    };
    if !user.enabled {
        let text = format!("User '{}' disabled", user.username);
        let error = Error::new(Kind::Unauthenticated, Code::InvalidRequest, text);
        return Err(trail.refuse("service account", "a user that is on", "it is off", error));
    }
    trail.found("service account", &user.username);
    let requested = scopes::requested(client, parameters.get("scope"), trail)?;
    let scopes = scopes::granted(client, &user, &requested);
    let refreshes = document.switched_on("client_credentials.use_refresh_token");
    let (session, refresh) = if refreshes {
        let session = new_session(engine, call, realm, client, &user.id, false).map_err(|error| trail.fail(error))?;
        let refresh = super::password::first_refresh(engine, call, realm, &scopes);
        (session, refresh.map_err(|error| trail.fail(error))?)
    } else {
        (Session::Transient, Refresh::No)
    };
    Ok(Granted { user, client: client.clone(), scopes, session, letters: "cc", refresh })
}
