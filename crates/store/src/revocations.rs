//! Tables `revocations` and `gateways`: what was revoked, in order, and who has applied how much of it.

use grantor_model::Instant;
use grantor_model::revocation::{Revocation, What};

use crate::Store;
use crate::database::{Row, Statement, StoreError};

/// How far a gateway has come.
#[derive(Clone, Debug)]
pub struct GatewayRow {
    /// Its name.
    pub name: String,
    /// The last revocation that it has applied.
    pub position: i64,
    /// The change of routes and realms that it uses.
    pub change: i64,
    /// When it said so.
    pub seen: Instant,
}

/// Adds to the log, in the batch that revokes. `entry.position` is given by the log.
pub fn add(entry: &Revocation) -> [Statement; 2] {
    let raise = Statement::new("UPDATE revocation_log SET position = position + 1 WHERE one = 1", []);
    let insert = Statement::new(
        "INSERT INTO revocations (position, realm_id, what, subject, before, until) \
         SELECT position, $1, $2, $3, $4, $5 FROM revocation_log WHERE one = 1",
        [
            entry.realm_id.as_str().into(),
            entry.what.name().into(),
            entry.subject.as_str().into(),
            entry.before.into(),
            entry.until.millis().into(),
        ],
    );
    [raise, insert]
}

/// Removes entries whose tokens have expired.
pub(crate) fn sweep(now: Instant) -> Statement {
    Statement::new("DELETE FROM revocations WHERE until < $1", [now.millis().into()])
}

fn revocation(row: &Row) -> Result<Revocation, StoreError> {
    let what = row.text(2)?;
    Ok(Revocation {
        position: row.int(0)?,
        realm_id: row.text(1)?.to_owned(),
        what: What::parse(what).ok_or_else(|| StoreError::Corrupt(format!("a revocation of {what:?}")))?,
        subject: row.text(3)?.to_owned(),
        before: row.int(4)?,
        until: Instant::from_millis(row.int(5)?),
    })
}

impl Store {
    /// The entries of the log after a position, in order, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn revocations_after(&self, position: i64, limit: i64) -> Result<Vec<Revocation>, StoreError> {
        let sql = "SELECT position, realm_id, what, subject, before, until FROM revocations \
                   WHERE position > $1 ORDER BY position LIMIT $2";
        self.all(Statement::new(sql, [position.into(), limit.into()]), revocation).await
    }

    /// How many entries there are, and the last of them in order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn last_revocations(&self, limit: i64) -> Result<(i64, Vec<Revocation>), StoreError> {
        let count = self.one(Statement::new("SELECT COUNT(*) FROM revocations", []), |row| row.int(0)).await?;
        let sql = "SELECT position, realm_id, what, subject, before, until FROM revocations \
                   ORDER BY position DESC LIMIT $1";
        let mut last = self.all(Statement::new(sql, [limit.into()]), revocation).await?;
        last.reverse();
        Ok((count.unwrap_or_default(), last))
    }

    /// The last position of the log, also of entries that are gone.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn revocation_position(&self) -> Result<i64, StoreError> {
        let sql = "SELECT position FROM revocation_log WHERE one = 1";
        let position = self.one(Statement::new(sql, []), |row| row.int(0)).await?;
        position.ok_or_else(|| StoreError::Corrupt("the log of revocations is empty".to_owned()))
    }

    /// Notes how far a gateway has come.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn note_gateway(&self, gateway: &GatewayRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO gateways (name, position, change, seen) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (name) DO UPDATE SET position = excluded.position, change = excluded.change, \
                   seen = excluded.seen";
        let values = [
            gateway.name.as_str().into(),
            gateway.position.into(),
            gateway.change.into(),
            gateway.seen.millis().into(),
        ];
        self.apply(vec![Statement::new(sql, values)]).await
    }

    /// All gateways that were heard of lately.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn gateways(&self) -> Result<Vec<GatewayRow>, StoreError> {
        self.all(Statement::new("SELECT name, position, change, seen FROM gateways ORDER BY name", []), |row| {
            Ok(GatewayRow {
                name: row.text(0)?.to_owned(),
                position: row.int(1)?,
                change: row.int(2)?,
                seen: Instant::from_millis(row.int(3)?),
            })
        })
        .await
    }
}
