//! Table `key_sets`: the last good key set of each URL, for the time after a restart.

use grantor_model::Instant;

use crate::Store;
use crate::database::{Statement, StoreError};

impl Store {
    /// The last good set of a URL, and when it was fetched.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn kept_key_set(&self, url: &str) -> Result<Option<(Vec<u8>, Instant)>, StoreError> {
        let sql = "SELECT body, fetched FROM key_sets WHERE url = $1";
        let made = |row: &crate::Row| Ok((row.bytes(0)?.to_vec(), Instant::from_millis(row.int(1)?)));
        self.one(Statement::new(sql, [url.into()]), made).await
    }

    /// Keeps a set. An older one does not replace a newer one.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn keep_key_set(&self, url: &str, body: &[u8], fetched: Instant) -> Result<(), StoreError> {
        let sql = "INSERT INTO key_sets (url, body, fetched) VALUES ($1, $2, $3) \
                   ON CONFLICT (url) DO UPDATE SET body = excluded.body, fetched = excluded.fetched \
                   WHERE key_sets.fetched < excluded.fetched";
        self.apply(vec![Statement::new(sql, [url.into(), body.into(), fetched.millis().into()])]).await
    }
}
