//! Tables `clients`, `client_scopes` and `scope_roles`.

use crate::Store;
use crate::database::{Row, Statement, StoreError};

/// A client.
#[derive(Clone, Debug)]
pub struct ClientRow {
    /// The key.
    pub id: String,
    /// The realm's key.
    pub realm_id: String,
    /// The OAuth `client_id`.
    pub client_id: String,
    /// Sealed: the secret and secret attributes.
    pub secret: Option<Vec<u8>>,
    /// `ClientDocument` as JSON, without secrets.
    pub document: String,
}

/// A client scope.
#[derive(Clone, Debug)]
pub struct ClientScopeRow {
    /// The key.
    pub id: String,
    /// The realm's key.
    pub realm_id: String,
    /// The word in `scope`.
    pub name: String,
    /// `ClientScopeDocument` as JSON.
    pub document: String,
}

fn client(row: &Row) -> Result<ClientRow, StoreError> {
    Ok(ClientRow {
        id: row.text(0)?.to_owned(),
        realm_id: row.text(1)?.to_owned(),
        client_id: row.text(2)?.to_owned(),
        secret: row.opt_bytes(3)?.map(<[u8]>::to_vec),
        document: row.text(4)?.to_owned(),
    })
}

fn client_scope(row: &Row) -> Result<ClientScopeRow, StoreError> {
    Ok(ClientScopeRow {
        id: row.text(0)?.to_owned(),
        realm_id: row.text(1)?.to_owned(),
        name: row.text(2)?.to_owned(),
        document: row.text(3)?.to_owned(),
    })
}

/// Adds a client.
pub fn insert(client: &ClientRow) -> Statement {
    Statement::new(
        "INSERT INTO clients (id, realm_id, client_id, secret, document) VALUES ($1, $2, $3, $4, $5)",
        [
            client.id.as_str().into(),
            client.realm_id.as_str().into(),
            client.client_id.as_str().into(),
            client.secret.clone().into(),
            client.document.as_str().into(),
        ],
    )
}

/// Replaces a client's document, if it is still the one of `read`.
pub fn update_document(read: &ClientRow, document: &str) -> Statement {
    let sql = "UPDATE clients SET document = $3 WHERE id = $1 AND document = $2";
    Statement::new(sql, [read.id.as_str().into(), read.document.as_str().into(), document.into()]).must_touch(1)
}

/// Replaces a client's sealed secrets, if they are still those of `read`.
pub fn update_secret(read: &ClientRow, secret: Option<Vec<u8>>) -> Statement {
    let sql = "UPDATE clients SET secret = $3 WHERE id = $1 AND secret IS NOT DISTINCT FROM $2";
    Statement::new(sql, [read.id.as_str().into(), read.secret.clone().into(), secret.into()]).must_touch(1)
}

/// Removes a client with its service account and its roles.
pub fn delete(id: &str) -> [Statement; 3] {
    [
        Statement::new("DELETE FROM users WHERE service_client = $1", [id.into()]),
        Statement::new("DELETE FROM roles WHERE owner = $1", [id.into()]),
        Statement::new("DELETE FROM clients WHERE id = $1", [id.into()]).must_touch(1),
    ]
}

/// Adds a client scope.
pub fn insert_scope(scope: &ClientScopeRow) -> Statement {
    Statement::new(
        "INSERT INTO client_scopes (id, realm_id, name, document) VALUES ($1, $2, $3, $4)",
        [
            scope.id.as_str().into(),
            scope.realm_id.as_str().into(),
            scope.name.as_str().into(),
            scope.document.as_str().into(),
        ],
    )
}

/// Lets a client or a client scope put a role into tokens.
pub fn insert_scope_role(realm_id: &str, holder_id: &str, role_id: &str) -> Statement {
    Statement::new(
        "INSERT INTO scope_roles (realm_id, holder_id, role_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        [realm_id.into(), holder_id.into(), role_id.into()],
    )
}

/// Replaces a client scope's document, unless somebody else did since it was read.
pub fn update_scope(read: &ClientScopeRow, document: &str) -> Statement {
    let sql = "UPDATE client_scopes SET document = $3 WHERE id = $1 AND document = $2";
    Statement::new(sql, [read.id.as_str().into(), read.document.as_str().into(), document.into()]).must_touch(1)
}

impl Store {
    /// All clients of a realm.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn clients(&self, realm_id: &str) -> Result<Vec<ClientRow>, StoreError> {
        let sql =
            "SELECT id, realm_id, client_id, secret, document FROM clients WHERE realm_id = $1 ORDER BY client_id";
        self.all(Statement::new(sql, [realm_id.into()]), client).await
    }

    /// One client by its `client_id`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn client(&self, realm_id: &str, client_id: &str) -> Result<Option<ClientRow>, StoreError> {
        let sql =
            "SELECT id, realm_id, client_id, secret, document FROM clients WHERE realm_id = $1 AND client_id = $2";
        self.one(Statement::new(sql, [realm_id.into(), client_id.into()]), client).await
    }

    /// All client scopes of a realm.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn client_scopes(&self, realm_id: &str) -> Result<Vec<ClientScopeRow>, StoreError> {
        let sql = "SELECT id, realm_id, name, document FROM client_scopes WHERE realm_id = $1 ORDER BY id";
        self.all(Statement::new(sql, [realm_id.into()]), client_scope).await
    }

    /// Which client or client scope may put which role into tokens: pairs of keys.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn scope_roles(&self, realm_id: &str) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT holder_id, role_id FROM scope_roles WHERE realm_id = $1";
        self.all(Statement::new(sql, [realm_id.into()]), pair).await
    }
}

pub(crate) fn pair(row: &Row) -> Result<(String, String), StoreError> {
    Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))
}
