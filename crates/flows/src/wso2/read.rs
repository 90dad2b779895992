//! Reading tokens of this face: introspection, userinfo, revocation.

use std::sync::Arc;

use grantor_model::jose::{constant_time_eq, sha256};
use grantor_model::{Code, Error, Instant, Kind, Refused, Trail};
use grantor_store::opaque_tokens::{self as table, OpaqueTokenRow};
use serde_json::{Map, Value};

use super::application::Application;
use super::mint::{ID_LENGTH, Kept, Spoken, Subject, kind_of};
use super::token::{caller, ended};
use super::words;
use crate::engine::{Call, Engine, store_error};
use crate::issue::IDENTITY_PROVIDER;
use crate::parameters::Parameters;
use crate::realms::{Client, Realm};
use crate::token::{Seen, open};
use crate::verify;

/// The row of an opaque token, if the whole token is right.
pub(super) async fn stored(engine: &Engine, realm: &Realm, token: &str) -> Result<Option<OpaqueTokenRow>, Error> {
    let is_id = |id: &&str| id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some(id) = token.get(..ID_LENGTH).filter(is_id) else { return Ok(None) };
    let row = engine.store.opaque_token(&realm.id, id).await.map_err(store_error)?;
    Ok(row.filter(|row| constant_time_eq(&sha256(token.as_bytes()), &row.hash)))
}

/// A token that is good now.
struct Good {
    client: Arc<Client>,
    spoken: Spoken,
    of_user: bool,
    scope: String,
    issued: i64,
    until: i64,
    kind: &'static str,
    /// With a JWT.
    jti: Option<String>,
}

/// Reads a token. `None` for every reason why it is not good.
async fn good(engine: &Engine, call: &Call<'_>, realm: &Realm, token: &str) -> Result<Option<Good>, Error> {
    if token.contains('.') {
        return good_jwt(engine, call, realm, token).await;
    }
    let Some(row) = stored(engine, realm, token).await?.filter(|row| !row.spent && row.until > call.now) else {
        return Ok(None);
    };
    let client = realm.clients.values().find(|client| client.id == row.client_id && client.document.enabled);
    let Some(client) = client.cloned() else { return Ok(None) };
    let kept: Kept = serde_json::from_str(&row.document)
        .map_err(|error| Error::internal(format!("a stored token cannot be read: {error}")))?;
    let Some(spoken) = kept.subject.now(engine, realm, &client, row.issued).await? else { return Ok(None) };
    Ok(Some(Good {
        client,
        spoken,
        of_user: !matches!(kept.subject, Subject::Application),
        scope: kept.scope.clone(),
        issued: row.issued.seconds(),
        until: row.until.seconds(),
        kind: if row.kind == "refresh" { "Refresh" } else { "Bearer" },
        jti: None,
    }))
}

async fn good_jwt(engine: &Engine, call: &Call<'_>, realm: &Realm, token: &str) -> Result<Option<Good>, Error> {
    // An ID token is signed by the same key: the type in the header tells them apart (RFC 9068 section 4).
    let is_access =
        grantor_model::jose::parse(token).is_ok_and(|token| token.header().typ.as_deref() == Some("at+jwt"));
    let Some(known) = verify::signed_by(realm, token, call.now).filter(|_| is_access) else { return Ok(None) };
    let ours = known.text("iss") == Some(&engine.wso2.issuer_of(realm, call.base)) && known.is_active(call.now);
    let client = known.text("client_id").and_then(|id| realm.clients.get(id)).filter(|client| client.document.enabled);
    let (true, Some(client)) = (ours, client.cloned()) else { return Ok(None) };
    let jti = known.text("jti").unwrap_or_default().to_owned();
    if engine.store.is_revoked(&realm.id, &jti).await.map_err(store_error)? {
        return Ok(None);
    }
    let sub = known.text("sub").unwrap_or_default().to_owned();
    let issued = known.number("iat").unwrap_or_default();
    let of_user = known.text("aut") == Some(kind_of(true));
    let subject = match known.text(IDENTITY_PROVIDER) {
        _ if !of_user => Subject::Application,
        Some(provider) => Subject::Federated { subject: sub, provider: provider.to_owned(), claims: Map::new() },
        None => Subject::User { id: sub },
    };
    let Some(spoken) = subject.now(engine, realm, &client, Instant::from_seconds(issued)).await? else {
        return Ok(None);
    };
    Ok(Some(Good {
        client,
        spoken,
        of_user,
        scope: known.text("scope").unwrap_or_default().to_owned(),
        issued,
        until: known.number("exp").unwrap_or_default(),
        kind: "Bearer",
        jti: Some(jti),
    }))
}

/// The claims of an opaque access token that is good now, as a gateway needs them.
///
/// # Errors
/// When the database is lost.
pub(crate) async fn claims_of(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    token: &str,
) -> Result<Option<Map<String, Value>>, Error> {
    let good = good(engine, call, realm, token).await?.filter(|good| good.kind == "Bearer");
    Ok(good.map(|good| {
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
        put("sub", Value::from(good.spoken.sub.as_str()));
        put("username", Value::from(good.spoken.username.as_str()));
        put("client_id", Value::from(good.client.client_id()));
        put("scope", Value::from(good.scope.as_str()));
        put("iat", Value::from(good.issued));
        put("exp", Value::from(good.until));
        put("aud", Value::from(Application(&good.client).audience(&engine.wso2.audiences)));
        if let Some(provider) = &good.spoken.provider {
            put(IDENTITY_PROVIDER, Value::from(provider.as_str()));
        }
        claims
    }))
}

/// What introspection found out.
#[derive(Debug)]
pub struct Introspected(pub Map<String, Value>);

/// Introspection (RFC 7662).
///
/// # Errors
/// A refusal of the caller or of the request, never of the token.
pub async fn introspect(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Arc<Realm>,
    parameters: &Parameters,
    query: &Parameters,
    by_administrator: bool,
    seen: &mut Seen,
) -> Result<Introspected, Refused> {
    let mut trail = Trail::new();
    seen.about.realm.clone_from(&realm.name);
    seen.about.endpoint = "oauth2/introspect";
    open(call, realm, &mut trail)?;
    let client = match by_administrator {
        true => None,
        false => Some(caller(engine, call, realm, parameters, query, seen, &mut trail).await?),
    };
    if client.as_ref().is_some_and(|client| client.document.is_public()) {
        let error = Error::new(Kind::Unauthenticated, Code::InvalidClient, "Client credentials are invalid.");
        return Err(trail.refuse("client kind", "a confidential client", "public", error));
    }
    let Some(token) = parameters.get("token").filter(|token| !token.is_empty()) else {
        return Err(trail.refuse("token", "a parameter", "absent or empty", Error::request("Invalid input")));
    };
    let good = good(engine, call, realm, token).await.map_err(|error| trail.fail(error))?;
    // Nobody but the client that it was given to can use a refresh token: to others it is none.
    let of_other = |good: &Good| good.kind == "Refresh" && client.as_ref().is_some_and(|one| one.id != good.client.id);
    let good = good.filter(|good| !of_other(good));
    let mut answer = Map::new();
    let Some(good) = good else {
        answer.insert("active".to_owned(), Value::from(false));
        return Ok(Introspected(answer));
    };
    let mut put = |name: &str, value: Value| drop(answer.insert(name.to_owned(), value));
    put("active", Value::from(true));
    put("nbf", Value::from(good.issued));
    if !good.scope.is_empty() {
        put("scope", Value::from(good.scope.as_str()));
    }
    put("username", Value::from(good.spoken.username.as_str()));
    put("sub", Value::from(good.spoken.sub.as_str()));
    put("token_type", Value::from(good.kind));
    put("client_id", Value::from(good.client.client_id()));
    put("iat", Value::from(good.issued));
    put("exp", Value::from(good.until));
    put("aut", Value::from(kind_of(good.of_user)));
    put("aud", Value::from(Application(&good.client).audience(&engine.wso2.audiences)));
    if let Some(provider) = &good.spoken.provider {
        put(IDENTITY_PROVIDER, Value::from(provider.as_str()));
    }
    if let Some(jti) = good.jti {
        put("jti", Value::from(jti));
        put("iss", Value::from(engine.wso2.issuer_of(realm, call.base)));
    }
    Ok(Introspected(answer))
}

/// Revocation (RFC 7009): a refresh token ends all that its grant brought, an access token ends alone.
///
/// # Errors
/// A refusal.
pub async fn revoke(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Arc<Realm>,
    parameters: &Parameters,
    query: &Parameters,
    seen: &mut Seen,
) -> Result<(), Refused> {
    let mut trail = Trail::new();
    seen.about.realm.clone_from(&realm.name);
    seen.about.endpoint = "oauth2/revoke";
    open(call, realm, &mut trail)?;
    let client = caller(engine, call, realm, parameters, query, seen, &mut trail).await.map_err(|refused| {
        refused.reworded(|error| match error.code {
            Code::InvalidClient => {
                Error { description: Some("Client Authentication failed.".into()), ..words::wrong_client(error) }
            }
            _ => error,
        })
    })?;
    let Some(token) = parameters.get("token").filter(|token| !token.is_empty()) else {
        let error = Error::request("token parameter is missing");
        return Err(trail.refuse("token", "a parameter", "absent or empty", error));
    };
    // Whatever the token is good for at this moment: what is revoked stays dead when its user comes back.
    let other = |trail: &mut Trail, found: &str| {
        let error = Error::new(Kind::Request, Code::UnauthorizedClient, "The token belongs to another client.");
        trail.refuse("client of the token", client.client_id().to_owned(), found, error)
    };
    if token.contains('.') {
        let ours = |known: &verify::Known| known.text("iss") == Some(&engine.wso2.issuer_of(realm, call.base));
        let Some(known) = verify::signed_by(realm, token, call.now).filter(ours) else { return Ok(()) };
        if known.text("client_id") != Some(client.client_id()) {
            return Err(other(&mut trail, known.text("client_id").unwrap_or("none")));
        }
        let until = Instant::from_seconds(known.number("exp").unwrap_or_default().saturating_add(1));
        let jti = known.text("jti").unwrap_or_default();
        return engine.store.revoke_token(&realm.id, jti, until).await.map_err(|error| trail.fail(store_error(error)));
    }
    let Some(row) = stored(engine, realm, token).await.map_err(|error| trail.fail(error))? else { return Ok(()) };
    if row.client_id != client.id {
        return Err(other(&mut trail, &row.client_id));
    }
    if row.kind == "refresh" {
        return ended(engine, realm, &row.grant_id).await.map_err(|error| trail.fail(error));
    }
    let ends = vec![table::delete(&row.id)];
    engine.store.apply(ends).await.map_err(|error| trail.fail(store_error(error)))
}

/// Userinfo (OpenID Connect Core section 5.3).
///
/// # Errors
/// A refusal.
pub async fn userinfo(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Arc<Realm>,
    token: &str,
    seen: &mut Seen,
) -> Result<Map<String, Value>, Refused> {
    let mut trail = Trail::new();
    seen.about.realm.clone_from(&realm.name);
    seen.about.endpoint = "oauth2/userinfo";
    open(call, realm, &mut trail)?;
    let good = good(engine, call, realm, token).await.map_err(|error| trail.fail(error))?;
    let Some(good) = good.filter(|good| good.kind == "Bearer" && good.of_user) else {
        let error = Error::new(Kind::Unauthenticated, Code::InvalidToken, "Access token validation failed");
        return Err(trail.refuse("token", "an access token that is good", "something else", error));
    };
    seen.about.client = Some(good.client.client_id().to_owned());
    if !good.scope.split(' ').any(|word| word == grantor_model::scope::OPENID) {
        let text = "Access token does not have the openid scope";
        let error = Error::new(Kind::Forbidden, Code::InsufficientScope, text);
        return Err(trail.refuse("scope", "openid", &good.scope, error));
    }
    Ok(good.spoken.profile(realm, &good.client, &good.scope))
}
