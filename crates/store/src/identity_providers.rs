//! Tables `identity_providers` and `federated_identities`: whom a realm trusts, and whom they mean.

use crate::Store;
use crate::database::{Row, Statement, StoreError};

/// An identity provider.
#[derive(Clone, Debug)]
pub struct IdentityProviderRow {
    /// The key.
    pub id: String,
    /// The realm's key.
    pub realm_id: String,
    /// The name in URLs and settings, unique in the realm.
    pub alias: String,
    /// Sealed: settings that hold secrets.
    pub secret: Option<Vec<u8>>,
    /// `IdentityProviderDocument` as JSON, without secrets.
    pub document: String,
}

/// Who a user is at an identity provider.
#[derive(Clone, Debug)]
pub struct LinkRow {
    /// The user's key.
    pub user_id: String,
    /// The provider's alias.
    pub alias: String,
    /// The subject there.
    pub subject: String,
    /// The name there.
    pub username: String,
}

fn row(row: &Row) -> Result<IdentityProviderRow, StoreError> {
    Ok(IdentityProviderRow {
        id: row.text(0)?.to_owned(),
        realm_id: row.text(1)?.to_owned(),
        alias: row.text(2)?.to_owned(),
        secret: row.opt_bytes(3)?.map(<[u8]>::to_vec),
        document: row.text(4)?.to_owned(),
    })
}

/// Adds an identity provider.
pub fn insert(provider: &IdentityProviderRow) -> Statement {
    Statement::new(
        "INSERT INTO identity_providers (id, realm_id, alias, secret, document) VALUES ($1, $2, $3, $4, $5)",
        [
            provider.id.as_str().into(),
            provider.realm_id.as_str().into(),
            provider.alias.as_str().into(),
            provider.secret.clone().into(),
            provider.document.as_str().into(),
        ],
    )
}

/// Replaces what is known of an identity provider, if it is still what was `read`.
pub fn update(read: &IdentityProviderRow, alias: &str, document: &str) -> Statement {
    let sql = "UPDATE identity_providers SET alias = $3, document = $4 WHERE id = $1 AND document = $2";
    let values = [read.id.as_str().into(), read.document.as_str().into(), alias.into(), document.into()];
    Statement::new(sql, values).must_touch(1)
}

/// Removes an identity provider and its links to users.
pub fn delete(id: &str) -> Statement {
    Statement::new("DELETE FROM identity_providers WHERE id = $1", [id.into()]).must_touch(1)
}

/// Says which user a provider means by a subject.
pub fn link(provider_id: &str, subject: &str, user_id: &str, username: &str) -> Statement {
    Statement::new(
        "INSERT INTO federated_identities (provider_id, subject, user_id, username) VALUES ($1, $2, $3, $4)",
        [provider_id.into(), subject.into(), user_id.into(), username.into()],
    )
}

/// Forgets which subject of a provider a user is.
pub fn unlink(provider_id: &str, user_id: &str) -> Statement {
    let sql = "DELETE FROM federated_identities WHERE provider_id = $1 AND user_id = $2";
    Statement::new(sql, [provider_id.into(), user_id.into()]).must_touch(1)
}

impl Store {
    /// All identity providers of a realm.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn identity_providers(&self, realm_id: &str) -> Result<Vec<IdentityProviderRow>, StoreError> {
        let sql =
            "SELECT id, realm_id, alias, secret, document FROM identity_providers WHERE realm_id = $1 ORDER BY alias";
        self.all(Statement::new(sql, [realm_id.into()]), row).await
    }

    /// Who the users of a realm whose names are after `after` and not after `last` are at its providers.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn links_of(&self, realm_id: &str, after: &str, last: &str) -> Result<Vec<LinkRow>, StoreError> {
        let sql = "SELECT f.user_id, p.alias, f.subject, f.username FROM users u \
                   JOIN federated_identities f ON f.user_id = u.id \
                   JOIN identity_providers p ON p.id = f.provider_id \
                   WHERE u.realm_id = $1 AND u.username > $2 AND u.username <= $3 ORDER BY f.user_id, p.alias";
        self.all(Statement::new(sql, [realm_id.into(), after.into(), last.into()]), |row| {
            Ok(LinkRow {
                user_id: row.text(0)?.to_owned(),
                alias: row.text(1)?.to_owned(),
                subject: row.text(2)?.to_owned(),
                username: row.text(3)?.to_owned(),
            })
        })
        .await
    }

    /// The key of the user that a provider means by a subject.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn linked_user(&self, provider_id: &str, subject: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT user_id FROM federated_identities WHERE provider_id = $1 AND subject = $2";
        self.one(Statement::new(sql, [provider_id.into(), subject.into()]), |row| Ok(row.text(0)?.to_owned())).await
    }
}
