//! Clients.

use std::collections::HashSet;

use grantor_model::realm::{ClientDocument, UserDocument};
use grantor_store::clients as table;
use grantor_store::users::{self as user_table, UserRow};

use super::{AdminError, Importing, json};
use crate::admin::clients::{MASK, SERVICE_ACCOUNT, row};

impl Importing<'_> {
    /// Adds the clients; gives back those that act for themselves and have no user in the file, by key and `client_id`.
    /// These get the client scope of service accounts as well, as Keycloak does when it makes the user.
    pub(super) fn clients(
        &mut self,
        clients: &[ClientDocument],
        with_account: &HashSet<String>,
    ) -> Result<Vec<(String, String)>, AdminError> {
        let mut accounts = Vec::new();
        for client in clients {
            if client.client_id.is_empty() {
                return Err(AdminError::new("a client of the realm file has no clientId"));
            }
            let id = self.id(client.id.clone(), "a client")?;
            self.only("clients", &client.client_id)?;
            if client.secret.as_deref() == Some(MASK) {
                let text = format!("client {:?} came with a masked secret: give it one", client.client_id);
                self.note(text + " with `grantor client rotate-secret`");
            }
            let mut client = client.clone();
            let has_secret = client.secret.as_deref().is_some_and(|secret| !secret.is_empty() && secret != MASK);
            if !client.is_public() && client.is_openid() && !has_secret {
                client.secret = Some(self.engine.entropy.secret::<32>()?);
            }
            if client.service_accounts_enabled && !client.is_public() && !with_account.contains(&client.client_id) {
                accounts.push((id.clone(), client.client_id.clone()));
                let scopes = client.default_client_scopes.get_or_insert_with(|| self.default_scopes.clone());
                if self.names.client_scopes.contains_key(SERVICE_ACCOUNT)
                    && !scopes.iter().any(|s| s == SERVICE_ACCOUNT)
                {
                    scopes.push(SERVICE_ACCOUNT.to_owned());
                }
            }
            self.names.clients.insert(client.client_id.clone(), id.clone());
            self.kept_of("clients", &client.kept);
            self.statements.push(table::insert(&row(&self.engine.vault, &self.realm_id, &id, client)?));
            self.report.clients += 1;
        }
        Ok(accounts)
    }

    /// Makes the users of service accounts: they get the realm's default role.
    pub(super) fn service_accounts(&mut self, accounts: Vec<(String, String)>) -> Result<(), AdminError> {
        let default = self.names.realm_roles.get(&format!("default-roles-{}", self.realm)).cloned();
        for (client, client_id) in accounts {
            let document = UserDocument { created_timestamp: Some(self.now.millis()), ..UserDocument::default() };
            let user = UserRow {
                id: self.engine.entropy.uuid(self.now)?,
                realm_id: self.realm_id.clone(),
                username: format!("service-account-{}", client_id.to_lowercase()),
                email: None,
                enabled: true,
                service_client: Some(client),
                not_before: 0,
                document: json(&document)?,
                roles: default.clone().into_iter().collect(),
                groups: Vec::new(),
            };
            self.statements.extend(user_table::insert(&user));
            self.report.users += 1;
        }
        Ok(())
    }
}
