//! From the address in the configuration to a database.

use std::path::Path;
use std::sync::Arc;

use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::{Database, StoreError};

/// Opens the database at `url`: `sqlite:PATH` (or `sqlite://PATH`), `postgres://…` or `postgresql://…`.
///
/// The database is probed once, so a wrong address or password shows at the start and not at the first login.
///
/// # Errors
/// [`StoreError::Refused`] when the address is not one of these or asks for what is not offered;
/// [`StoreError::Unavailable`] when there is nothing to reach at it now.
pub async fn connect(url: &str) -> Result<Arc<dyn Database>, StoreError> {
    let database = open(url)?;
    database.check().await?;
    Ok(database)
}

fn open(url: &str) -> Result<Arc<dyn Database>, StoreError> {
    if let Some(rest) = url.strip_prefix("sqlite:") {
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.is_empty() || path == ":memory:" {
            return Err(StoreError::Refused(
                "a SQLite database is a file: write sqlite:PATH, as in sqlite:grantor.db".to_owned(),
            ));
        }
        return Ok(Arc::new(Sqlite::open(Path::new(path))?));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Arc::new(Postgres::open(url)?));
    }
    // The address itself is not repeated: it may hold a password.
    let scheme = url.split_once("://").map_or("it has no scheme", |(scheme, _)| scheme);
    Err(StoreError::Refused(format!(
        "the database address must be sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME ({scheme})"
    )))
}
