//! Table `opaque_tokens`: tokens that say nothing themselves, found by the part of them that is their id.

use grantor_model::Instant;

use crate::Store;
use crate::database::{Row, Statement, StoreError};

/// A token.
#[derive(Clone, Debug)]
pub struct OpaqueTokenRow {
    /// The key, and the beginning of the token.
    pub id: String,
    /// The realm's key.
    pub realm_id: String,
    /// SHA-256 of the whole token.
    pub hash: Vec<u8>,
    /// `access` or `refresh`.
    pub kind: String,
    /// The client's key.
    pub client_id: String,
    /// What ends together.
    pub grant_id: String,
    /// Whether it was replaced by a successor.
    pub spent: bool,
    /// When it was given out.
    pub issued: Instant,
    /// Until when it is good.
    pub until: Instant,
    /// Whom it speaks of, as JSON.
    pub document: String,
}

fn row(row: &Row) -> Result<OpaqueTokenRow, StoreError> {
    Ok(OpaqueTokenRow {
        id: row.text(0)?.to_owned(),
        realm_id: row.text(1)?.to_owned(),
        hash: row.bytes(2)?.to_vec(),
        kind: row.text(3)?.to_owned(),
        client_id: row.text(4)?.to_owned(),
        grant_id: row.text(5)?.to_owned(),
        spent: row.bool(6)?,
        issued: Instant::from_millis(row.int(7)?),
        until: Instant::from_millis(row.int(8)?),
        document: row.text(9)?.to_owned(),
    })
}

/// Adds a token.
pub fn insert(token: &OpaqueTokenRow) -> Statement {
    Statement::new(
        "INSERT INTO opaque_tokens (id, realm_id, hash, kind, client_id, grant_id, spent, issued, until, document) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        [
            token.id.as_str().into(),
            token.realm_id.as_str().into(),
            token.hash.clone().into(),
            token.kind.as_str().into(),
            token.client_id.as_str().into(),
            token.grant_id.as_str().into(),
            token.spent.into(),
            token.issued.millis().into(),
            token.until.millis().into(),
            token.document.as_str().into(),
        ],
    )
}

/// Replaces a token by its successors, in the batch that adds them; once.
pub fn spend(id: &str) -> Statement {
    Statement::new("UPDATE opaque_tokens SET spent = TRUE WHERE id = $1 AND NOT spent", [id.into()]).must_touch(1)
}

/// Replaces what is kept with a token that is still there.
pub fn update_document(id: &str, document: &str) -> Statement {
    let sql = "UPDATE opaque_tokens SET document = $2 WHERE id = $1 AND NOT spent";
    Statement::new(sql, [id.into(), document.into()]).must_touch(1)
}

/// Ends a token.
pub fn delete(id: &str) -> Statement {
    Statement::new("DELETE FROM opaque_tokens WHERE id = $1", [id.into()])
}

/// Ends the access tokens of a grant.
pub fn delete_access(grant_id: &str) -> Statement {
    Statement::new("DELETE FROM opaque_tokens WHERE grant_id = $1 AND kind = 'access'", [grant_id.into()])
}

/// Ends all tokens of a grant.
pub fn delete_grant(grant_id: &str) -> Statement {
    Statement::new("DELETE FROM opaque_tokens WHERE grant_id = $1", [grant_id.into()])
}

/// Ends all tokens of a client.
pub fn delete_of_client(client_id: &str) -> Statement {
    Statement::new("DELETE FROM opaque_tokens WHERE client_id = $1", [client_id.into()])
}

impl Store {
    /// What is kept with the refresh tokens of a grant.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn refresh_documents(&self, grant_id: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT document FROM opaque_tokens WHERE grant_id = $1 AND kind = 'refresh'";
        self.all(Statement::new(sql, [grant_id.into()]), |row| Ok(row.text(0)?.to_owned())).await
    }

    /// A token by its id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn opaque_token(&self, realm_id: &str, id: &str) -> Result<Option<OpaqueTokenRow>, StoreError> {
        let sql = "SELECT id, realm_id, hash, kind, client_id, grant_id, spent, issued, until, document \
                   FROM opaque_tokens WHERE realm_id = $1 AND id = $2";
        self.one(Statement::new(sql, [realm_id.into(), id.into()]), row).await
    }
}
