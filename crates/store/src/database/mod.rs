//! Two databases behind one trait.
//!
//! This module owns what a [`Statement`], a [`Row`] and a [`StoreError`] are, and the promises of [`Database`]
//! that hold on SQLite ([`sqlite`]) and on PostgreSQL ([`postgres`]) alike; `tests/contract.rs` states each
//! promise as a test and runs it on both. Which statements exist is left to the tables.
//!
//! SQL is written once, in the words both databases understand: `$1` for arguments,
//! `ON CONFLICT … DO UPDATE`, `RETURNING`, and the types `TEXT`, `BIGINT`, `BYTEA` and `BOOLEAN`.

mod connect;
mod error;
pub mod postgres;
mod row;
pub mod sqlite;
mod value;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use connect::connect;
pub use error::StoreError;
pub use row::Row;
pub(crate) use value::NUL_IN_TEXT;
pub use value::Value;

/// A future on the heap, which is what keeps [`Database`] usable as `dyn Database`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One SQL statement with its arguments.
///
/// The text is static so that it can be prepared once per connection, and so that no argument can ever
/// become part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub(crate) sql: &'static str,
    pub(crate) arguments: Vec<Value>,
    touches: Option<u64>,
}

impl Statement {
    /// A statement; `arguments[0]` stands for `$1`. See [`args!`](crate::args).
    #[must_use]
    pub fn new(sql: &'static str, arguments: impl IntoIterator<Item = Value>) -> Statement {
        Statement { sql, arguments: arguments.into_iter().collect(), touches: None }
    }

    /// Makes the statement a guard: unless it touches exactly `rows` rows, its whole batch is rolled back and
    /// the answer is [`StoreError::Guard`].
    ///
    /// Rows touched are the rows inserted, updated or deleted; for a statement that answers with rows, their
    /// number.
    #[must_use]
    pub fn must_touch(mut self, rows: u64) -> Statement {
        self.touches = Some(rows);
        self
    }

    /// Compares what the statement at `index` of its batch touched with what it must touch.
    pub(crate) fn guard(&self, index: usize, touched: u64) -> Result<(), StoreError> {
        match self.touches {
            Some(wanted) if wanted != touched => Err(StoreError::Guard { index, touched }),
            _ => Ok(()),
        }
    }
}

/// Whether the database itself does this batch whole or not at all, without a transaction around it.
///
/// True for one statement after which nothing can fail any more: it is no guard, and it has no answer that
/// might turn out unreadable.
pub(crate) fn stands_alone(batch: &[Statement]) -> bool {
    matches!(batch, [only] if only.touches.is_none() && !only.sql.contains("RETURNING"))
}

/// A database, whichever it is.
///
/// After [`StoreError::Unavailable`] it is unknown whether a write took effect; after every other error it is
/// certain that nothing did. A database that was lost and comes back is used again without any further step.
pub trait Database: Send + Sync + 'static {
    /// Runs one statement that changes nothing, and gives its rows.
    fn read(&self, statement: Statement) -> BoxFuture<'_, Result<Vec<Row>, StoreError>>;

    /// Runs the statements in order and commits them durably, all or none. Gives the rows of each statement:
    /// none, unless it says `RETURNING`.
    fn write(&self, batch: Vec<Statement>) -> BoxFuture<'_, Result<Vec<Vec<Row>>, StoreError>>;

    /// Like [`write`](Database::write) for changes of the schema and whole realms, which may take as long as they need.
    fn alter(&self, batch: Vec<Statement>) -> BoxFuture<'_, Result<Vec<Vec<Row>>, StoreError>> {
        self.write(batch)
    }

    /// The database as it is at this moment, whatever is written later: for reading only. It keeps a connection as long
    /// as it lives.
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Database>, StoreError>>;

    /// Whether the database can be read and written at this moment.
    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// `sqlite` or `postgres`.
    fn kind(&self) -> &'static str;

    /// What was written since the start.
    fn statistics(&self) -> Statistics;
}

/// What whoever writes to a snapshot is told.
pub(crate) fn only_read<T>() -> Result<T, StoreError> {
    Err(StoreError::Refused("a snapshot of the database is only read".to_owned()))
}

/// What a [`Database`] has written since it was opened. Only what was committed counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Transactions committed. Fewer than `batches` where waiting callers shared one.
    pub commits: u64,
    /// Batches written.
    pub batches: u64,
    /// Statements in those batches.
    pub statements: u64,
}

/// The running counts behind [`Statistics`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    batches: AtomicU64,
    statements: AtomicU64,
}

impl Counters {
    /// Counts one commit. One without a statement is a probe, not a write.
    pub(crate) fn committed(&self, batches: u64, statements: u64) {
        if statements > 0 {
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.batches.fetch_add(batches, Ordering::Relaxed);
            self.statements.fetch_add(statements, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Statistics {
        Statistics {
            commits: self.commits.load(Ordering::Relaxed),
            batches: self.batches.load(Ordering::Relaxed),
            statements: self.statements.load(Ordering::Relaxed),
        }
    }
}
