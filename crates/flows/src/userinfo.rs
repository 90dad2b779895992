//! Userinfo (OpenID Connect Core section 5.3): claims of the user an access token speaks of.

use std::sync::Arc;

use grantor_model::{Code, Error, Kind, Refused, Trail};
use serde_json::{Map, Value};

use crate::assertions::nobody;
use crate::engine::{Call, Engine, store_error};
use crate::grant::jwt_bearer::LETTERS;
use crate::issue::{self, IDENTITY_PROVIDER, sign, userinfo_algorithm};
use crate::realms::{Client, Realm, User};
use crate::token::Seen;
use crate::verify::{self, Known};

/// The answer.
#[derive(Debug)]
pub enum Userinfo {
    /// JSON.
    Claims(Map<String, Value>),
    /// A JWT, where the client wants one.
    Signed(String),
}

fn invalid_token(text: &'static str) -> Error {
    Error::new(Kind::Unauthenticated, Code::InvalidToken, text)
}

/// Answers with the claims that the token's scopes open.
///
/// # Errors
/// A refusal; the server shows it in `WWW-Authenticate` (RFC 6750 section 3).
pub async fn userinfo(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Arc<Realm>,
    token: &str,
    seen: &mut Seen,
) -> Result<Userinfo, Refused> {
    let mut trail = Trail::new();
    seen.about.realm.clone_from(&realm.name);
    seen.about.endpoint = "userinfo";
    // Whose error it is cannot be told yet, and it is no secret: a page of any origin may read it.
    seen.echo_origin = true;
    if let Err(closed) = crate::token::open(call, realm, &mut trail) {
        return Err(closed.reworded(|_| invalid_token("Token verification failed")));
    }
    let failed = || invalid_token("Token verification failed");
    let known = verify::signed_by(realm, token, call.now).filter(|known| known.kind() == "Bearer");
    let Some(known) = known else {
        return Err(trail.refuse("token", "an access token signed by this realm", "something else", failed()));
    };
    if known.text("iss") != Some(&realm.issuer(call.base)) || !known.is_active(call.now) {
        let found = format!("iss {:?}, exp {:?}", known.text("iss"), known.number("exp"));
        return Err(trail.refuse("iss, exp and nbf", "this realm, and now between them", &found, failed()));
    }
    let azp = known.text("azp").unwrap_or_default();
    let Some(client) = realm.clients.get(azp).filter(|client| client.document.enabled).cloned() else {
        return Err(trail.refuse("azp", "a client that is on", azp, failed()));
    };
    seen.about.client = Some(azp.to_owned());
    origin(call, &client, seen, &mut trail)?;
    let user = match subject(engine, call, realm, &client, &known).await.map_err(|error| trail.fail(error))? {
        Ok(user) => user,
        Err(Gone::Revoked) => {
            return Err(trail.refuse("revocation", "a token that was not revoked", "revoked", failed()));
        }
        Err(Gone::Session) => {
            let error = invalid_token("user_session_not_found");
            return Err(trail.refuse("session", "a session that is alive", "none", error));
        }
    };
    if is_lightweight(&known) && !client.document.switched_on("allow.userinfo.with.lightweight.access.token") {
        let error = invalid_token("Lightweight access token not allowed for userinfo endpoint");
        return Err(trail.refuse("token weight", "a full access token", "a lightweight one", error));
    }
    let scope = known.text("scope").unwrap_or_default();
    if !scope.split_whitespace().any(|word| word == grantor_model::scope::OPENID) {
        let error = Error::new(Kind::Forbidden, Code::InsufficientScope, "Missing openid scope");
        return Err(trail.refuse("scope", "openid", scope, error));
    }
    let claims = issue::userinfo(realm, &user, &client, scope, known.text("sid").unwrap_or_default());
    match userinfo_algorithm(&client) {
        None => Ok(Userinfo::Claims(claims)),
        Some(algorithm) => {
            let realm = issue::with_key(engine, realm, algorithm, call.now).await.map_err(|error| trail.fail(error))?;
            signed(engine, call, &realm, &client, claims, algorithm).map_err(|error| trail.fail(error))
        }
    }
}

fn origin(call: &Call<'_>, client: &Client, seen: &mut Seen, trail: &mut Trail) -> Result<(), Refused> {
    let Some(origin) = call.origin else { return Ok(()) };
    seen.echo_origin = client.allows_origin(origin);
    if seen.echo_origin {
        return Ok(());
    }
    let error = Error::bare(Kind::Forbidden, Code::InvalidOrigin);
    Err(trail.refuse("Origin", client.allowed_origins.join(", "), origin, error))
}

fn signed(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Client,
    claims: Map<String, Value>,
    algorithm: grantor_model::jose::Algorithm,
) -> Result<Userinfo, Error> {
    let signer = realm.keys.signer(algorithm).ok_or_else(|| Error::internal("the realm has no key for userinfo"))?;
    let mut all = Map::new();
    for (name, value) in claims {
        let first = name == "sub";
        all.insert(name, value);
        if first {
            all.insert("aud".to_owned(), Value::from(client.client_id()));
        }
    }
    all.insert("iss".to_owned(), Value::from(realm.issuer(call.base)));
    sign(engine, signer, &all, false).map(Userinfo::Signed)
}

/// Whether a token carries only what it must: the letters of its `jti` say so.
fn is_lightweight(token: &Known) -> bool {
    token.text("jti").and_then(|jti| jti.get(2..4)) == Some("lt")
}

/// Whether an identity provider's assertion was the ground of a token: the letters of its `jti` say so.
fn is_of_assertion(token: &Known) -> bool {
    token.text("jti").and_then(|jti| jti.get(4..6)) == Some(LETTERS)
}

/// Why a token with a right signature is dead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Revoked, or issued before a `notBefore`.
    Revoked,
    /// Its session has ended, or its user may not sign in.
    Session,
}

/// The client of the access token of this realm that a request brings, if it is good now.
///
/// # Errors
/// When the database is lost.
pub async fn client_of(engine: &Engine, call: &Call<'_>, realm: &Realm) -> Result<Option<String>, Error> {
    let token = call.authorization.and_then(|header| header.split_once(' '));
    let Some((_, token)) = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else { return Ok(None) };
    let Some(known) = verify::signed_by(realm, token.trim(), call.now) else { return Ok(None) };
    let ours =
        known.kind() == "Bearer" && known.text("iss") == Some(&realm.issuer(call.base)) && known.is_active(call.now);
    let client = known.text("azp").and_then(|azp| realm.clients.get(azp)).filter(|client| client.document.enabled);
    let (true, Some(client)) = (ours, client) else { return Ok(None) };
    let alive = subject(engine, call, realm, client, &known).await?.is_ok();
    Ok(alive.then(|| client.client_id().to_owned()))
}

/// The user that a token of this realm speaks of, if the token still stands.
pub(crate) async fn subject(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Client,
    token: &Known,
) -> Result<Result<Arc<User>, Gone>, Error> {
    let store = &engine.store;
    let iat = token.number("iat").unwrap_or_default();
    if iat < realm.settings.not_before.max(client.document.not_before) {
        return Ok(Err(Gone::Revoked));
    }
    let jti = token.text("jti").unwrap_or_default();
    if store.is_revoked(&realm.id, jti).await.map_err(store_error)? {
        return Ok(Err(Gone::Revoked));
    }
    let user_id = match token.text("sid") {
        None if is_of_assertion(token) => {
            let subject = token.text("sub").unwrap_or_default();
            if let Some(provider) = token.text(IDENTITY_PROVIDER) {
                // Nobody here to ask: the provider that spoke for the subject has to be on still.
                let on = realm.providers.iter().any(|known| known.alias == provider && known.enabled);
                return Ok(if on { Ok(Arc::new(nobody(subject, provider))) } else { Err(Gone::Session) });
            }
            subject.to_owned()
        }
        // An ID token without a session may be of anybody: it is the client's own only when it says so.
        None if token.kind() == "ID"
            && client.service_account.as_ref().is_none_or(|user| token.text("sub") != Some(&user.id)) =>
        {
            return Ok(Err(Gone::Session));
        }
        None => match &client.service_account {
            Some(user) if user.enabled && iat < user.not_before => return Ok(Err(Gone::Revoked)),
            Some(user) if user.enabled => return Ok(Ok(user.clone())),
            _ => return Ok(Err(Gone::Session)),
        },
        Some(sid) => match living_user(engine, call, realm, client, token, sid).await? {
            Some(id) => id,
            None => return Ok(Err(Gone::Session)),
        },
    };
    let row = store.user(&realm.id, &user_id).await.map_err(store_error)?;
    let Some(row) = row.filter(|row| row.enabled) else { return Ok(Err(Gone::Session)) };
    if iat < row.not_before {
        return Ok(Err(Gone::Revoked));
    }
    let user = realm.user(row).map_err(|error| Error::internal(format!("a user: {error}")))?;
    Ok(Ok(Arc::new(user)))
}

/// The user of the session that a token names: the token says by its kind, or by the letters of its `jti`, whether
/// that is an offline session.
async fn living_user(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Client,
    token: &Known,
    sid: &str,
) -> Result<Option<String>, Error> {
    let letters = token.text("jti").and_then(|jti| jti.get(..2));
    let kinds: &[bool] = match (token.kind(), letters) {
        ("Offline", _) | ("Bearer", Some("of")) => &[true],
        ("Refresh", _) | ("Bearer", Some("on")) => &[false],
        _ => &[false, true],
    };
    for offline in kinds {
        let limits = crate::sessions::Limits::of(&realm.settings, client, *offline);
        let session = engine.store.session(&realm.id, sid, *offline).await.map_err(store_error)?;
        let Some(session) = session.filter(|session| limits.is_alive(session, call.now)) else { continue };
        let part = engine.store.client_session(sid, *offline, &client.id).await.map_err(store_error)?;
        if part.is_some_and(|part| limits.is_client_alive(&part, call.now)) {
            return Ok(Some(session.user_id));
        }
    }
    Ok(None)
}
