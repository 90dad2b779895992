//! Tables `users`, `user_roles`, `user_groups` and `credentials`.

use crate::Store;
use crate::database::{Row, Statement, StoreError};

/// A user with the keys of its roles and groups.
#[derive(Clone, Debug)]
pub struct UserRow {
    /// The `sub` of tokens.
    pub id: String,
    /// The realm's key.
    pub realm_id: String,
    /// Lower case.
    pub username: String,
    /// Lower case.
    pub email: Option<String>,
    /// Whether the user may sign in.
    pub enabled: bool,
    /// The key of the client whose service account this is.
    pub service_client: Option<String>,
    /// Tokens issued before this second are dead.
    pub not_before: i64,
    /// `UserDocument` as JSON, without credentials, roles and groups.
    pub document: String,
    /// Keys of roles given directly.
    pub roles: Vec<String>,
    /// Keys of groups.
    pub groups: Vec<String>,
}

/// A credential.
#[derive(Clone, Debug)]
pub struct CredentialRow {
    /// The key.
    pub id: String,
    /// The user's key.
    pub user_id: String,
    /// `password`, `otp`, …
    pub kind: String,
    /// The order among the user's credentials.
    pub position: i64,
    /// `credentialData` and the rest that is not secret, as JSON.
    pub document: String,
    /// Sealed `secretData`.
    pub secret: Vec<u8>,
}

/// The columns of a user; role and group keys come as one text each, so that a user is one round trip. Keys hold no
/// comma: they are made here, or checked on import.
macro_rules! select_user {
    ($rest:literal) => {
        concat!(
            "SELECT u.id, u.realm_id, u.username, u.email, u.enabled, u.service_client, u.not_before, u.document, ",
            "(SELECT string_agg(role_id, ',') FROM user_roles WHERE user_id = u.id), ",
            "(SELECT string_agg(group_id, ',') FROM user_groups WHERE user_id = u.id) FROM users u ",
            $rest
        )
    };
}

fn user(row: &Row) -> Result<UserRow, StoreError> {
    let keys = |text: Option<&str>| text.map(|t| t.split(',').map(str::to_owned).collect()).unwrap_or_default();
    Ok(UserRow {
        id: row.text(0)?.to_owned(),
        realm_id: row.text(1)?.to_owned(),
        username: row.text(2)?.to_owned(),
        email: row.opt_text(3)?.map(str::to_owned),
        enabled: row.bool(4)?,
        service_client: row.opt_text(5)?.map(str::to_owned),
        not_before: row.int(6)?,
        document: row.text(7)?.to_owned(),
        roles: keys(row.opt_text(8)?),
        groups: keys(row.opt_text(9)?),
    })
}

fn credential(row: &Row) -> Result<CredentialRow, StoreError> {
    Ok(CredentialRow {
        id: row.text(0)?.to_owned(),
        user_id: row.text(1)?.to_owned(),
        kind: row.text(2)?.to_owned(),
        position: row.int(3)?,
        document: row.text(4)?.to_owned(),
        secret: row.bytes(5)?.to_vec(),
    })
}

/// Adds a user with its roles and groups.
pub fn insert(user: &UserRow) -> Vec<Statement> {
    let mut statements = vec![Statement::new(
        "INSERT INTO users (id, realm_id, username, email, enabled, service_client, not_before, document) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            user.id.as_str().into(),
            user.realm_id.as_str().into(),
            user.username.as_str().into(),
            user.email.clone().into(),
            user.enabled.into(),
            user.service_client.clone().into(),
            user.not_before.into(),
            user.document.as_str().into(),
        ],
    )];
    statements.extend(user.roles.iter().map(|role| insert_role(&user.id, role)));
    statements.extend(user.groups.iter().map(|group| {
        Statement::new(
            "INSERT INTO user_groups (user_id, group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [user.id.as_str().into(), group.as_str().into()],
        )
    }));
    statements
}

/// Keeps, sealed, what came with a user and is not understood yet.
pub fn keep(user_id: &str, kept: Vec<u8>) -> Statement {
    Statement::new("UPDATE users SET kept = $2 WHERE id = $1", [user_id.into(), kept.into()]).must_touch(1)
}

/// Gives a role to a user.
pub fn insert_role(user_id: &str, role_id: &str) -> Statement {
    Statement::new(
        "INSERT INTO user_roles (user_id, role_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [user_id.into(), role_id.into()],
    )
}

/// Lets a user sign in, or not.
pub fn set_enabled(id: &str, enabled: bool) -> Statement {
    Statement::new("UPDATE users SET enabled = $2 WHERE id = $1", [id.into(), enabled.into()]).must_touch(1)
}

/// Replaces a user's document and whether it may sign in, unless the document changed since it was read.
pub fn update(user: &UserRow, read: &str) -> Statement {
    Statement::new(
        "UPDATE users SET enabled = $2, document = $3 WHERE id = $1 AND document = $4",
        [user.id.as_str().into(), user.enabled.into(), user.document.as_str().into(), read.into()],
    )
    .must_touch(1)
}

/// Adds a credential.
pub fn insert_credential(credential: &CredentialRow) -> Statement {
    Statement::new(
        "INSERT INTO credentials (id, user_id, kind, position, document, secret) VALUES ($1, $2, $3, $4, $5, $6)",
        [
            credential.id.as_str().into(),
            credential.user_id.as_str().into(),
            credential.kind.as_str().into(),
            credential.position.into(),
            credential.document.as_str().into(),
            credential.secret.clone().into(),
        ],
    )
}

/// Replaces what a credential holds; fails when somebody else replaced it since it was `read`.
pub fn update_credential(credential: &CredentialRow, read: &CredentialRow) -> Statement {
    Statement::new(
        "UPDATE credentials SET document = $2, secret = $3 WHERE id = $1 AND document = $4 AND secret = $5",
        [
            credential.id.as_str().into(),
            credential.document.as_str().into(),
            credential.secret.clone().into(),
            read.document.as_str().into(),
            read.secret.clone().into(),
        ],
    )
    .must_touch(1)
}

/// Removes a user's credentials of one kind.
pub fn delete_credentials(user_id: &str, kind: &str) -> Statement {
    Statement::new("DELETE FROM credentials WHERE user_id = $1 AND kind = $2", [user_id.into(), kind.into()])
}

/// Removes a credential.
pub fn delete_credential(id: &str) -> Statement {
    Statement::new("DELETE FROM credentials WHERE id = $1", [id.into()])
}

impl Store {
    /// A user by key.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn user(&self, realm_id: &str, id: &str) -> Result<Option<UserRow>, StoreError> {
        let sql = select_user!("WHERE u.realm_id = $1 AND u.id = $2");
        self.one(Statement::new(sql, [realm_id.into(), id.into()]), user).await
    }

    /// A user by the name it signs in with, in lower case.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn user_by_name(&self, realm_id: &str, username: &str) -> Result<Option<UserRow>, StoreError> {
        let sql = select_user!("WHERE u.realm_id = $1 AND u.username = $2");
        self.one(Statement::new(sql, [realm_id.into(), username.into()]), user).await
    }

    /// Users by e-mail address, in lower case; more than one where the realm allows duplicates.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn users_by_email(&self, realm_id: &str, email: &str) -> Result<Vec<UserRow>, StoreError> {
        let sql = select_user!("WHERE u.realm_id = $1 AND u.email = $2 ORDER BY u.id LIMIT 2");
        self.all(Statement::new(sql, [realm_id.into(), email.into()]), user).await
    }

    /// The service accounts of a realm: they belong to its snapshot.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn service_accounts(&self, realm_id: &str) -> Result<Vec<UserRow>, StoreError> {
        let sql = select_user!("WHERE u.realm_id = $1 AND u.service_client IS NOT NULL");
        self.all(Statement::new(sql, [realm_id.into()]), user).await
    }

    /// Users that are no service accounts, by name, after `after`, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn users(&self, realm_id: &str, after: &str, limit: i64) -> Result<Vec<UserRow>, StoreError> {
        let sql = select_user!(
            "WHERE u.realm_id = $1 AND u.service_client IS NULL AND u.username > $2 ORDER BY u.username LIMIT $3"
        );
        self.all(Statement::new(sql, [realm_id.into(), after.into(), limit.into()]), user).await
    }

    /// How many users a realm has, service accounts too.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn user_count(&self, realm_id: &str) -> Result<i64, StoreError> {
        let counted = Statement::new("SELECT COUNT(*) FROM users WHERE realm_id = $1", [realm_id.into()]);
        Ok(self.one(counted, |row| row.int(0)).await?.unwrap_or_default())
    }

    /// All users of a realm, service accounts too, by name, after `after`, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn everybody(&self, realm_id: &str, after: &str, limit: i64) -> Result<Vec<UserRow>, StoreError> {
        let sql = select_user!("WHERE u.realm_id = $1 AND u.username > $2 ORDER BY u.username LIMIT $3");
        self.all(Statement::new(sql, [realm_id.into(), after.into(), limit.into()]), user).await
    }

    /// Credentials of the users of a realm whose names are after `after` and not after `last`, each user's in their
    /// order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn credentials_of(
        &self,
        realm_id: &str,
        after: &str,
        last: &str,
    ) -> Result<Vec<CredentialRow>, StoreError> {
        let sql = "SELECT c.id, c.user_id, c.kind, c.position, c.document, c.secret FROM users u \
                   JOIN credentials c ON c.user_id = u.id \
                   WHERE u.realm_id = $1 AND u.username > $2 AND u.username <= $3 ORDER BY c.user_id, c.position, c.id";
        self.all(Statement::new(sql, [realm_id.into(), after.into(), last.into()]), credential).await
    }

    /// What is kept, sealed, with those users: keys and values.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn kept_of(&self, realm_id: &str, after: &str, last: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let sql = "SELECT id, kept FROM users \
                   WHERE realm_id = $1 AND username > $2 AND username <= $3 AND kept IS NOT NULL";
        self.all(Statement::new(sql, [realm_id.into(), after.into(), last.into()]), |row| {
            Ok((row.text(0)?.to_owned(), row.bytes(1)?.to_vec()))
        })
        .await
    }

    /// Whether a user that is on has a role directly.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn has_user_with_role(&self, realm_id: &str, role_id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT u.id FROM users u JOIN user_roles r ON r.user_id = u.id \
                   WHERE u.realm_id = $1 AND r.role_id = $2 AND u.enabled LIMIT 1";
        Ok(!self.read(Statement::new(sql, [realm_id.into(), role_id.into()])).await?.is_empty())
    }

    /// Whether a user that may sign in is in a group.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn has_user_in_group(&self, realm_id: &str, group_id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT u.id FROM users u JOIN user_groups g ON g.user_id = u.id \
                   WHERE u.realm_id = $1 AND g.group_id = $2 AND u.enabled LIMIT 1";
        Ok(!self.read(Statement::new(sql, [realm_id.into(), group_id.into()])).await?.is_empty())
    }

    /// A user's credentials in their order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn credentials(&self, user_id: &str) -> Result<Vec<CredentialRow>, StoreError> {
        let sql = "SELECT id, user_id, kind, position, document, secret FROM credentials WHERE user_id = $1 ORDER BY position, id";
        self.all(Statement::new(sql, [user_id.into()]), credential).await
    }
}
