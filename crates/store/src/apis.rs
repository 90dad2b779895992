//! Table `apis`: what the gateway stands in front of.

use crate::Store;
use crate::database::{Row, Statement, StoreError};

/// An API.
#[derive(Clone, Debug)]
pub struct ApiRow {
    /// The key.
    pub id: String,
    /// The realm's key.
    pub realm_id: String,
    /// Unique among all realms.
    pub name: String,
    /// `ApiDocument` as JSON.
    pub document: String,
}

fn row(row: &Row) -> Result<ApiRow, StoreError> {
    Ok(ApiRow {
        id: row.text(0)?.to_owned(),
        realm_id: row.text(1)?.to_owned(),
        name: row.text(2)?.to_owned(),
        document: row.text(3)?.to_owned(),
    })
}

/// Adds an API.
pub fn insert(api: &ApiRow) -> Statement {
    Statement::new(
        "INSERT INTO apis (id, realm_id, name, document) VALUES ($1, $2, $3, $4)",
        [api.id.as_str().into(), api.realm_id.as_str().into(), api.name.as_str().into(), api.document.as_str().into()],
    )
}

/// Replaces what an API is, unless somebody else did since it was read.
pub fn update(id: &str, document: &str, read: &str) -> Statement {
    let sql = "UPDATE apis SET document = $2 WHERE id = $1 AND document = $3";
    Statement::new(sql, [id.into(), document.into(), read.into()]).must_touch(1)
}

/// Removes an API.
pub fn delete(id: &str) -> Statement {
    Statement::new("DELETE FROM apis WHERE id = $1", [id.into()]).must_touch(1)
}

impl Store {
    /// All APIs with the names of their realms, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn apis(&self) -> Result<Vec<(ApiRow, String)>, StoreError> {
        let sql = "SELECT a.id, a.realm_id, a.name, a.document, r.name FROM apis a \
                   JOIN realms r ON r.id = a.realm_id ORDER BY a.name";
        self.all(Statement::new(sql, []), |one| Ok((row(one)?, one.text(4)?.to_owned()))).await
    }

    /// An API by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn api(&self, name: &str) -> Result<Option<ApiRow>, StoreError> {
        self.one(Statement::new("SELECT id, realm_id, name, document FROM apis WHERE name = $1", [name.into()]), row)
            .await
    }
}
