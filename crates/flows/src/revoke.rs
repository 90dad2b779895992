//! Revocation (RFC 7009). A refresh token takes its client out of the session; an access token ends alone.

use std::sync::Arc;

use grantor_model::{Code, Error, Instant, Kind, Refused, Trail};

use crate::engine::{Call, Engine, store_error};
use crate::grant::taken_over;
use crate::parameters::Parameters;
use crate::realms::Realm;
use crate::revocations;
use crate::token::{Seen, authenticated, no_repetition, open};
use crate::verify;

/// What became of the token.
#[derive(Debug, PartialEq, Eq)]
pub enum Revoked {
    /// It is dead now, or was before.
    Done,
    /// It was no token of this realm; that is no error (RFC 7009 section 2.2), but Keycloak says so.
    Unknown,
}

/// Ends a token of the calling client.
///
/// # Errors
/// A refusal.
pub async fn revoke(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Arc<Realm>,
    parameters: &Parameters,
    seen: &mut Seen,
) -> Result<Revoked, Refused> {
    let mut trail = Trail::new();
    seen.about.realm.clone_from(&realm.name);
    seen.about.endpoint = "revoke";
    open(call, realm, &mut trail)?;
    let client = authenticated(engine, call, realm, parameters, seen, &mut trail).await?;
    no_repetition(parameters, &mut trail)?;
    let Some(text) = parameters.get("token") else {
        let error = Error::request("Token not provided");
        return Err(trail.refuse("token", "a form parameter", "absent", error));
    };
    let Some(token) = verify::signed_by(realm, text, call.now) else { return Ok(Revoked::Unknown) };
    if !matches!(token.kind(), "Bearer" | "Refresh" | "Offline") {
        let error = Error::new(Kind::Request, Code::UnsupportedTokenType, "Unsupported token type");
        return Err(trail.refuse("typ", "an access or refresh token", token.kind(), error));
    }
    if token.text("azp") != Some(client.client_id()) {
        let found = token.text("azp").unwrap_or("absent").to_owned();
        return Err(trail.refuse("azp", client.client_id().to_owned(), &found, Error::request("Unmatching clients")));
    }
    if !token.is_active(call.now) {
        return Ok(Revoked::Done);
    }
    let store = &engine.store;
    let ended = if token.kind() == "Bearer" {
        let jti = token.text("jti").unwrap_or_default();
        let until = Instant::from_seconds(token.number("exp").unwrap_or_default()).plus_seconds(1);
        store.revoke_token(&realm.id, jti, until).await.map(|()| Revoked::Done)
    } else {
        let (sid, offline) = (token.text("sid").unwrap_or_default(), token.kind() == "Offline");
        match store.client_session(sid, offline, &client.id).await {
            Ok(Some(_)) => {
                let ended = revocations::of_session(realm, sid, Some(client.client_id()), call.now);
                store.detach_client(sid, offline, &client.id, &ended).await.map(|()| Revoked::Done)
            }
            Ok(None) => {
                let ended = taken_over::end(engine, realm, &token, false).await;
                return ended
                    .map(|ended| if ended { Revoked::Done } else { Revoked::Unknown })
                    .map_err(|error| trail.fail(error));
            }
            Err(error) => Err(error),
        }
    };
    ended.map_err(|error| trail.fail(store_error(error)))
}
