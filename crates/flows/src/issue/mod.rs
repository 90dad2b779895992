//! The only place that mints: from what a grant proved to tokens and the JSON that carries them.
//!
//! A transient token differs from the one before it only in time and id. Its other claims are written once for each
//! client, scope, issuer and address, and kept as text with the realm's snapshot ([`Templates`]): what is left to do
//! for a client credentials token is one signature.

mod claims;
mod template;

pub(crate) use claims::{IDENTITY_PROVIDER, userinfo_algorithm};
pub use claims::{granted_scopes, introspected, userinfo};
pub use template::Templates;

use std::borrow::Cow;
use std::sync::Arc;

use grantor_model::jose::{Algorithm, at_hash};
use grantor_model::mapper::Target;
use grantor_model::{Error, Instant};
use serde_json::{Map, Value};

use crate::engine::{Call, Engine, store_error};
use crate::grant::{ChainState, Granted, Refresh, Session};
use crate::keys::{INTERNAL, Signer};
use crate::realms::{Client, Realm};
use crate::sessions::{Limits, access_lifespan};
use claims::Making;

/// The answer of the token endpoint.
#[derive(Debug)]
pub struct TokenAnswer {
    /// The JSON.
    pub body: String,
    /// The user's language, for Keycloak's cookie.
    pub locale: Option<String>,
}

/// Which signing algorithm a client's tokens have, by the attribute that names it.
pub(crate) fn algorithm(realm: &Realm, client: &Client, attribute: &str) -> Algorithm {
    let named = client.document.attribute(attribute).filter(|name| !name.is_empty());
    let default = || realm.settings.default_signature_algorithm.as_deref();
    named.and_then(Algorithm::parse).or_else(|| default().and_then(Algorithm::parse)).unwrap_or(Algorithm::RS256)
}

/// Makes tokens out of what a grant proved, and stores a session that begins.
///
/// # Errors
/// When the database is lost or a key cannot sign.
pub async fn issue(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Arc<Realm>,
    granted: Granted,
) -> Result<TokenAnswer, Error> {
    let realm = with_keys(engine, call, realm, &granted).await?;
    // Every token of a service account is like the last; those of users are each made for one.
    if matches!(granted.session, Session::Transient) && granted.user.is_service_account && !granted.scopes.openid {
        return template::transient(engine, call, &realm, &granted);
    }
    if let Session::New(session, part) = &granted.session {
        let begins = match &granted.refresh {
            Refresh::Yes { chain: Some((chain, ChainState::Begins)), .. } => Some(chain),
            _ => None,
        };
        Box::pin(engine.store.start_session(session, part, begins)).await.map_err(store_error)?;
    }
    mint(engine, call, &realm, &granted)
}

/// Signs the tokens and writes the answer in Keycloak's order of members.
fn mint(engine: &Engine, call: &Call<'_>, realm: &Realm, granted: &Granted) -> Result<TokenAnswer, Error> {
    let making = Making::new(engine, call, realm, granted)?;
    let expires = Expiries::of(call, realm, granted);
    let access = making.access(expires.access)?;
    let mut body = Map::new();
    let access_token =
        sign(engine, making.signer("access.token.signed.response.alg")?, &access.claims, making.is_at_jwt())?;
    let mut scope = granted.scopes.visible();
    // Keycloak names the offline scope in the answer of each refresh, also of one that asked for less.
    if making.is_offline() && !granted.scopes.offline() {
        scope.push_str(" offline_access");
    }
    body.insert("access_token".to_owned(), Value::from(access_token.as_str()));
    body.insert("expires_in".to_owned(), Value::from(expires.access - call.now.seconds()));
    let refresh = making.refresh(&access, &expires, granted)?;
    body.insert("refresh_expires_in".to_owned(), Value::from(refresh.as_ref().map_or(0, |(_, seconds)| *seconds)));
    if let Some((token, _)) = refresh {
        body.insert("refresh_token".to_owned(), Value::from(token));
    }
    body.insert("token_type".to_owned(), Value::from(token_type(&granted.client)));
    if granted.scopes.openid {
        let signer = making.signer("id.token.signed.response.alg")?;
        let hash = at_hash(signer.key.algorithm(), &access_token);
        let id_token = sign(engine, signer, &making.id_token(expires.access, &access, &hash)?, false)?;
        body.insert("id_token".to_owned(), Value::from(claims::encrypted_if_wanted(&granted.client, id_token)?));
    }
    body.insert("not-before-policy".to_owned(), Value::from(not_before(realm, granted)));
    if let Some(session) = making.session_id() {
        body.insert("session_state".to_owned(), Value::from(session));
    }
    body.insert("scope".to_owned(), Value::from(scope));
    add_mapped(&mut body, &making);
    let body = serde_json::to_string(&body).map_err(|error| Error::internal(error.to_string()))?;
    let locale = match granted.session {
        Session::New(..) => granted.user.document.attributes.get("locale").and_then(|values| values.first()).cloned(),
        _ => None,
    };
    Ok(TokenAnswer { body, locale })
}

/// Adds what mappers write into the answer; what an answer consists of is not theirs to replace.
fn add_mapped(answer: &mut Map<String, Value>, making: &Making<'_>) {
    const OWN: [&str; 4] = ["access_token", "refresh_token", "id_token", "session_state"];
    for (name, value) in making.mapped(Target::Response).claims {
        if !OWN.contains(&name.as_str()) {
            answer.entry(name).or_insert(value);
        }
    }
}

/// When the tokens of an answer expire, in seconds since the epoch.
pub(crate) struct Expiries {
    access: i64,
    refresh: Option<i64>,
}

impl Expiries {
    fn of(call: &Call<'_>, realm: &Realm, granted: &Granted) -> Self {
        let lifespan = access_lifespan(realm, &granted.client);
        let (Session::New(session, part) | Session::Known(session, part)) = &granted.session else {
            let limits = Limits::of(&realm.settings, &granted.client, false);
            return Self { access: limits.access_expiry(lifespan, call.now, call.now, call.now), refresh: None };
        };
        let limits = Limits::of(&realm.settings, &granted.client, session.offline);
        let endless = session.offline && !realm.settings.offline_session_max_lifespan_enabled;
        // A successor that is given out again was issued earlier, and ends when it did then.
        let issued = match &granted.refresh {
            Refresh::Yes { successor: Some((_, issued)), .. } => *issued,
            _ => call.now,
        };
        Self {
            access: limits.access_expiry(lifespan, session.started, part.started, call.now),
            refresh: (!endless).then(|| limits.refresh_expiry(session.started, part.started, issued)),
        }
    }
}

pub(crate) fn sign(
    engine: &Engine,
    signer: &Signer,
    claims: &Map<String, Value>,
    at_jwt: bool,
) -> Result<String, Error> {
    let payload = serde_json::to_vec(claims).map_err(|error| Error::internal(error.to_string()))?;
    engine.signatures.sign(signer, &payload, at_jwt)
}

fn token_type(client: &Client) -> &'static str {
    if client.document.switched_on("token.response.type.bearer.lower-case") { "bearer" } else { "Bearer" }
}

/// Tokens of before this second are dead.
fn not_before(realm: &Realm, granted: &Granted) -> i64 {
    realm.settings.not_before.max(granted.client.document.not_before).max(granted.user.not_before)
}

/// The realm with a key for each algorithm that this answer needs; missing ones are made.
async fn with_keys<'a>(
    engine: &Engine,
    call: &Call<'_>,
    realm: &'a Arc<Realm>,
    granted: &Granted,
) -> Result<Cow<'a, Arc<Realm>>, Error> {
    let mut realm = Cow::Borrowed(realm);
    let mut needed = vec![algorithm(&realm, &granted.client, "access.token.signed.response.alg")];
    if granted.scopes.openid {
        needed.push(algorithm(&realm, &granted.client, "id.token.signed.response.alg"));
    }
    if matches!(granted.refresh, Refresh::Yes { .. }) {
        needed.push(INTERNAL);
    }
    for algorithm in needed {
        if realm.keys.signer(algorithm).is_none() {
            realm = Cow::Owned(Box::pin(with_key(engine, &realm, algorithm, call.now)).await?);
        }
    }
    Ok(realm)
}

/// The realm with a key for an algorithm; a missing one is made.
pub(crate) async fn with_key(
    engine: &Engine,
    realm: &Arc<Realm>,
    algorithm: Algorithm,
    now: Instant,
) -> Result<Arc<Realm>, Error> {
    let mut realm = realm.clone();
    if realm.keys.lacks_signature() {
        realm = engine.with_standard_keys(&realm, false, now).await?;
    }
    if realm.keys.signer(algorithm).is_some() {
        return Ok(realm);
    }
    let reloaded = engine.add_fallback_key(&realm, algorithm, now).await?;
    reloaded.ok_or_else(|| Error::internal("the realm went away"))
}
