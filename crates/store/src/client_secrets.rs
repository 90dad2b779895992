//! Table `client_secret_uses`: how often each secret of a client was used.

use grantor_model::Instant;

use crate::Store;
use crate::database::{Statement, StoreError};

/// Uses of a secret.
#[derive(Clone, Debug)]
pub struct SecretUse {
    /// The secret's id.
    pub id: String,
    /// The client's key.
    pub client_id: String,
    /// When it was used last.
    pub used: Instant,
    /// How often.
    pub uses: i64,
}

/// Forgets how often a secret was used.
pub fn forget(id: &str) -> Statement {
    Statement::new("DELETE FROM client_secret_uses WHERE id = $1", [id.into()])
}

impl Store {
    /// Adds uses to those that are known; those of a client that is gone are dropped.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn add_secret_uses(&self, uses: &[&SecretUse]) -> Result<(), StoreError> {
        let sql = "INSERT INTO client_secret_uses (id, client_id, used, uses) \
                   SELECT $1, id, $3, $4 FROM clients WHERE id = $2 \
                   ON CONFLICT (id) DO UPDATE SET uses = client_secret_uses.uses + excluded.uses, \
                   used = CASE WHEN client_secret_uses.used < excluded.used THEN excluded.used \
                   ELSE client_secret_uses.used END";
        let statement = |one: &&SecretUse| {
            let values =
                [one.id.as_str().into(), one.client_id.as_str().into(), one.used.millis().into(), one.uses.into()];
            Statement::new(sql, values)
        };
        self.apply(uses.iter().map(statement).collect()).await
    }

    /// The uses of a client's secrets.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn secret_uses(&self, client_id: &str) -> Result<Vec<SecretUse>, StoreError> {
        let sql = "SELECT id, client_id, used, uses FROM client_secret_uses WHERE client_id = $1";
        self.all(Statement::new(sql, [client_id.into()]), |row| {
            Ok(SecretUse {
                id: row.text(0)?.to_owned(),
                client_id: row.text(1)?.to_owned(),
                used: Instant::from_millis(row.int(2)?),
                uses: row.int(3)?,
            })
        })
        .await
    }
}
