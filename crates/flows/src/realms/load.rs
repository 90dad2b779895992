//! Loading a snapshot: rows become positions, texts become compiled mappers, secrets become digests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use grantor_model::identity_provider::IdentityProvider;
use grantor_model::mapper::Mapper;
use grantor_model::realm::{
    ClientDocument, ClientScopeDocument, GroupDocument, IdentityProviderDocument, MapperDocument, RealmDocument,
};
use grantor_model::{Error, Instant, claims};
use grantor_store::clients::ClientRow;
use grantor_store::realms::RealmRow;
use grantor_store::roles::GroupRow;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::snapshot::{Client, ClientScope, DEEPEST, Group, Realm, Role};
use crate::admin::clients::ClientSecrets;
use crate::engine::{Engine, store_error};
use crate::keys::KeyRing;

/// The mapper of organizations: nobody is a member of one yet.
const ORGANIZATION: &str = "oidc-organization-membership-mapper";

/// Loads a realm. Its parts are read one after the other; when the version moved meanwhile, all is read again.
pub(super) async fn realm(engine: &Engine, name: &str, now: Instant) -> Result<Option<Realm>, Error> {
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        let Some(row) = engine.store.realm(name).await.map_err(store_error)? else { return Ok(None) };
        let version = row.version;
        let realm = assemble(engine, row, now).await?;
        match engine.store.realm_number(name).await.map_err(store_error)? {
            Some(still) if still == version => return Ok(Some(realm)),
            // Changed, or replaced by another one of the same name.
            Some(_) | None => {}
        }
    }
    Err(Error::unavailable(format!("realm {name} changes faster than it can be read")))
}

async fn assemble(engine: &Engine, row: RealmRow, now: Instant) -> Result<Realm, Error> {
    let store = &engine.store;
    let id = row.id.as_str();
    let kept: Map<String, Value> = opened(engine, &format!("realms/{id}"), &row.kept)?;
    let mut realm = Realm {
        settings: document::<RealmDocument>(&row.document, "realm")?,
        keys: KeyRing::load(engine, id, store.keys(id, now).await.map_err(store_error)?)?,
        clients: HashMap::new(),
        scopes: BTreeMap::new(),
        roles: Vec::new(),
        groups: Vec::new(),
        providers: Vec::new(),
        required_profile: required_profile(&kept),
        role_positions: HashMap::new(),
        group_positions: HashMap::new(),
        templates: crate::issue::Templates::default(),
        id: row.id.clone(),
        name: row.name,
        version: row.version,
    };
    for row in store.identity_providers(id).await.map_err(store_error)? {
        let document: IdentityProviderDocument = document(&row.document, "identity provider")?;
        realm.providers.push(Arc::new(IdentityProvider::of(&row.id, &document, engine.assertions.iat_window)));
    }
    let clients = store.clients(id).await.map_err(store_error)?;
    load_roles(engine, &mut realm, &clients).await?;
    load_groups(engine, &mut realm).await?;
    let mut scope_roles: HashMap<String, Vec<usize>> = HashMap::new();
    for (holder, role) in store.scope_roles(id).await.map_err(store_error)? {
        if let Some(position) = realm.role_positions.get(&role) {
            scope_roles.entry(holder).or_default().push(*position);
        }
    }
    for row in store.client_scopes(id).await.map_err(store_error)? {
        let document: ClientScopeDocument = document(&row.document, "client scope")?;
        if document.protocol.as_deref().is_some_and(|protocol| protocol != "openid-connect") {
            continue;
        }
        let scope = ClientScope {
            visible: document.is_visible(),
            for_members: document.protocol_mappers.iter().any(|mapper| mapper.protocol_mapper == ORGANIZATION),
            mappers: compiled(&document.protocol_mappers),
            roles: realm.with_members(scope_roles.remove(&row.id).unwrap_or_default()),
            name: row.name,
        };
        realm.scopes.insert(scope.name.clone(), Arc::new(scope));
    }
    let mut accounts = HashMap::new();
    for row in store.service_accounts(id).await.map_err(store_error)? {
        if let Some(client) = row.service_client.clone() {
            let user = realm.user(row).map_err(|error| Error::internal(format!("a service account: {error}")))?;
            accounts.insert(client, Arc::new(user));
        }
    }
    for row in clients {
        let listed = scope_roles.remove(&row.id).unwrap_or_default();
        let account = accounts.remove(&row.id);
        let client = client(engine, &realm, row, listed, account)?;
        realm.clients.insert(client.document.client_id.clone(), Arc::new(client));
    }
    Ok(realm)
}

async fn load_roles(engine: &Engine, realm: &mut Realm, clients: &[ClientRow]) -> Result<(), Error> {
    let client_ids: HashMap<&str, &str> = clients.iter().map(|row| (row.id.as_str(), row.client_id.as_str())).collect();
    for row in engine.store.roles(&realm.id).await.map_err(store_error)? {
        let client = client_ids.get(row.owner.as_str()).map(|id| (*id).to_owned());
        if client.is_none() && !row.owner.is_empty() {
            continue;
        }
        realm.role_positions.insert(row.id.clone(), realm.roles.len());
        realm.roles.push(Role { id: row.id, client, name: row.name, members: Vec::new() });
    }
    for (role, member) in engine.store.role_composites(&realm.id).await.map_err(store_error)? {
        let positions = (realm.role_positions.get(&role).copied(), realm.role_positions.get(&member).copied());
        if let (Some(role), Some(member)) = positions
            && let Some(role) = realm.roles.get_mut(role)
        {
            role.members.push(member);
        }
    }
    Ok(())
}

async fn load_groups(engine: &Engine, realm: &mut Realm) -> Result<(), Error> {
    let rows = engine.store.groups(&realm.id).await.map_err(store_error)?;
    realm.group_positions = rows.iter().enumerate().map(|(position, row)| (row.id.clone(), position)).collect();
    for row in &rows {
        let document: GroupDocument = document(&row.document, "group")?;
        let parent = row.parent_id.as_ref().and_then(|id| realm.group_positions.get(id).copied());
        realm.groups.push(Group {
            path: path(&rows, &realm.group_positions, row),
            name: row.name.clone(),
            parent,
            attributes: document.attributes,
            roles: Vec::new(),
        });
    }
    for (group, role) in engine.store.group_roles(&realm.id).await.map_err(store_error)? {
        let positions = (realm.group_positions.get(&group), realm.role_positions.get(&role).copied());
        if let (Some(group), Some(role)) = positions
            && let Some(group) = realm.groups.get_mut(*group)
        {
            group.roles.push(role);
        }
    }
    Ok(())
}

fn path(rows: &[GroupRow], positions: &HashMap<String, usize>, row: &GroupRow) -> String {
    let above = |row: &GroupRow| rows.get(*positions.get(row.parent_id.as_ref()?)?);
    let mut names = Vec::new();
    let mut at = Some(row);
    while let Some(row) = at
        && names.len() < DEEPEST
    {
        names.push(row.name.as_str());
        at = above(row);
    }
    names.iter().rev().fold(String::new(), |path, name| path + "/" + name)
}

fn client(
    engine: &Engine,
    realm: &Realm,
    row: ClientRow,
    listed: Vec<usize>,
    service_account: Option<Arc<super::User>>,
) -> Result<Client, Error> {
    let mut document: ClientDocument = document(&row.document, "client")?;
    let secrets = ClientSecrets::open(&engine.vault, &row)?;
    let scopes = |names: &Option<Vec<String>>, realm_names: &[String]| -> Vec<Arc<ClientScope>> {
        let names = names.as_deref().unwrap_or(realm_names);
        names.iter().filter_map(|name| realm.scopes.get(name).cloned()).collect()
    };
    let client = Client {
        secrets: engine.secret_uses.live(&row.id, &document, &secrets),
        mappers: compiled(&document.protocol_mappers),
        default_scopes: scopes(&document.default_client_scopes, &realm.settings.default_default_client_scopes),
        optional_scopes: scopes(&document.optional_client_scopes, &realm.settings.default_optional_client_scopes),
        scope_roles: realm.with_members(listed),
        service_account,
        allowed_origins: allowed_origins(&document),
        sector: sector(&document),
        acr: acr(&document, realm),
        id: row.id,
        document: {
            document.secret = None;
            document
        },
    };
    Ok(client)
}

fn compiled(documents: &[MapperDocument]) -> Vec<Mapper> {
    documents.iter().filter_map(Mapper::compile).collect()
}

/// The level of a login that was checked now.
const LEVEL: i64 = 1;

/// The name of the highest level that such a login reaches, by the client's `acr.loa.map` or the realm's; without one
/// the level itself. Each case was asked of a Keycloak 26.7.
fn acr(document: &ClientDocument, realm: &Realm) -> String {
    const MAP: &str = "acr.loa.map";
    let read =
        |text: Option<&str>| serde_json::from_str::<Map<String, Value>>(text?).ok().filter(|map| !map.is_empty());
    let map = read(document.attribute(MAP));
    let map = map.or_else(|| read(grantor_model::realm::attribute(&realm.settings.attributes, MAP)));
    let level = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let mut best: Option<(String, i64)> = None;
    for (name, value) in map.into_iter().flatten() {
        let Some(level) = level(&value).filter(|level| (0..=LEVEL).contains(level)) else { continue };
        if best.as_ref().is_none_or(|(_, highest)| level > *highest) {
            best = Some((name, level));
        }
    }
    best.map_or(LEVEL.to_string(), |(name, _)| name)
}

/// `+` stands for the origins of the redirect URIs.
fn allowed_origins(document: &ClientDocument) -> Vec<String> {
    let plus = ["+".to_owned()];
    let listed = document.web_origins.as_deref().unwrap_or(&plus);
    let mut origins: BTreeSet<String> = listed.iter().filter(|origin| !origin.is_empty()).cloned().collect();
    if origins.remove("+") {
        origins.extend(document.redirect_uris.iter().filter_map(|uri| {
            let (scheme, rest) = uri.split_once("://")?;
            let authority = rest.split(['/', '?', '#']).next().filter(|authority| !authority.is_empty())?;
            Some(format!("{scheme}://{authority}"))
        }));
    }
    origins.into_iter().collect()
}

fn sector(document: &ClientDocument) -> Option<String> {
    let hosts: BTreeSet<&str> = document.redirect_uris.iter().filter_map(|uri| claims::host(uri)).collect();
    let mut hosts = hosts.into_iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_owned()),
        _ => None,
    }
}

/// Which attributes a user must have: those that the user profile requires of users, unless the required action
/// VERIFY_PROFILE is off, or not among those of the realm (files from before Keycloak 24). A realm that says nothing requires address and names, as Keycloak does since 24.
fn required_profile(kept: &Map<String, Value>) -> Vec<String> {
    let action_is_off = kept.get("requiredActions").and_then(Value::as_array).is_some_and(|actions| {
        !actions.iter().any(|action| action["alias"] == "VERIFY_PROFILE" && action["enabled"] != false)
    });
    if action_is_off {
        return Vec::new();
    }
    let profile = kept
        .get("components")
        .and_then(|components| components["org.keycloak.userprofile.UserProfileProvider"].as_array()?.first())
        .and_then(|component| component.get("config")?.get("kc.user.profile.config")?.as_array()?.first()?.as_str())
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(profile) = profile else { return ["email", "firstName", "lastName"].map(str::to_owned).to_vec() };
    let required_of_users = |attribute: &&Value| match &attribute["required"] {
        Value::Object(required) => match required.get("roles").and_then(Value::as_array) {
            Some(roles) => roles.is_empty() || roles.iter().any(|role| role == "user"),
            None => !required.contains_key("scopes"),
        },
        _ => false,
    };
    let attributes = profile.get("attributes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let required = attributes.iter().filter(required_of_users).filter_map(|attribute| attribute["name"].as_str());
    required.filter(|name| *name != "username").map(str::to_owned).collect()
}

fn document<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::internal(format!("a stored {what} cannot be read: {error}")))
}

fn opened<T: DeserializeOwned>(engine: &Engine, place: &str, sealed: &[u8]) -> Result<T, Error> {
    let clear = engine.vault.open(place, sealed)?;
    serde_json::from_slice(&clear).map_err(|error| Error::internal(format!("{place} cannot be read: {error}")))
}
