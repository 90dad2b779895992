//! External systems of a registry, as its console manages them: each is a client that acts for itself, with one role and
//! the claims that the registry writes into its books.

use std::collections::BTreeMap;

use grantor_model::Instant;
use grantor_model::realm::{ClientDocument, MapperDocument, RoleDocument, UserDocument};
use grantor_store::roles::{self, RoleRow};
use grantor_store::{StoreError, clients as client_table, realms as realm_table, users as user_table};

use super::clients::{SERVICE_ACCOUNT, row};
use super::{AdminError, json};
use crate::engine::Engine;
use crate::realms::Realm;

/// The role that lets a system in, unless another one is said.
pub const INVOKER: &str = "trembita-invoker";

/// Claims of every system's tokens, unless others are said.
pub const CLAIMS: [(&str, &str); 3] = [("edrpou", "0"), ("drfo", "0"), ("fullName", "Сервісний користувач Трембіти")];

/// A name is also a part of addresses: up to 32 small letters, digits and dashes, a letter or digit at both ends.
fn checked_name(name: &str) -> Result<(), AdminError> {
    let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()].iter().all(|end| end.is_some_and(letter));
    if !ends || bytes.len() > 32 || !bytes.iter().all(|byte| letter(byte) || *byte == b'-') {
        return Err(AdminError::new(format!("{name:?} is no name for an external system"))
            .hint("1 to 32 small letters, digits and dashes, a letter or digit first and last"));
    }
    Ok(())
}

impl Engine {
    /// Lets an external system in; gives back its secret. The role is made where the realm has none of its name.
    ///
    /// # Errors
    /// When the name is none, or taken.
    pub async fn grant_external_system(
        &self,
        realm: &Realm,
        name: &str,
        role: &str,
        claims: &BTreeMap<String, String>,
        scopes: &[String],
        now: Instant,
    ) -> Result<String, AdminError> {
        checked_name(name)?;
        let (id, user, secret) = (self.entropy.uuid(now)?, self.entropy.uuid(now)?, self.entropy.secret::<32>()?);
        let mut wanted = realm.settings.default_default_client_scopes.clone();
        wanted.retain(|scope| realm.scopes.contains_key(scope));
        wanted.extend([SERVICE_ACCOUNT.to_owned()].into_iter().filter(|scope| realm.scopes.contains_key(scope)));
        wanted.extend(scopes.iter().cloned());
        let document = ClientDocument {
            client_id: name.to_owned(),
            protocol: Some("openid-connect".to_owned()),
            secret: Some(secret.clone()),
            public_client: Some(false),
            direct_access_grants_enabled: Some(false),
            service_accounts_enabled: true,
            default_client_scopes: Some(wanted),
            protocol_mappers: claims.keys().map(|claim| mapper(claim)).collect(),
            ..ClientDocument::default()
        };
        let known = realm.roles.iter().find(|one| one.client.is_none() && one.name == role).map(|one| one.id.clone());
        let mut statements = Vec::new();
        let role_id = match known {
            Some(id) => id,
            None => {
                let id = self.entropy.uuid(now)?;
                let document = RoleDocument { id: Some(id.clone()), name: role.to_owned(), ..RoleDocument::default() };
                statements.push(roles::insert(&RoleRow {
                    id: id.clone(),
                    realm_id: realm.id.clone(),
                    owner: String::new(),
                    name: role.to_owned(),
                    document: json(&document)?,
                }));
                id
            }
        };
        statements.push(client_table::insert(&row(&self.vault, &realm.id, &id, document)?));
        let mut account = super::users::service_account(realm, &id, name, user, now)?;
        // Its tokens carry this role and no other.
        account.roles = vec![role_id];
        let attributes = claims.iter().map(|(claim, value)| (claim.clone(), vec![value.clone()])).collect();
        account.document =
            json(&UserDocument { created_timestamp: Some(now.millis()), attributes, ..UserDocument::default() })?;
        statements.extend(user_table::insert(&account));
        statements.extend(realm_table::changed(&realm.id));
        match self.store.apply(statements).await {
            Ok(()) => {
                self.reload(&realm.name, now).await?;
                Ok(secret)
            }
            Err(StoreError::Duplicate) => {
                Err(AdminError::new(format!("realm {} has an external system {name:?} already", realm.name)).hint(
                    format!("grantor external-system rotate {name} --realm {} gives it a new secret", realm.name),
                ))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Writes an attribute of the service account into access tokens.
fn mapper(claim: &str) -> MapperDocument {
    let settings = [
        ("user.attribute", claim),
        ("claim.name", claim),
        ("jsonType.label", "String"),
        ("access.token.claim", "true"),
        ("introspection.token.claim", "true"),
    ];
    MapperDocument {
        name: claim.to_owned(),
        protocol: Some("openid-connect".to_owned()),
        protocol_mapper: "oidc-usermodel-attribute-mapper".to_owned(),
        config: settings.into_iter().map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).collect(),
        ..MapperDocument::default()
    }
}

#[cfg(test)]
mod tests {
    use super::checked_name;

    #[test]
    fn names_are_parts_of_addresses() {
        for name in ["a", "test-ext", "0", &"a".repeat(32)] {
            assert!(checked_name(name).is_ok(), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a_b", "a b", "ї", &"a".repeat(33)] {
            assert!(checked_name(name).is_err(), "{name}");
        }
    }
}
