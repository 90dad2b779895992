//! Users with their credentials, a page at a time.

use std::collections::HashMap;

use grantor_store::users::UserRow;
use serde_json::{Map, Value, json};

use super::{AdminError, Exporting, object};
use crate::admin::users::credential_document;

/// Users of one page: enough to make the questions few, and little to hold.
const PAGE: i64 = 200;

/// One page of users.
#[derive(Debug)]
pub struct Page {
    /// As the file has them.
    pub users: Vec<Value>,
    /// The name to go on after; `None` at the end.
    pub last: Option<String>,
}

impl Exporting<'_> {
    /// How many users there are.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn count(&self) -> Result<usize, AdminError> {
        Ok(usize::try_from(self.store.user_count(&self.row.id).await?).unwrap_or_default())
    }

    /// The users after a name (the empty text for the first), by name.
    ///
    /// # Errors
    /// When something stored cannot be read or opened.
    pub async fn users(&self, after: &str) -> Result<Page, AdminError> {
        let realm = self.row.id.as_str();
        let rows = self.store.everybody(realm, after, PAGE).await?;
        let Some(last) = rows.last().map(|row| row.username.clone()) else {
            return Ok(Page { users: Vec::new(), last: None });
        };
        let mut credentials: HashMap<String, Vec<Value>> = HashMap::new();
        let mut identities: HashMap<String, Vec<Value>> = HashMap::new();
        let mut kept: HashMap<String, Vec<u8>> = HashMap::new();
        if !self.partial {
            for row in self.store.credentials_of(realm, after, &last).await? {
                let document = serde_json::to_value(credential_document(&self.engine.vault, &row)?)
                    .map_err(|error| AdminError::new(error.to_string()))?;
                credentials.entry(row.user_id).or_default().push(document);
            }
            for link in self.store.links_of(realm, after, &last).await? {
                identities
                    .entry(link.user_id)
                    .or_default()
                    .push(json!({"identityProvider": link.alias, "userId": link.subject, "userName": link.username}));
            }
            kept.extend(self.store.kept_of(realm, after, &last).await?);
        }
        let count = rows.len();
        let mut users = Vec::with_capacity(count);
        for row in rows.into_iter().filter(|row| !self.partial || row.service_client.is_some()) {
            let mut user = self.user(&row)?;
            if let Some(sealed) = kept.remove(&row.id) {
                let clear = self.engine.vault.open(&format!("users/{}", row.id), &sealed)?;
                let members: Map<String, Value> =
                    serde_json::from_slice(&clear).map_err(|error| AdminError::new(error.to_string()))?;
                for (name, value) in members {
                    user.entry(name).or_insert(value);
                }
            }
            if !self.partial {
                user.insert("credentials".to_owned(), json!(credentials.remove(&row.id).unwrap_or_default()));
            }
            if let Some(identities) = identities.remove(&row.id) {
                user.insert("federatedIdentities".to_owned(), Value::Array(identities));
            }
            users.push(Value::Object(user));
        }
        let more = i64::try_from(count).is_ok_and(|count| count == PAGE);
        Ok(Page { users, last: more.then_some(last) })
    }

    fn user(&self, row: &UserRow) -> Result<Map<String, Value>, AdminError> {
        let mut user = object(&row.document, "user")?;
        user.insert("id".to_owned(), json!(row.id));
        user.insert("username".to_owned(), json!(row.username));
        user.insert("enabled".to_owned(), json!(row.enabled));
        user.insert("notBefore".to_owned(), json!(row.not_before));
        if let Some(email) = &row.email {
            user.insert("email".to_owned(), json!(email));
        }
        if let Some(client) = row.service_client.as_ref().and_then(|id| self.clients.get(id)) {
            user.insert("serviceAccountClientId".to_owned(), json!(client));
        }
        let roles = self.named(row.roles.iter());
        let groups: Vec<&String> = row.groups.iter().filter_map(|id| self.groups.get(id)).collect();
        user.entry("requiredActions").or_insert_with(|| json!([]));
        user.insert("realmRoles".to_owned(), json!(roles.realm));
        if !roles.client.is_empty() {
            user.insert("clientRoles".to_owned(), json!(roles.client));
        }
        user.insert("groups".to_owned(), json!(groups));
        Ok(user)
    }
}
