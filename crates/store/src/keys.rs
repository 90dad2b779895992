//! Table `realm_keys`: signing keys, sealed.

use grantor_model::Instant;

use crate::Store;
use crate::database::{Row, Statement, StoreError};

/// A key of a realm.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// The key's row key.
    pub id: String,
    /// The realm's key.
    pub realm_id: String,
    /// Sealed: the component with its private material, as JSON.
    pub material: Vec<u8>,
    /// A retired key is published until then; `None` for one that is in use.
    pub published_until: Option<Instant>,
}

fn row(row: &Row) -> Result<KeyRow, StoreError> {
    Ok(KeyRow {
        id: row.text(0)?.to_owned(),
        realm_id: row.text(1)?.to_owned(),
        material: row.bytes(2)?.to_vec(),
        published_until: row.opt_int(3)?.map(Instant::from_millis),
    })
}

/// Adds a key.
pub fn insert(key: &KeyRow) -> Statement {
    Statement::new(
        "INSERT INTO realm_keys (id, realm_id, material, published_until) VALUES ($1, $2, $3, $4)",
        [
            key.id.as_str().into(),
            key.realm_id.as_str().into(),
            key.material.clone().into(),
            key.published_until.map(Instant::millis).into(),
        ],
    )
}

/// Retires a key: it signs no more and is published until `until`.
pub fn retire(id: &str, until: Instant) -> Statement {
    Statement::new(
        "UPDATE realm_keys SET published_until = $2 WHERE id = $1 AND published_until IS NULL",
        [id.into(), until.millis().into()],
    )
    .must_touch(1)
}

impl Store {
    /// The keys of a realm that sign or are still published at `now`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn keys(&self, realm_id: &str, now: Instant) -> Result<Vec<KeyRow>, StoreError> {
        let sql = "SELECT id, realm_id, material, published_until FROM realm_keys \
                   WHERE realm_id = $1 AND (published_until IS NULL OR published_until > $2) ORDER BY id";
        self.all(Statement::new(sql, [realm_id.into(), now.millis().into()]), row).await
    }
}
