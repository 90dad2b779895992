//! Who may manage a realm through this face's APIs: an administrator of realm master every realm, one of a realm its
//! own, by name and password or by an access token (as the issuer gives out at `/realms/{realm}`).

use std::sync::Arc;

use grantor_model::{Error, Kind, Trail};

use crate::admin::bootstrap::MASTER;
use crate::admin::realms::management_client;
use crate::client_auth::basic_credentials;
use crate::engine::{Call, Engine};
use crate::grant::password;
use crate::parameters::Parameters;
use crate::realms::{Client, Realm, User};
use crate::userinfo::subject;
use crate::verify;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody with one of the roles.
    Administrator,
    /// Somebody without them.
    Other,
    /// Nobody who could be told.
    Nobody,
}

/// Finds out who calls, and whether one of these roles is held; `realm-admin` holds all.
///
/// # Errors
/// When the database is lost, or too many passwords wait to be checked.
pub async fn caller(engine: &Engine, call: &Call<'_>, realm: &Arc<Realm>, roles: &[&str]) -> Result<Caller, Error> {
    let master = engine.realm(MASTER, call.now).await?;
    if let Some((name, password)) = basic_credentials(call.authorization) {
        let (home, name) = home_of(engine, realm, master.as_ref(), &name).await?;
        return Ok(match by_password(engine, call, home, &name, password).await? {
            None => Caller::Nobody,
            Some(user) if administers(home, &user, None, realm, roles) => Caller::Administrator,
            Some(_) => Caller::Other,
        });
    }
    let mut found = Caller::Nobody;
    for home in [Some(realm), master.as_ref().filter(|master| master.id != realm.id)].into_iter().flatten() {
        let Some((user, client)) = by_token(engine, call, home).await? else { continue };
        if administers(home, &user, Some(&client), realm, roles) {
            return Ok(Caller::Administrator);
        }
        found = Caller::Other;
    }
    Ok(found)
}

/// Whose user a name means, and by which name: a password is tried at one realm only. `alice@acme` is alice of the
/// tenant acme, as programs of this face write it, unless somebody has the whole as a name or address; a name without
/// a tenant is one of realm master's, where it is one.
async fn home_of<'a>(
    engine: &Engine,
    realm: &'a Arc<Realm>,
    master: Option<&'a Arc<Realm>>,
    name: &str,
) -> Result<(&'a Arc<Realm>, String), Error> {
    for home in [master, Some(realm)].into_iter().flatten() {
        if password::find(engine, home, name).await?.is_some() {
            return Ok((home, name.to_owned()));
        }
    }
    Ok((realm, name.strip_suffix(&format!("@{}", realm.name)).unwrap_or(name).to_owned()))
}

/// The user of a realm whose password this is.
async fn by_password(
    engine: &Engine,
    call: &Call<'_>,
    home: &Realm,
    name: &str,
    password: String,
) -> Result<Option<User>, Error> {
    let mut trail = Trail::new();
    if crate::token::open(call, home, &mut trail).is_err() {
        return Ok(None);
    }
    let parameters = Parameters::new([("password".to_owned(), password)]);
    match Box::pin(password::authenticated(engine, call, home, name, &parameters, &mut trail)).await {
        Ok(user) => Ok(Some(user)),
        Err(refused) if matches!(refused.error().kind, Kind::Unavailable | Kind::Internal | Kind::Throttled(_)) => {
            Err(refused.into_parts().0)
        }
        Err(_) => Ok(None),
    }
}

/// The user of a realm whom an access token names, and the token's client.
async fn by_token(engine: &Engine, call: &Call<'_>, home: &Realm) -> Result<Option<(Arc<User>, Arc<Client>)>, Error> {
    if crate::token::open(call, home, &mut Trail::new()).is_err() {
        return Ok(None);
    }
    let token = call.authorization.and_then(|header| header.split_once(' '));
    let Some((_, token)) = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else { return Ok(None) };
    let Some(known) = verify::signed_by(home, token.trim(), call.now) else { return Ok(None) };
    let ours =
        known.kind() == "Bearer" && known.text("iss") == Some(&home.issuer(call.base)) && known.is_active(call.now);
    let client = known.text("azp").and_then(|azp| home.clients.get(azp)).filter(|client| client.document.enabled);
    let (true, Some(client)) = (ours, client) else { return Ok(None) };
    let user = subject(engine, call, home, client, &known).await?;
    Ok(user.ok().map(|user| (user, client.clone())))
}

/// Whether a user of one realm administers another. A token counts for what its client may carry.
fn administers(home: &Realm, user: &User, client: Option<&Client>, realm: &Realm, roles: &[&str]) -> bool {
    let owner = if home.name == MASTER {
        management_client(&realm.name)
    } else if home.id == realm.id {
        "realm-management".to_owned()
    } else {
        return false;
    };
    user.roles.iter().any(|position| {
        let carried = client.is_none_or(|one| one.document.full_scope_allowed || one.scope_roles.contains(position));
        carried
            && home.roles.get(*position).is_some_and(|role| {
                role.client.as_deref() == Some(&owner)
                    && (role.name == "realm-admin" || roles.contains(&role.name.as_str()))
            })
    })
}

/// The name in a Basic header.
pub fn basic_name(header: Option<&str>) -> Option<String> {
    basic_credentials(header).map(|(name, _)| name)
}
