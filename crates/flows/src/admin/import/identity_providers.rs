//! Identity providers.

use grantor_model::realm::IdentityProviderDocument;
use grantor_store::identity_providers as table;

use super::{AdminError, Importing};
use crate::admin::identity_providers::row;

impl Importing<'_> {
    /// Adds the identity providers. What logins through them need is kept for later; their assertions are taken.
    pub(super) fn identity_providers(&mut self, providers: Vec<IdentityProviderDocument>) -> Result<(), AdminError> {
        for mut provider in providers {
            if provider.alias.is_empty() {
                return Err(AdminError::new("an identity provider of the realm file has no alias"));
            }
            let id = self.id(provider.internal_id.take(), "an identity provider")?;
            self.only("identity providers", &provider.alias)?;
            self.names.identity_providers.insert(provider.alias.clone(), id.clone());
            self.statements.push(table::insert(&row(&self.engine.vault, &self.realm_id, &id, provider)?));
            self.report.identity_providers += 1;
        }
        Ok(())
    }
}
