//! Table `realms`, and `changes`, by which a running server notices what others wrote.

use crate::Store;
use crate::database::{Row, Statement, StoreError};

/// A realm's settings.
#[derive(Clone, Debug)]
pub struct RealmRow {
    /// The key.
    pub id: String,
    /// The name in URLs.
    pub name: String,
    /// The number of the newest change of anything in the realm's snapshot.
    pub version: i64,
    /// `RealmDocument` as JSON.
    pub document: String,
    /// What is not understood yet, sealed: it may hold secrets of others.
    pub kept: Vec<u8>,
}

fn row(row: &Row) -> Result<RealmRow, StoreError> {
    Ok(RealmRow {
        id: row.text(0)?.to_owned(),
        name: row.text(1)?.to_owned(),
        version: row.int(2)?,
        document: row.text(3)?.to_owned(),
        kept: row.bytes(4)?.to_vec(),
    })
}

/// Adds a realm. Its version stands for nothing until [`changed`], in the same batch, gives it one.
pub fn insert(realm: &RealmRow) -> Statement {
    Statement::new(
        "INSERT INTO realms (id, name, version, document, kept) VALUES ($1, $2, 0, $3, $4)",
        [
            realm.id.as_str().into(),
            realm.name.as_str().into(),
            realm.document.as_str().into(),
            realm.kept.clone().into(),
        ],
    )
}

/// Replaces a realm's settings.
pub fn update_document(id: &str, document: &str) -> Statement {
    Statement::new("UPDATE realms SET document = $2 WHERE id = $1", [id.into(), document.into()]).must_touch(1)
}

/// Removes a realm with everything in it.
pub fn delete(id: &str) -> Statement {
    Statement::new("DELETE FROM realms WHERE id = $1", [id.into()]).must_touch(1)
}

/// Marks a realm as being imported by the import of a number, which is not 0: nobody sees it, until it is [`finished`].
pub fn unfinished(id: &str, number: i64) -> Statement {
    Statement::new("UPDATE realms SET unfinished = $2 WHERE id = $1", [id.into(), number.into()]).must_touch(1)
}

/// Goes first in each further batch of an import: none goes into the realm of another one.
pub fn still_unfinished(id: &str, number: i64) -> Statement {
    let sql = "UPDATE realms SET unfinished = $2 WHERE id = $1 AND unfinished = $2";
    Statement::new(sql, [id.into(), number.into()]).must_touch(1)
}

/// Ends an import: from here on the realm is there.
pub fn finished(id: &str, number: i64) -> Statement {
    let sql = "UPDATE realms SET unfinished = 0 WHERE id = $1 AND unfinished = $2";
    Statement::new(sql, [id.into(), number.into()]).must_touch(1)
}

/// Gives the realm a version that no realm had before: belongs at the end of every batch that changes what a snapshot
/// holds. A realm that replaces another one of its name is newer than that, whatever happened meanwhile.
pub fn changed(id: &str) -> [Statement; 2] {
    let sql = "UPDATE realms SET version = (SELECT number FROM changes WHERE one = 1) WHERE id = $1";
    [announced(), Statement::new(sql, [id.into()])]
}

/// Tells the nodes that some realm changed, came or went.
fn announced() -> Statement {
    Statement::new("UPDATE changes SET number = number + 1 WHERE one = 1", [])
}

impl Store {
    /// A realm by its name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn realm(&self, name: &str) -> Result<Option<RealmRow>, StoreError> {
        let sql = "SELECT id, name, version, document, kept FROM realms WHERE name = $1 AND unfinished = 0";
        self.one(Statement::new(sql, [name.into()]), row).await
    }

    /// The key of a realm whose import was cut off, or is under way.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn unfinished_realm(&self, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT id FROM realms WHERE name = $1 AND unfinished <> 0";
        self.one(Statement::new(sql, [name.into()]), |row| Ok(row.text(0)?.to_owned())).await
    }

    /// All realms' names and versions.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn realm_versions(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT name, version FROM realms WHERE unfinished = 0 ORDER BY name";
        self.all(Statement::new(sql, []), |row| Ok((row.text(0)?.to_owned(), row.int(1)?))).await
    }

    /// All realms' keys and names.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn realm_names(&self) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT id, name FROM realms WHERE unfinished = 0 ORDER BY name";
        self.all(Statement::new(sql, []), |row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))).await
    }

    /// The version of the realm of a name; `None` when there is none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn realm_number(&self, name: &str) -> Result<Option<i64>, StoreError> {
        self.one(
            Statement::new("SELECT version FROM realms WHERE name = $1 AND unfinished = 0", [name.into()]),
            |row| row.int(0),
        )
        .await
    }

    /// The number of the newest change.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn change_number(&self) -> Result<i64, StoreError> {
        let number = self.one(Statement::new("SELECT number FROM changes WHERE one = 1", []), |row| row.int(0)).await?;
        number.ok_or_else(|| StoreError::Corrupt("the table of changes is empty".to_owned()))
    }
}
