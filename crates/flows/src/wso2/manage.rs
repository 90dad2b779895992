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
    let mut homes = vec![realm.clone()];
    if realm.name != MASTER {
        homes.extend(engine.realm(MASTER, call.now).await?);
    }
    let mut found = Caller::Nobody;
    for home in &homes {
        let Some((user, client)) = user(engine, call, realm, home).await? else { continue };
        if administers(home, &user, client.as_deref(), realm, roles) {
            return Ok(Caller::Administrator);
        }
        found = Caller::Other;
    }
    Ok(found)
}

/// The user of a realm that the header proves, and the client whose token did.
async fn user(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    home: &Realm,
) -> Result<Option<(Arc<User>, Option<Arc<Client>>)>, Error> {
    if crate::token::open(call, home, &mut Trail::new()).is_err() {
        return Ok(None);
    }
    if let Some((name, password)) = basic_credentials(call.authorization) {
        // Programs of this face write the tenant behind the name.
        let name = name.strip_suffix(&format!("@{}", realm.name)).unwrap_or(&name).to_owned();
        let parameters = Parameters::new([("password".to_owned(), password)]);
        let mut trail = Trail::new();
        let checked = password::authenticated(engine, call, home, &name, &parameters, &mut trail);
        return match Box::pin(checked).await {
            Ok(user) => Ok(Some((Arc::new(user), None))),
            Err(refused) if matches!(refused.error().kind, Kind::Unavailable | Kind::Internal) => {
                Err(refused.into_parts().0)
            }
            Err(_) => Ok(None),
        };
    }
    let token = call.authorization.and_then(|header| header.split_once(' '));
    let Some((_, token)) = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else { return Ok(None) };
    let Some(known) = verify::signed_by(home, token.trim(), call.now) else { return Ok(None) };
    let ours =
        known.kind() == "Bearer" && known.text("iss") == Some(&home.issuer(call.base)) && known.is_active(call.now);
    let client = known.text("azp").and_then(|azp| home.clients.get(azp)).filter(|client| client.document.enabled);
    let (true, Some(client)) = (ours, client) else { return Ok(None) };
    let user = subject(engine, call, home, client, &known).await?;
    Ok(user.ok().map(|user| (user, Some(client.clone()))))
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
