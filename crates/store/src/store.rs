//! The store: typed rows over a [`Database`]. Each method is one atomic step; each table is one file.

use std::sync::Arc;

use crate::database::{Database, Row, Statement, StoreError};

/// What is remembered, on whichever database.
#[derive(Clone)]
pub struct Store {
    database: Arc<dyn Database>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Store({})", self.database.kind())
    }
}

impl Store {
    /// A store on an open database whose tables are there.
    pub fn new(database: Arc<dyn Database>) -> Self {
        Self { database }
    }

    /// The database itself, for its health and its counters.
    pub fn database(&self) -> &dyn Database {
        self.database.as_ref()
    }

    /// The store as it is at this moment, for reading.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn snapshot(&self) -> Result<Self, StoreError> {
        Ok(Self { database: self.database.snapshot().await? })
    }

    /// Commits statements together or not at all. Administration composes a change of several tables this way.
    ///
    /// # Errors
    /// Whatever the first failing statement says; nothing is kept then.
    pub async fn apply(&self, statements: Vec<Statement>) -> Result<(), StoreError> {
        self.write(statements).await.map(drop)
    }

    /// Like [`apply`](Store::apply) for as many statements as a whole realm takes: without the time limit of requests.
    ///
    /// # Errors
    /// As [`apply`](Store::apply).
    pub async fn apply_unhurried(&self, statements: Vec<Statement>) -> Result<(), StoreError> {
        self.database.alter(statements).await.map(drop)
    }

    pub(crate) async fn read(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        self.database.read(statement).await
    }

    pub(crate) async fn write(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.database.write(statements).await
    }

    /// Reads rows and makes each of them into a `T`.
    pub(crate) async fn all<T>(
        &self,
        statement: Statement,
        make: fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.read(statement).await?.iter().map(make).collect()
    }

    /// Reads at most one row.
    pub(crate) async fn one<T>(
        &self,
        statement: Statement,
        make: fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.read(statement).await?.first().map(make).transpose()
    }
}
