//! Refresh tokens that an older server of the same realm gave out, with the keys that came along.
//!
//! No export holds sessions, so such a token proves nothing but that it was given out: whether it was spent, or its
//! session ended, before the move cannot be told. Therefore a realm takes them only while a setting says so, until a day.
//! Of all the tokens that a client had of one session there, one is taken, once. A session begins with it, and from there
//! on everything is as always. What is revoked or logged out by such a token is not taken any more.

use grantor_model::{Error, Instant, Refused, Trail};
use grantor_store::users::UserRow;

use super::refresh_token::not_before;
use super::{GrantedScopes, Refresh, Session, new_session, password};
use crate::engine::{Call, Engine, store_error};
use crate::realms::{Client, Realm, User};
use crate::verify::Known;

/// The attribute of a realm: the second until which tokens of before are taken.
pub(crate) const UNTIL: &str = "grantor.old.refresh.tokens.until";

/// Seconds for which the setting may be made.
pub(crate) const LONGEST: i64 = 400 * 86_400;

/// What is remembered of tokens of before.
const SPENT: &str = "refresh tokens of before";
const LOGGED_OUT: &str = "sessions of before that were logged out";

/// The session that a token is of.
fn session_of(token: &Known) -> String {
    let sid = token.text("sid").or_else(|| token.text("session_state"));
    format!("{} {}", token.kind(), sid.or_else(|| token.text("jti")).unwrap_or_default())
}

/// The client's part of it.
fn part_of(token: &Known) -> String {
    format!("{} {}", session_of(token), token.text("azp").unwrap_or_default())
}

/// How long something is remembered: until the token ends, and of one without an end for good.
fn remembered(token: &Known) -> Instant {
    const FOR_GOOD: i64 = 253_402_300_799;
    Instant::from_seconds(token.number("exp").map_or(FOR_GOOD, |exp| exp.saturating_add(1)))
}

/// Ends what a token of before stands for: the client's part of its session, or with `all` the session. That is remembered
/// whether the realm takes such tokens now or later. `false` when it is none.
pub(crate) async fn end(engine: &Engine, realm: &Realm, token: &Known, all: bool) -> Result<bool, Error> {
    if !is_of_before(engine, realm, token).await? {
        return Ok(false);
    }
    let (what, which) = if all { (LOGGED_OUT, session_of(token)) } else { (SPENT, part_of(token)) };
    engine.store.record_seen(&realm.id, what, &which, remembered(token)).await.map_err(store_error)?;
    Ok(true)
}

/// Whether a token is one of before, which the realm takes now, and no session of ours.
pub(super) async fn concerns(engine: &Engine, call: &Call<'_>, realm: &Realm, token: &Known) -> Result<bool, Error> {
    let until = grantor_model::realm::attribute(&realm.settings.attributes, UNTIL);
    let until = until.and_then(|until| until.parse::<i64>().ok()).unwrap_or_default();
    Ok(call.now.seconds() < until && is_of_before(engine, realm, token).await?)
}

async fn is_of_before(engine: &Engine, realm: &Realm, token: &Known) -> Result<bool, Error> {
    if token.is_born_here() {
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
    let (store, until) = (&engine.store, remembered(token));
    let first = store.record_seen(&realm.id, SPENT, &part_of(token), until).await;
    let first = first.map_err(|error| trail.fail(store_error(error)))?;
    let ended = store.was_seen(&realm.id, LOGGED_OUT, &session_of(token)).await;
    if !first || ended.map_err(|error| trail.fail(store_error(error)))? {
        let error = Error::grant("Session not active");
        return Err(trail.refuse(
            "refresh token of before",
            "the first of its session and client, not logged out",
            "another",
            error,
        ));
    }
    trail.pass("refresh token of before");
    Ok(begun)
}
