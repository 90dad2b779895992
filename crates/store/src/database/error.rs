//! What can go wrong with a database, in the six ways a caller can act on.

use std::fmt;

/// Why a statement, a batch or an opening failed.
///
/// The texts are for the log of the operator: they name tables and files, never arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// The database cannot be reached or cannot work now: connection lost, disk full, busy for too long.
    /// Trying again later may succeed.
    Unavailable(String),
    /// A row with the same key exists already.
    Duplicate,
    /// A row refers to one that is not there, or not any more.
    Orphan,
    /// A statement with [`must_touch`](super::Statement::must_touch) touched another number of rows.
    Guard {
        /// Position of the statement in its batch.
        index: usize,
        /// How many rows it touched.
        touched: u64,
    },
    /// What is stored is not what was expected: a column missing or of another type, a damaged file.
    Corrupt(String),
    /// The database rejects what was asked of it: wrong SQL, a violated constraint, a wrong address.
    Refused(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Unavailable(reason) => write!(f, "the database is not available: {reason}"),
            StoreError::Duplicate => f.write_str("a row with the same key exists already"),
            StoreError::Orphan => f.write_str("a row refers to one that is not there"),
            StoreError::Guard { index, touched } => {
                write!(f, "statement {index} of the batch touched {touched} rows, so the batch was rolled back")
            }
            StoreError::Corrupt(reason) => write!(f, "the database holds something unexpected: {reason}"),
            StoreError::Refused(reason) => write!(f, "the database refuses: {reason}"),
        }
    }
}

impl std::error::Error for StoreError {}
