//! APIs behind the gateway: adding them with the client scopes that lead to them, and letting clients call them.

use std::collections::BTreeMap;

use grantor_model::Instant;
use grantor_model::api::ApiDocument;
use grantor_model::realm::{Attributes, ClientScopeDocument, MapperDocument};
use grantor_store::apis::{self as table, ApiRow};
use grantor_store::clients::{self as client_table, ClientScopeRow};
use grantor_store::{Statement, StoreError, realms as realm_table};

use super::{AdminError, json};
use crate::engine::Engine;
use crate::realms::Realm;

/// An API as it is stored, with its realm's name.
#[derive(Clone, Debug)]
pub struct StoredApi {
    /// The realm.
    pub realm: String,
    /// What it is.
    pub document: ApiDocument,
}

impl Engine {
    /// All APIs.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn apis(&self) -> Result<Vec<StoredApi>, AdminError> {
        let rows = self.store.apis().await?;
        rows.into_iter().map(|(row, realm)| Ok(StoredApi { document: read(&row)?, realm })).collect()
    }

    /// Adds an API, with a client scope of its name that puts its audience into tokens, and one for each scope that its
    /// rules ask for. A scope that the realm has already learns the audience.
    ///
    /// # Errors
    /// When the name is taken.
    pub async fn add_api(
        &self,
        realm: &Realm,
        document: &ApiDocument,
        described: &BTreeMap<String, String>,
        now: Instant,
    ) -> Result<(), AdminError> {
        let mut statements = vec![table::insert(&ApiRow {
            id: self.entropy.uuid(now)?,
            realm_id: realm.id.clone(),
            name: document.name.clone(),
            document: json(document)?,
        })];
        for name in scopes_of(document) {
            let text = described.get(name).cloned().unwrap_or_else(|| format!("Call {}", document.name));
            statements.extend(self.leading_scope(realm, name, text, document.audience(), now).await?);
        }
        self.apply_api(realm, statements, now).await.map_err(|error| match error {
            StoreError::Duplicate => AdminError::new(format!("there is an API {:?} already", document.name))
                .hint(format!("grantor api show {0}, or grantor api remove {0}", document.name)),
            other => other.into(),
        })
    }

    /// A client scope that puts an audience into tokens.
    async fn leading_scope(
        &self,
        realm: &Realm,
        name: &str,
        text: String,
        audience: &str,
        now: Instant,
    ) -> Result<Option<Statement>, AdminError> {
        let mapper = MapperDocument {
            id: Some(self.entropy.uuid(now)?),
            name: format!("audience of {audience}"),
            protocol: Some("openid-connect".to_owned()),
            protocol_mapper: "oidc-audience-mapper".to_owned(),
            config: attributes([
                ("included.custom.audience", audience),
                ("access.token.claim", "true"),
                ("introspection.token.claim", "true"),
                ("id.token.claim", "false"),
            ]),
            kept: serde_json::Map::new(),
        };
        let stored = self.store.client_scopes(&realm.id).await?.into_iter().find(|scope| scope.name == name);
        let Some(row) = stored else {
            let id = self.entropy.uuid(now)?;
            let document = ClientScopeDocument {
                id: Some(id.clone()),
                name: name.to_owned(),
                description: Some(text),
                protocol: Some("openid-connect".to_owned()),
                attributes: attributes([("include.in.token.scope", "true"), ("display.on.consent.screen", "true")]),
                protocol_mappers: vec![mapper],
                kept: serde_json::Map::new(),
            };
            let row =
                ClientScopeRow { id, realm_id: realm.id.clone(), name: name.to_owned(), document: json(&document)? };
            return Ok(Some(client_table::insert_scope(&row)));
        };
        let mut document: ClientScopeDocument =
            serde_json::from_str(&row.document).map_err(|error| AdminError::new(error.to_string()))?;
        let leads = |mapper: &MapperDocument| {
            let named = mapper.config.get("included.custom.audience").and_then(Option::as_deref);
            mapper.protocol_mapper == "oidc-audience-mapper" && named == Some(audience)
        };
        if document.protocol_mappers.iter().any(leads) {
            return Ok(None);
        }
        document.protocol_mappers.push(mapper);
        Ok(Some(client_table::update_scope(&row, &json(&document)?)))
    }

    async fn apply_api(&self, realm: &Realm, mut statements: Vec<Statement>, now: Instant) -> Result<(), StoreError> {
        statements.extend(realm_table::changed(&realm.id));
        self.store.apply(statements).await?;
        self.reload(&realm.name, now).await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(())
    }

    /// An API of a realm, by name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn stored_api(&self, name: &str) -> Result<(ApiRow, ApiDocument), AdminError> {
        let Some(row) = self.store.api(name).await? else {
            let rows = self.store.apis().await?;
            let names: Vec<&str> = rows.iter().map(|(row, _)| row.name.as_str()).collect();
            return Err(AdminError::new(format!("there is no API {name:?}"))
                .hint(super::realms::nearest_hint(name, &names, "API")));
        };
        let document = read(&row)?;
        Ok((row, document))
    }

    /// Replaces what an API is. Its name and realm stay.
    ///
    /// # Errors
    /// When there is no such API, or somebody else changed it meanwhile.
    pub async fn replace_api(&self, realm: &Realm, document: &ApiDocument, now: Instant) -> Result<(), AdminError> {
        let (row, _) = self.stored_api(&document.name).await?;
        of_realm(&row, realm)?;
        let mut statements = vec![table::update(&row.id, &json(document)?, &row.document)];
        for name in scopes_of(document) {
            let text = format!("Call {}", document.name);
            statements.extend(self.leading_scope(realm, name, text, document.audience(), now).await?);
        }
        Ok(self.apply_api(realm, statements, now).await?)
    }

    /// Removes an API. The client scopes that led to it stay: tokens may carry them elsewhere.
    ///
    /// # Errors
    /// When there is no such API.
    pub async fn remove_api(&self, name: &str, now: Instant) -> Result<(), AdminError> {
        let (row, _) = self.stored_api(name).await?;
        let realms = self.store.apis().await?;
        let realm = realms.into_iter().find(|(other, _)| other.id == row.id).map(|(_, realm)| realm);
        let realm = self.required_realm(&realm.unwrap_or_default(), now).await?;
        Ok(self.apply_api(&realm, vec![table::delete(&row.id)], now).await?)
    }

    /// Lets a client call an API: its tokens carry the audience, and these scopes.
    ///
    /// # Errors
    /// When there is no such client, or the API asks for no such scope.
    pub async fn allow_api(
        &self,
        realm: &Realm,
        document: &ApiDocument,
        client_id: &str,
        scopes: &[String],
        now: Instant,
    ) -> Result<(), AdminError> {
        let known: Vec<&str> = scopes_of(document);
        if let Some(unknown) = scopes.iter().find(|scope| !known.contains(&scope.as_str())) {
            return Err(AdminError::new(format!("no rule of {} asks for the scope {unknown:?}", document.name))
                .hint(format!("its scopes are: {}", known.join(", "))));
        }
        let wanted: Vec<&str> =
            std::iter::once(document.name.as_str()).chain(scopes.iter().map(String::as_str)).collect();
        let standard = &realm.settings.default_default_client_scopes;
        self.edit_client(realm, client_id, now, |document, _| {
            let own = document.default_client_scopes.get_or_insert_with(|| standard.clone());
            for scope in &wanted {
                if !own.iter().any(|own| own == scope) {
                    own.push((*scope).to_owned());
                }
            }
            Ok(Vec::new())
        })
        .await
    }
}

/// An API takes tokens of one realm.
///
/// # Errors
/// When it is another one.
pub fn of_realm(row: &ApiRow, realm: &Realm) -> Result<(), AdminError> {
    if row.realm_id == realm.id {
        return Ok(());
    }
    Err(AdminError::new(format!("API {:?} takes tokens of another realm than {}", row.name, realm.name))
        .hint("grantor api list shows which"))
}

fn read(row: &ApiRow) -> Result<ApiDocument, AdminError> {
    serde_json::from_str(&row.document).map_err(|error| AdminError::new(format!("API {}: {error}", row.name)))
}

/// The client scopes that lead to an API: one of its name, and those of its rules.
fn scopes_of(document: &ApiDocument) -> Vec<&str> {
    let rules = document.rules.iter().flat_map(|rule| rule.scopes.iter().map(String::as_str));
    let mut scopes: Vec<&str> = std::iter::once(document.name.as_str()).chain(rules).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

fn attributes<const N: usize>(all: [(&str, &str); N]) -> Attributes {
    all.into_iter().map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).collect()
}
