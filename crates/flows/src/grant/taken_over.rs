//! Refresh tokens that an older server of the same realm gave out, with the keys that came along.
//!
//! No export holds sessions, so such a token proves nothing but that it was given out: whether it was spent, or its
//! session ended, before the move cannot be told. Therefore a realm takes them only while a setting says so, until a day,
//! each once. A session begins with it, and from there on everything is as always.

use grantor_model::{Error, Instant, Refused, Trail};
use grantor_store::users::UserRow;

use super::refresh_token::not_before;
use super::{GrantedScopes, Refresh, Session, new_session, password};
use crate::engine::{Call, Engine, store_error};
use crate::realms::{Client, Realm, User};
use crate::verify::Known;

/// The attribute of a realm: the second until which tokens of before are taken.
pub(crate) const UNTIL: &str = "grantor.old.refresh.tokens.until";

/// Seconds for which a token without an end is remembered as spent: as long as the setting may last.
pub(crate) const LONGEST: i64 = 400 * 86_400;

/// Whether a token is one of before, which the realm takes now, and no session of ours.
pub(super) async fn concerns(engine: &Engine, call: &Call<'_>, realm: &Realm, token: &Known) -> Result<bool, Error> {
    let until = grantor_model::realm::attribute(&realm.settings.attributes, UNTIL);
    let until = until.and_then(|until| until.parse::<i64>().ok()).unwrap_or_default();
    if call.now.seconds() >= until || token.is_born_here() {
        return Ok(false);
    }
    let sid = token.text("sid").unwrap_or_default();
    let session = engine.store.session(&realm.id, sid, token.kind() == "Offline").await.map_err(store_error)?;
    Ok(session.is_none())
}

/// The user that the token is about. Signature, issuer, client and time are checked already.
pub(super) async fn user(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Client,
    token: &Known,
    trail: &mut Trail,
) -> Result<User, Refused> {
    let issuer = realm.issuer(call.base);
    let invalid = || Error::grant("Invalid refresh token");
    if token.text("aud") != Some(&issuer) {
        let found = token.text("aud").unwrap_or("absent").to_owned();
        return Err(trail.refuse("aud", issuer, &found, invalid()));
    }
    // Tokens with a `sub` for one client alone, or without one, do not say who it is.
    let row: Option<UserRow> = match token.text("sub") {
        Some(sub) => engine.store.user(&realm.id, sub).await.map_err(|error| trail.fail(store_error(error)))?,
        None => None,
    };
    let Some(row) = row else {
        let found = token.text("sub").unwrap_or("absent").to_owned();
        return Err(trail.refuse("sub", "a user of this realm", &found, Error::grant("Session not active")));
    };
    if !row.enabled {
        return Err(trail.refuse("user", "a user that is on", "it is off", Error::grant("User disabled")));
    }
    let service = row.service_client.clone();
    if service.is_some_and(|owner| owner != client.id) {
        return Err(trail.refuse("user", "the client's own account", "another client's", invalid()));
    }
    let user = realm.user(row).map_err(|error| trail.fail(Error::internal(format!("a user: {error}"))))?;
    not_before(realm, client, &user, token.number("iat").unwrap_or_default(), trail)?;
    Ok(user)
}

/// Spends the token, and begins a session with it.
#[expect(clippy::too_many_arguments, reason = "what a grant works with")]
pub(super) async fn spent(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Client,
    user: &User,
    token: &Known,
    scopes: &GrantedScopes,
    trail: &mut Trail,
) -> Result<(Session, Refresh), Refused> {
    let begin = || -> Result<_, Error> {
        let session = new_session(engine, call, realm, client, &user.id, token.kind() == "Offline")?;
        Ok((session, password::first_refresh(engine, call, realm, scopes)?))
    };
    let begun = begin().map_err(|error| trail.fail(error))?;
    let jti = token.text("jti").unwrap_or_default();
    let until = Instant::from_seconds(call.now.seconds().saturating_add(LONGEST));
    let first = engine.store.record_seen(&realm.id, "refresh tokens of before", jti, until).await;
    if !first.map_err(|error| trail.fail(store_error(error)))? || jti.is_empty() {
        let error = Error::grant("Session not active");
        return Err(trail.refuse("refresh token of before", "one that was not taken yet", "it was", error));
    }
    trail.pass("refresh token of before");
    Ok(begun)
}
