//! The refresh token grant (RFC 6749 section 6), with rotation and reuse detection where the realm wants them.
//!
//! A refresh token is a JWT under the realm's HMAC key. What decides is the session it names. Where the realm rotates,
//! a chain remembers which token was used last, how often, and what was given out for it: a token that is neither the
//! last used nor given out for it is stale, and whoever shows it has copied it from somebody, so the client's part of
//! the session ends (RFC 9700 section 4.14.2). Keycloak judges staleness by whole seconds; here it is judged by id.

use std::sync::Arc;

use grantor_model::revocation::Revocation;
use grantor_model::{Error, Instant, Refused, Trail};
use grantor_store::StoreError;
use grantor_store::sessions::{ChainRow, ClientSessionRow, SessionRow};

use super::{ChainState, Granted, GrantedScopes, Refresh, Session, scopes, taken_over};
use crate::engine::{Call, Engine, store_error};
use crate::parameters::Parameters;
use crate::realms::{Client, Realm, User};
use crate::revocations;
use crate::sessions::Limits;
use crate::verify::{self, Known};

/// Proves that the caller holds a refresh token of a living session.
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
    let Some(text) = parameters.get("refresh_token") else {
        let error = Error::request("No refresh token");
        return Err(trail.refuse("refresh_token", "a form parameter", "absent", error));
    };
    let token = read(call, realm, client, text, trail)?;
    let requested = match parameters.get("scope") {
        Some(scope) => Some(scopes::requested(client, Some(scope), trail)?),
        None => None,
    };
    if taken_over::concerns(engine, call, realm, &token).await.map_err(|error| trail.fail(error))? {
        let user = taken_over::user(engine, call, realm, client, &token, trail).await?;
        let whole = granted_first(client, &user, &token, trail)?;
        let (session, refresh) = taken_over::spent(engine, call, realm, client, &user, &token, &whole, trail).await?;
        let scopes = requested.map_or_else(|| whole.clone(), |requested| narrowed(&whole, client, &requested));
        return Ok(Granted { user: Arc::new(user), client: client.clone(), scopes, session, letters: "rt", refresh });
    }
    let (user, session, part) = living_session(engine, call, realm, client, &token, trail).await?;
    let whole = granted_first(client, &user, &token, trail)?;
    let narrowed = requested.map(|requested| narrowed(&whole, client, &requested));
    let refresh = next(engine, call, realm, &token, &part, whole.all(), trail).await?;
    touch(engine, call, realm, client, &session, &part).await.map_err(|error| trail.fail(error))?;
    Ok(Granted {
        user: Arc::new(user),
        client: client.clone(),
        scopes: narrowed.unwrap_or(whole),
        session: Session::Known(session, part),
        letters: "rt",
        refresh,
    })
}

/// What was granted at first, as far as it is still.
fn granted_first(
    client: &Arc<Client>,
    user: &User,
    token: &Known,
    trail: &mut Trail,
) -> Result<GrantedScopes, Refused> {
    let scope = token.text("scope").unwrap_or_default();
    let whole = scopes::granted(client, user, &scope.split_whitespace().collect::<Vec<_>>());
    if token.kind() == "Offline" && !whole.offline() {
        let text = "Offline session invalid because offline access not granted anymore";
        return Err(trail.refuse("offline access", "still granted", "not any more", Error::grant(text)));
    }
    Ok(whole)
}

/// Default scopes stay; optional ones and `openid` stay when they are named.
fn narrowed(whole: &GrantedScopes, client: &Client, requested: &[&str]) -> GrantedScopes {
    let default = |name: &str| client.default_scopes.iter().any(|scope| scope.name == name);
    let stays = |name: &str| default(name) || requested.contains(&name);
    GrantedScopes {
        openid: whole.openid && requested.contains(&grantor_model::scope::OPENID),
        scopes: whole.scopes.iter().filter(|scope| stays(&scope.name)).cloned().collect(),
    }
}

/// The token itself: signature, kind, issuer, client, time. `aud` and `sub` are ours and say nothing more.
fn read(call: &Call<'_>, realm: &Realm, client: &Client, text: &str, trail: &mut Trail) -> Result<Known, Refused> {
    let invalid = || Error::grant("Invalid refresh token");
    let Some(token) = verify::signed_by(realm, text, call.now) else {
        return Err(trail.refuse("refresh token", "a token signed by this realm", "something else", invalid()));
    };
    if !matches!(token.kind(), "Refresh" | "Offline") {
        return Err(trail.refuse("typ", "Refresh or Offline", token.kind(), invalid()));
    }
    let issuer = realm.issuer(call.base);
    if token.text("iss") != Some(&issuer) {
        let found = token.text("iss").unwrap_or("absent").to_owned();
        let error = Error::grant(format!("Invalid token issuer. Expected '{issuer}'"));
        return Err(trail.refuse("iss", issuer, &found, error));
    }
    if !token.is_active(call.now) {
        let found = format!("exp {:?}, now {}", token.number("exp"), call.now.seconds());
        return Err(trail.refuse("exp and nbf", "now between them", &found, Error::grant("Token is not active")));
    }
    if token.text("azp") != Some(client.client_id()) {
        let text = "Invalid refresh token. Token client and authorized client don't match";
        let found = token.text("azp").unwrap_or("absent").to_owned();
        return Err(trail.refuse("azp", client.client_id().to_owned(), &found, Error::grant(text)));
    }
    trail.pass("refresh token");
    Ok(token)
}

async fn living_session(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Client,
    token: &Known,
    trail: &mut Trail,
) -> Result<(User, SessionRow, ClientSessionRow), Refused> {
    let offline = token.kind() == "Offline";
    let sid = token.text("sid").unwrap_or_default();
    let gone = || Error::grant(if offline { "Offline user session not found" } else { "Session not active" });
    let store = &engine.store;
    let session = store.session(&realm.id, sid, offline).await.map_err(|error| trail.fail(store_error(error)))?;
    let limits = Limits::of(&realm.settings, client, offline);
    let Some(session) = session.filter(|session| limits.is_alive(session, call.now)) else {
        return Err(trail.refuse("session", "a session that is alive", sid, gone()));
    };
    let iat = token.number("iat").unwrap_or_default();
    if iat < session.started.seconds() {
        let error = Error::grant("Refresh token issued before the user session started");
        return Err(trail.refuse("iat", format!("not before {}", session.started.seconds()), &iat.to_string(), error));
    }
    let part = store.client_session(sid, offline, &client.id).await.map_err(|error| trail.fail(store_error(error)))?;
    let Some(part) = part else {
        let error = Error::grant("Session doesn't have required client");
        return Err(trail.refuse("client session", "the client is part of the session", "it is not", error));
    };
    if !limits.is_client_alive(&part, call.now) {
        let error = Error::grant("Client session not active");
        return Err(trail.refuse("client session", "alive", "it has ended", error));
    }
    let row = store.user(&realm.id, &session.user_id).await.map_err(|error| trail.fail(store_error(error)))?;
    let Some(row) = row.filter(|row| row.enabled) else {
        return Err(trail.refuse("user", "a user that is on", "it is off or gone", Error::grant("User disabled")));
    };
    let user = realm.user(row).map_err(|error| trail.fail(Error::internal(format!("a user: {error}"))))?;
    not_before(realm, client, &user, iat, trail)?;
    trail.pass("session");
    Ok((user, session, part))
}

/// Tokens of before an administrator's "sign out everybody" are dead.
pub(super) fn not_before(
    realm: &Realm,
    client: &Client,
    user: &User,
    iat: i64,
    trail: &mut Trail,
) -> Result<(), Refused> {
    let of_realm = realm.settings.not_before.max(client.document.not_before);
    if iat < of_realm {
        return Err(trail.refuse("notBefore", of_realm.to_string(), &iat.to_string(), Error::grant("Stale token")));
    }
    if iat < user.not_before {
        let error = Error::grant("Session not active");
        return Err(trail.refuse("notBefore of the user", user.not_before.to_string(), &iat.to_string(), error));
    }
    Ok(())
}

/// The next refresh token: without rotation another one of the same session, with it the chain's next.
async fn next(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    token: &Known,
    part: &ClientSessionRow,
    scope: String,
    trail: &mut Trail,
) -> Result<Refresh, Refused> {
    if !realm.settings.revoke_refresh_token {
        return Ok(Refresh::Yes { scope, chain: None, successor: None });
    }
    let jti = token.text("jti").unwrap_or_default();
    let fresh = engine.entropy.uuid(call.now).map_err(|error| trail.fail(error))?;
    let id = token.text("reuse_id").unwrap_or(jti);
    // Another caller may move the chain between reading and writing: then the new state is judged. Each turn means
    // that somebody else's refresh succeeded, so the turns are few.
    const TURNS: usize = 64;
    for _ in 0..TURNS {
        let stored = engine.store.chain(id, &part.session_id).await.map_err(|error| trail.fail(store_error(error)))?;
        let known = stored.is_some();
        // A token given out before the realm rotated begins a chain; one that names a chain had one.
        let Some(chain) = stored.or_else(|| token.text("reuse_id").is_none().then(|| beginning(id, token))) else {
            return Err(detached(trail));
        };
        let moved = match judge(realm, &chain, jti, &fresh, call.now) {
            Verdict::Next(moved) => moved,
            Verdict::Again(successor) => {
                trail.pass("answer got lost, the same successor again");
                return Ok(Refresh::Yes { scope, chain: Some((chain, ChainState::Moved)), successor: Some(successor) });
            }
            Verdict::Reused(text) => {
                let client = token.text("azp").unwrap_or_default();
                let ended = revocations::of_session(realm, &part.session_id, Some(client), call.now);
                return Err(reused(engine, part, &chain, &ended, text, trail).await);
            }
        };
        let written = if known {
            engine.store.rotate(&chain, &moved).await
        } else {
            engine.store.start_chain(part, &moved).await
        };
        match written {
            Ok(()) => {
                trail.pass("rotation");
                let successor = Some((fresh, call.now));
                return Ok(Refresh::Yes { scope, chain: Some((moved, ChainState::Moved)), successor });
            }
            Err(StoreError::Guard { .. } | StoreError::Duplicate) => {}
            Err(StoreError::Orphan) => return Err(detached(trail)),
            Err(error) => return Err(trail.fail(store_error(error))),
        }
    }
    Err(trail.fail(Error::unavailable("the chain of refresh tokens moved too often")))
}

/// Another caller's reuse took the client out of the session a moment ago.
fn detached(trail: &mut Trail) -> Refused {
    let error = Error::grant("Session doesn't have required client");
    trail.refuse("client session", "the client is part of the session", "it is not any more", error)
}

/// The chain that begins with a token.
fn beginning(id: &str, token: &Known) -> ChainRow {
    let successors = vec![format!("{id}@{}", token.number("iat").unwrap_or_default())];
    ChainRow { id: id.to_owned(), used: String::new(), uses: 0, successors, revision: 0 }
}

/// Seconds within which an answer counts as lost when its request is sent again.
const LOST_ANSWER: i64 = 60;

enum Verdict {
    Next(ChainRow),
    Again((String, Instant)),
    Reused(&'static str),
}

/// What a use of `jti` means for a chain.
fn judge(realm: &Realm, chain: &ChainRow, jti: &str, fresh: &str, now: Instant) -> Verdict {
    let given_out = format!("{fresh}@{}", now.seconds());
    let is_successor = chain.successors.iter().any(|entry| entry.split('@').next() == Some(jti));
    if is_successor {
        let moved = ChainRow { used: jti.to_owned(), uses: 1, successors: vec![given_out], ..chain.clone() };
        return Verdict::Next(moved);
    }
    if chain.used != jti {
        return Verdict::Reused("Stale token");
    }
    if realm.switched_on("grantor.refresh.repeat.lost.answer")
        && let [only] = chain.successors.as_slice()
        && let Some((jti, seconds)) = only.split_once('@')
        && let Ok(seconds) = seconds.parse::<i64>()
        && now.seconds() - seconds <= LOST_ANSWER
    {
        return Verdict::Again((jti.to_owned(), Instant::from_seconds(seconds)));
    }
    if chain.uses > realm.settings.refresh_token_max_reuse {
        return Verdict::Reused("Maximum allowed refresh token reuse exceeded");
    }
    let successors = chain.successors.iter().cloned().chain([given_out]).collect();
    Verdict::Next(ChainRow { uses: chain.uses + 1, successors, ..chain.clone() })
}

/// A token came back that should not exist any more: whoever holds the newest one loses it too.
async fn reused(
    engine: &Engine,
    part: &ClientSessionRow,
    chain: &ChainRow,
    ended: &Revocation,
    text: &'static str,
    trail: &mut Trail,
) -> Refused {
    let (session, client) = (&part.session_id, &part.client_id);
    let detached = engine.store.detach_client_keeping_session(session, part.offline, client, ended).await;
    if let Err(error) = detached {
        return trail.fail(store_error(error));
    }
    let found = format!("used {} times, the chain is at another token", chain.uses);
    trail.refuse("rotation", "the newest token of the chain", &found, Error::grant(text))
}

async fn touch(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Client,
    session: &SessionRow,
    part: &ClientSessionRow,
) -> Result<(), Error> {
    let limits = Limits::of(&realm.settings, client, session.offline);
    if limits.touch_is_due(part.used.min(session.used), call.now) {
        engine.store.touch_session(part, call.now, limits.sweep_at(call.now)).await.map_err(store_error)?;
    }
    Ok(())
}
