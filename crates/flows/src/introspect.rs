//! Introspection (RFC 7662): is this token good, and what does it say?
//!
//! A caller learns about tokens that were made for it: it must be in the token's `aud`, unless client or realm is
//! excused (Keycloak since 26.6.2). Everything else is inactive, without a reason.

use std::sync::Arc;

use grantor_model::{Code, Error, Kind, Refused, Trail};
use serde_json::{Map, Value};

use crate::engine::{Call, Engine};
use crate::issue::{self, sign, with_key};
use crate::parameters::Parameters;
use crate::realms::{Client, Realm, User};
use crate::token::{Seen, authenticated, no_repetition, open};
use crate::userinfo::subject;
use crate::verify::{self, Known};

/// The kinds of token that `token_type_hint` may name (RFC 7662 section 2.1).
const HINTS: [(&str, &[&str]); 2] = [("access_token", &["Bearer"]), ("refresh_token", &["Refresh", "Offline"])];

/// Answers about a token.
///
/// # Errors
/// A refusal of the caller, never of the token.
pub async fn introspect(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Arc<Realm>,
    parameters: &Parameters,
    wants_jwt: bool,
    seen: &mut Seen,
) -> Result<Map<String, Value>, Refused> {
    let mut trail = Trail::new();
    seen.about.realm.clone_from(&realm.name);
    seen.about.endpoint = "introspect";
    open(call, realm, &mut trail)?;
    let caller = authenticated(engine, call, realm, parameters, seen, &mut trail).await;
    let caller = caller.map_err(reworded)?;
    if caller.document.is_public() {
        let error = Error::new(Kind::Forbidden, Code::InvalidRequest, "Client not allowed.");
        return Err(trail.refuse("client kind", "a confidential client", "public", error));
    }
    no_repetition(parameters, &mut trail)?;
    let Some(token) = parameters.get("token") else {
        let error = Error::request("Token not provided.");
        return Err(trail.refuse("token", "a form parameter", "absent", error));
    };
    let kinds = match parameters.get("token_type_hint") {
        None => None,
        Some(hint) => match HINTS.iter().find(|(name, _)| *name == hint) {
            Some((_, kinds)) => Some(*kinds),
            None => {
                let error = Error::request("Unsupported token type.");
                return Err(trail.refuse("token_type_hint", "access_token or refresh_token", hint, error));
            }
        },
    };
    let excused = caller.document.switched_on("allow.token.introspection.without.audience.check")
        || realm.switched_on("grantor.introspection.any.audience");
    let may_ask = |known: &Known| excused || known.audience().contains(&caller.client_id());
    let found = active(engine, call, realm, may_ask, token, kinds).await.map_err(|error| trail.fail(error))?;
    let Some((known, user, client)) = found else { return Ok(inactive()) };
    let mut answer = described(realm, &known, &user, &client);
    if wants_jwt && caller.document.switched_on("client.introspection.response.allow.jwt.claim.enabled") {
        let jwt = as_jwt(engine, call, realm, &client, &answer).await.map_err(|error| trail.fail(error))?;
        answer.insert("jwt".to_owned(), Value::from(jwt));
    }
    Ok(answer)
}

fn inactive() -> Map<String, Value> {
    Map::from_iter([("active".to_owned(), Value::from(false))])
}

/// A wrong secret has a text of its own at this endpoint.
fn reworded(refused: Refused) -> Refused {
    refused.reworded(|error| {
        if error.code == Code::UnauthorizedClient && error.kind == Kind::Unauthenticated {
            Error::new(Kind::Unauthenticated, Code::InvalidClient, "Client authentication failed.")
        } else {
            error
        }
    })
}

/// The claims of an access token that is good now, for a gateway that asks. Whether the token is for its API is the
/// gateway's to check.
///
/// # Errors
/// When the database is lost.
pub async fn for_gateway(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    token: &str,
) -> Result<Option<Map<String, Value>>, Error> {
    if !realm.settings.enabled {
        return Ok(None);
    }
    if !token.contains('.') {
        return crate::wso2::claims_of(engine, call, realm, token).await;
    }
    let found = active(engine, call, realm, |_| true, token, Some(&["Bearer"])).await?;
    Ok(found.map(|(known, ..)| known.claims))
}

async fn active(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    may_ask: impl Fn(&Known) -> bool,
    token: &str,
    kinds: Option<&[&str]>,
) -> Result<Option<(Known, Arc<User>, Arc<Client>)>, Error> {
    let Some(known) = verify::signed_by(realm, token, call.now) else { return Ok(None) };
    let right_kind = match kinds {
        Some(kinds) => kinds.contains(&known.kind()),
        None => matches!(known.kind(), "Bearer" | "Refresh" | "Offline" | "ID"),
    };
    let ours = known.text("iss") == Some(&realm.issuer(call.base)) && known.is_active(call.now);
    let client = known.text("azp").and_then(|azp| realm.clients.get(azp)).filter(|client| client.document.enabled);
    let (true, Some(client)) = (right_kind && may_ask(&known) && ours, client) else { return Ok(None) };
    let user = subject(engine, call, realm, client, &known).await?;
    Ok(user.ok().map(|user| (known, user, client.clone())))
}

/// The token's own claims that only the issuer sets, and those of mappers as the user stands today.
fn described(realm: &Realm, token: &Known, user: &User, client: &Client) -> Map<String, Value> {
    let (scope, sid) = (token.text("scope").unwrap_or_default(), token.text("sid").unwrap_or_default());
    let mut mapped = issue::introspected(realm, user, client, scope, sid);
    let mut answer = Map::new();
    let copy = |name: &str, answer: &mut Map<String, Value>| {
        if let Some(value) = token.claims.get(name) {
            answer.insert(name.to_owned(), value.clone());
        }
    };
    for name in ["exp", "iat", "nbf", "auth_time", "jti", "iss"] {
        copy(name, &mut answer);
    }
    let mut audience: Vec<String> = token.audience().into_iter().map(str::to_owned).collect();
    audience.extend(mapped.audience.drain(..).filter(|one| !token.audience().contains(&one.as_str())));
    match audience.len() {
        0 => {}
        1 => drop(answer.insert("aud".to_owned(), audience.pop().map(Value::from).unwrap_or_default())),
        _ => drop(answer.insert("aud".to_owned(), Value::from(audience))),
    }
    match mapped.claims.shift_remove("sub") {
        Some(sub) => drop(answer.insert("sub".to_owned(), sub)),
        None => copy("sub", &mut answer),
    }
    for name in ["typ", "azp", "sid"] {
        copy(name, &mut answer);
    }
    for name in ["acr", "allowed-origins", "realm_access", "resource_access"] {
        if let Some(value) = mapped.claims.shift_remove(name) {
            answer.insert(name.to_owned(), value);
        }
    }
    copy("scope", &mut answer);
    answer.extend(mapped.claims);
    if user.provider.is_some() {
        // What the provider said is nowhere but in the token.
        for (name, value) in &token.claims {
            answer.entry(name.as_str()).or_insert_with(|| value.clone());
        }
    }
    answer.insert("client_id".to_owned(), Value::from(client.client_id()));
    answer.insert("username".to_owned(), Value::from(user.username.as_str()));
    answer.insert("token_type".to_owned(), Value::from(token.kind()));
    answer.insert("active".to_owned(), Value::from(true));
    answer
}

/// The claims as a token of their own, for callers that pass it on.
async fn as_jwt(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Arc<Realm>,
    client: &Client,
    answer: &Map<String, Value>,
) -> Result<String, Error> {
    let algorithm = issue::algorithm(realm, client, "access.token.signed.response.alg");
    let realm = with_key(engine, realm, algorithm, call.now).await?;
    let signer = realm.keys.signer(algorithm).ok_or_else(|| Error::internal("the realm has no key to sign with"))?;
    let own = ["client_id", "username", "token_type", "active"];
    let claims = answer.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    sign(engine, signer, &claims.map(|(name, value)| (name.clone(), value.clone())).collect(), false)
}
