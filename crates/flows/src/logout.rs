//! Logout by refresh token: how client libraries end a session without a browser.

use std::sync::Arc;

use grantor_model::{Error, Refused, Trail};

use crate::engine::{Call, Engine, store_error};
use crate::grant::taken_over;
use crate::parameters::Parameters;
use crate::realms::Realm;
use crate::revocations;
use crate::token::{Seen, authenticated, no_repetition, open};
use crate::verify;

/// Ends the session that a refresh token of the calling client belongs to. A token that has expired, or whose session
/// has ended already, is fine.
///
/// # Errors
/// A refusal.
pub async fn by_refresh_token(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Arc<Realm>,
    parameters: &Parameters,
    seen: &mut Seen,
) -> Result<(), Refused> {
    let mut trail = Trail::new();
    seen.about.realm.clone_from(&realm.name);
    seen.about.endpoint = "logout";
    open(call, realm, &mut trail)?;
    let client = authenticated(engine, call, realm, parameters, seen, &mut trail).await?;
    no_repetition(parameters, &mut trail)?;
    let Some(text) = parameters.get("refresh_token") else {
        let error = Error::request("No refresh token");
        return Err(trail.refuse("refresh_token", "a form parameter", "absent", error));
    };
    let ours = |token: &verify::Known| {
        matches!(token.kind(), "Refresh" | "Offline") && token.text("iss") == Some(&realm.issuer(call.base))
    };
    let Some(token) = verify::signed_by(realm, text, call.now).filter(ours) else {
        let error = Error::grant("Invalid refresh token");
        return Err(trail.refuse("refresh token", "a token of this realm", "something else", error));
    };
    if token.text("azp") != Some(client.client_id()) {
        let text = "Invalid refresh token. Token client and authorized client don't match";
        let found = token.text("azp").unwrap_or("absent").to_owned();
        return Err(trail.refuse("azp", client.client_id().to_owned(), &found, Error::grant(text)));
    }
    if !token.is_active(call.now) {
        return Ok(());
    }
    let (sid, offline) = (token.text("sid").unwrap_or_default(), token.kind() == "Offline");
    if taken_over::end(engine, realm, &token, true).await.map_err(|error| trail.fail(error))? {
        return Ok(());
    }
    let ended = revocations::of_session(realm, sid, None, call.now);
    engine.store.end_session(sid, offline, &ended).await.map_err(|error| trail.fail(store_error(error)))
}
