//! Brings the schema up to date.
//!
//! A migration is a file in `migrations/`, embedded in the program and applied once, in order, in one
//! transaction. This module owns the table `migrations`, which remembers what was applied, and refuses to work
//! on a schema it does not know; what the migrations say is left to the files. A statement in such a file ends
//! with `;` at the end of a line.
//!
//! Any number of processes may start at once. Whoever inserts the name of a migration first applies it; the
//! others wait for that transaction and then find the name taken.

use crate::args;
use crate::database::{Database, Row, Statement, StoreError};

/// Name and text of every migration, in the order in which they are applied. A text never changes once it was
/// released.
const MIGRATIONS: &[Migration] = &[
    ("0001_first", include_str!("../migrations/0001_first.sql")),
    ("0002_partners", include_str!("../migrations/0002_partners.sql")),
    ("0003_guesses", include_str!("../migrations/0003_guesses.sql")),
    ("0004_gateway", include_str!("../migrations/0004_gateway.sql")),
    ("0005_long_imports", include_str!("../migrations/0005_long_imports.sql")),
];

type Migration = (&'static str, &'static str);

/// Several processes that create the table `migrations` at once may trip over each other, each at most a few
/// times.
const ATTEMPTS_TO_BEGIN: usize = 10;

/// Applies what is missing, and gives the names of what this call applied. `now_ms` is noted as the instant.
///
/// # Errors
/// [`StoreError::Refused`] when the database was written by a newer Grantor, or when a migration differs from
/// the one that was applied under its name; otherwise whatever the database says.
pub async fn migrate(database: &dyn Database, now_ms: i64) -> Result<Vec<&'static str>, StoreError> {
    apply(database, MIGRATIONS, now_ms).await
}

async fn apply(
    database: &dyn Database,
    migrations: &[Migration],
    now_ms: i64,
) -> Result<Vec<&'static str>, StoreError> {
    let mut known = begin(database).await?;
    verify(migrations, &known)?;
    let mut applied = Vec::new();
    for &(name, text) in migrations {
        if known.iter().any(|(known, _)| known == name) {
            continue;
        }
        let remember = "INSERT INTO migrations (name, hash, applied) VALUES ($1, $2, $3)";
        let mut batch = vec![Statement::new(remember, args![name, hash(text), now_ms])];
        batch.extend(statements(text).into_iter().map(|sql| Statement::new(sql, [])));
        match database.alter(batch).await {
            Ok(_) => applied.push(name),
            // Another process was faster, unless the migration itself collides with a row.
            Err(StoreError::Duplicate) => {
                known = remembered(database).await?;
                verify(migrations, &known)?;
                if !known.iter().any(|(known, _)| known == name) {
                    return Err(StoreError::Duplicate);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(applied)
}

/// What was applied before. Reading comes first, so that a database that needs no change is not written to,
/// and the program may then run with a role that cannot create tables.
async fn begin(database: &dyn Database) -> Result<Vec<(String, i64)>, StoreError> {
    let create = "CREATE TABLE IF NOT EXISTS migrations \
                  (name TEXT NOT NULL PRIMARY KEY, hash BIGINT NOT NULL, applied BIGINT NOT NULL)";
    let mut obstacle = None;
    for _ in 0..ATTEMPTS_TO_BEGIN {
        match remembered(database).await {
            Err(StoreError::Refused(_)) => {}
            answer => return answer,
        }
        // On PostgreSQL, IF NOT EXISTS does not see a table that another transaction is just creating, and
        // then fails in one of several ways. Looking again tells whether that was it.
        match database.alter(vec![Statement::new(create, [])]).await {
            Ok(_) => {}
            Err(error @ (StoreError::Duplicate | StoreError::Refused(_))) => obstacle = Some(error),
            Err(error) => return Err(error),
        }
    }
    match obstacle {
        Some(error) => Err(error),
        None => remembered(database).await,
    }
}

async fn remembered(database: &dyn Database) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = database.read(Statement::new("SELECT name, hash FROM migrations ORDER BY name", [])).await?;
    rows.iter().map(|row: &Row| Ok((row.text(0)?.to_owned(), row.int(1)?))).collect()
}

fn verify(migrations: &[Migration], known: &[(String, i64)]) -> Result<(), StoreError> {
    for (name, hash_then) in known {
        match migrations.iter().find(|(ours, _)| ours == name) {
            None => {
                return Err(StoreError::Refused(format!(
                    "the database was written by a newer Grantor: this one does not know its migration {name}"
                )));
            }
            Some((_, text)) if hash(text) != *hash_then => {
                return Err(StoreError::Refused(format!(
                    "the migration {name} is not the one that was applied to this database"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// FNV-1a. It finds an edited file, not an attacker. Carriage returns do not count: a checkout may add them.
fn hash(text: &str) -> i64 {
    let bytes = text.bytes().filter(|byte| *byte != b'\r');
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash.cast_signed()
}

/// The statements in a migration: each ends with `;` at the end of a line, or before a comment there.
fn statements(text: &'static str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let (mut start, mut end) = (0, 0);
    for line in text.split_inclusive('\n') {
        end += line.len();
        if code(line).ends_with(';') || end == text.len() {
            found.extend(text.get(start..end).filter(|piece| piece.lines().any(|line| !code(line).is_empty())));
            start = end;
        }
    }
    found
}

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split_once("--").map_or(line, |(code, _)| code).trim()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{Migration, apply, hash, statements};
    use crate::args;
    use crate::database::{Statement, StoreError, connect};

    #[test]
    fn statements_end_at_the_end_of_a_line() {
        let text = "-- A comment; with a semicolon.\nCREATE TABLE a (\n  word TEXT DEFAULT ';' -- really;\n);\n\n\
                    CREATE INDEX b\n  ON a (word); -- the end\n-- Nothing more.\n";
        let found = statements(text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|sql| sql.contains("CREATE")), "{found:?}");
        assert_eq!(statements("SELECT 1;\nSELECT 2"), ["SELECT 1;\n", "SELECT 2"]);
        assert_eq!(statements("SELECT 1;\r\nSELECT 2;\r\n").len(), 2);
        assert!(statements("-- Only a comment.\n").is_empty());
        assert!(statements("").is_empty());
    }

    #[test]
    fn the_hash_sees_a_change_but_not_the_line_ending() {
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325_u64.cast_signed());
        assert_ne!(hash("a"), hash("b"));
        assert_eq!(hash("a\r\nb"), hash("a\nb"));
    }

    #[tokio::test]
    async fn migrations_are_applied_in_order_and_whole_or_not_at_all() {
        let first: Migration = ("0001", "CREATE TABLE a (n BIGINT PRIMARY KEY);\nINSERT INTO a (n) VALUES (1);\n");
        let second: Migration = ("0002", "ALTER TABLE a ADD COLUMN word TEXT;\nUPDATE a SET word = 'one';\n");
        let broken: Migration = ("0003", "INSERT INTO a (n) VALUES (2);\nINSERT INTO a (n) VALUES (1);\n");
        let folder = std::env::temp_dir().join(format!("grantor-migrate-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let database = connect(&format!("sqlite:{}", folder.join("test.db").display())).await.unwrap();

        assert_eq!(apply(&*database, &[first], 1).await.unwrap(), ["0001"]);
        assert_eq!(apply(&*database, &[first, second], 2).await.unwrap(), ["0002"]);
        assert_eq!(apply(&*database, &[first, second, broken], 3).await, Err(StoreError::Duplicate));

        let rows = database.read(Statement::new("SELECT n, word FROM a", args![])).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows.first().unwrap().text(1).unwrap(), "one");
        assert!(matches!(apply(&*database, &[first], 4).await, Err(StoreError::Refused(_))));

        drop(database);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
