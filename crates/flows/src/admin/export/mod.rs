//! Writing realm files that Keycloak imports: what came in goes out, from one moment of the database, while the server
//! runs.
//!
//! Documents come from the store as texts and go out as texts: members that are not understood yet are where they were.
//! Names of roles, groups and clients are written anew, since keys are what is stored.

mod parts;
mod users;

use std::collections::HashMap;

use grantor_model::Instant;
use grantor_model::realm::ComponentDocument;
use grantor_store::Store;
use grantor_store::realms::RealmRow;
use serde_json::{Map, Value, json};

use super::AdminError;
use super::clients::{ClientSecrets, MASK};
use super::identity_providers::{CLIENT_SECRET, secret_of};
use super::import::KEY_PROVIDER;
use super::realms::nearest_hint;
use crate::engine::Engine;
use crate::keys;

/// The version whose files these are.
pub(crate) const VERSION: &str = "26.7.0";

/// Settings of keys that only their owner knows.
const MATERIAL: [&str; 5] = ["privateKey", "ecdsaPrivateKey", "eddsaPrivateKey", "ecdhPrivateKey", "secret"];

/// A realm at one moment.
#[derive(Debug)]
pub struct Exporting<'a> {
    engine: &'a Engine,
    store: Store,
    now: Instant,
    row: RealmRow,
    /// Whether secrets are masked, and users left out that are no service accounts, as the console's export has it.
    partial: bool,
    /// Roles by key: the `clientId` of the owner, if it has one, and the name.
    roles: HashMap<String, (Option<String>, String)>,
    /// Paths of groups by key.
    groups: HashMap<String, String>,
    /// `clientId` by key.
    clients: HashMap<String, String>,
}

impl Engine {
    /// Begins an export; what is written later does not show in it.
    ///
    /// # Errors
    /// When there is no such realm, or the database cannot be read.
    pub async fn export(&self, realm: &str, partial: bool, now: Instant) -> Result<Exporting<'_>, AdminError> {
        let store = self.store.snapshot().await?;
        let Some(row) = store.realm(realm).await? else {
            let names: Vec<String> = store.realm_versions().await?.into_iter().map(|(name, _)| name).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            return Err(
                AdminError::new(format!("there is no realm {realm:?}")).hint(nearest_hint(realm, &names, "realm"))
            );
        };
        let clients: HashMap<String, String> =
            store.clients(&row.id).await?.into_iter().map(|client| (client.id, client.client_id)).collect();
        let roles = store.roles(&row.id).await?;
        let roles = roles.into_iter().map(|role| (role.id, (clients.get(&role.owner).cloned(), role.name))).collect();
        let groups = parts::paths(&store.groups(&row.id).await?);
        Ok(Exporting { engine: self, store, now, row, partial, roles, groups, clients })
    }
}

/// A stored document as an object, without members that say nothing.
fn object(text: &str, what: &str) -> Result<Map<String, Value>, AdminError> {
    let mut members: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| AdminError::new(format!("a stored {what} cannot be read: {error}")))?;
    members.retain(|_, value| !value.is_null());
    Ok(members)
}

/// Masks what is secret within a value that is not understood, by the names of its members.
fn masked(value: &mut Value) {
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(name, value)| mask_if_secret(name, value)),
        Value::Array(items) => items.iter_mut().for_each(masked),
        _ => {}
    }
}

fn mask_if_secret(name: &str, value: &mut Value) {
    const SECRET: [&str; 5] = ["secret", "password", "credential", "privatekey", "token"];
    let name = name.to_lowercase();
    match value {
        Value::String(text) if SECRET.iter().any(|end| name.ends_with(end)) => MASK.clone_into(text),
        Value::Array(items) if SECRET.iter().any(|end| name.ends_with(end)) => {
            items.iter_mut().filter(|item| item.is_string()).for_each(|item| *item = json!(MASK));
        }
        other => masked(other),
    }
}

impl Exporting<'_> {
    /// Everything but the users.
    ///
    /// # Errors
    /// When something stored cannot be read or opened.
    pub async fn realm(&self) -> Result<Map<String, Value>, AdminError> {
        let id = &self.row.id;
        let settings = object(&self.row.document, "realm")?;
        let clear = self.engine.vault.open(&format!("realms/{id}"), &self.row.kept)?;
        let mut kept: Map<String, Value> = serde_json::from_slice(&clear)
            .map_err(|error| AdminError::new(format!("what is kept of the realm cannot be read: {error}")))?;
        let components = kept.shift_remove("components").unwrap_or_else(|| json!({}));
        let mut file = Map::new();
        file.insert("id".to_owned(), json!(id));
        for (name, value) in settings.into_iter().chain(kept) {
            file.entry(name).or_insert(value);
        }
        file.insert("keycloakVersion".to_owned(), json!(VERSION));
        if self.partial {
            file.shift_remove("federatedUsers");
            file.values_mut().for_each(masked);
        }
        let default = self.default_role(&file).await?;
        file.extend(default.map(|default| ("defaultRole".to_owned(), default)));
        file.insert("roles".to_owned(), self.all_roles().await?);
        file.insert("groups".to_owned(), self.all_groups().await?);
        self.scope_mappings(&mut file).await?;
        file.insert("clients".to_owned(), self.all_clients().await?);
        file.insert("clientScopes".to_owned(), self.client_scopes().await?);
        file.insert("identityProviders".to_owned(), self.identity_providers().await?);
        file.insert("components".to_owned(), self.components(components).await?);
        if self.partial {
            file.shift_remove("organizations");
        }
        Ok(file)
    }

    async fn all_clients(&self) -> Result<Value, AdminError> {
        let mut all = Vec::new();
        for row in self.store.clients(&self.row.id).await? {
            let mut client = object(&row.document, "client")?;
            client.insert("id".to_owned(), json!(row.id));
            let secrets = ClientSecrets::open(&self.engine.vault, &row)?;
            if let Some(secret) = secrets.secret {
                client.insert("secret".to_owned(), if self.partial { json!(MASK) } else { json!(secret) });
            }
            if !self.partial
                && let Some(attributes) = client.get_mut("attributes").and_then(Value::as_object_mut)
            {
                attributes.extend(secrets.attributes.into_iter().map(|(name, value)| (name, json!(value))));
            }
            for (name, mut value) in secrets.kept {
                if self.partial {
                    mask_if_secret(&name, &mut value);
                }
                client.entry(name).or_insert(value);
            }
            all.push(Value::Object(client));
        }
        Ok(Value::Array(all))
    }

    async fn client_scopes(&self) -> Result<Value, AdminError> {
        let mut all = Vec::new();
        for row in self.store.client_scopes(&self.row.id).await? {
            let mut scope = object(&row.document, "client scope")?;
            scope.insert("id".to_owned(), json!(row.id));
            all.push(Value::Object(scope));
        }
        Ok(Value::Array(all))
    }

    async fn identity_providers(&self) -> Result<Value, AdminError> {
        let mut all = Vec::new();
        for row in self.store.identity_providers(&self.row.id).await? {
            let mut provider = object(&row.document, "identity provider")?;
            provider.insert("internalId".to_owned(), json!(row.id));
            if let Some(secret) = secret_of(&self.engine.vault, &row)? {
                let secret = if self.partial { json!(MASK) } else { json!(secret) };
                let config = provider.entry("config").or_insert_with(|| json!({}));
                config.as_object_mut().map(|config| config.insert(CLIENT_SECRET.to_owned(), secret));
            }
            all.push(Value::Object(provider));
        }
        Ok(Value::Array(all))
    }

    /// The components that were kept, and the keys. One that was retired and is still published verifies there, too.
    async fn components(&self, kept: Value) -> Result<Value, AdminError> {
        let mut keys_out = Vec::new();
        for row in self.store.keys(&self.row.id, self.now).await? {
            let clear = self.engine.vault.open(&keys::place(&row.id), &row.material)?;
            let mut component: ComponentDocument = serde_json::from_slice(&clear)
                .map_err(|error| AdminError::new(format!("key {} cannot be read: {error}", row.id)))?;
            component.id = Some(row.id);
            if row.published_until.is_some() {
                component.config.insert("active".to_owned(), vec!["false".to_owned()]);
            }
            if self.partial {
                component.config.retain(|name, _| !MATERIAL.contains(&name.as_str()));
            }
            let mut component = serde_json::to_value(&component)
                .map_err(|error| AdminError::new(format!("a key cannot be written: {error}")))?;
            if let Some(component) = component.as_object_mut() {
                component.entry("subComponents").or_insert_with(|| json!({}));
            }
            keys_out.push(component);
        }
        let mut components = match kept {
            Value::Object(components) => components,
            _ => Map::new(),
        };
        if self.partial {
            components.values_mut().for_each(masked);
        }
        components.insert(KEY_PROVIDER.to_owned(), Value::Array(keys_out));
        Ok(Value::Object(components))
    }
}
