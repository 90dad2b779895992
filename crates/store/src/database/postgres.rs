//! PostgreSQL: a pool of connections, one transaction per batch.
//!
//! This module owns the connection settings, the time limits and the meaning of SQLSTATEs. How a [`Value`]
//! travels in PostgreSQL's types is in `values`.
//!
//! [`Value`]: super::Value

mod values;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, StatementCache,
};
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls};

use super::{BoxFuture, Counters, Database, Row, Statement, Statistics, StoreError, only_read, stands_alone};

/// Connections per node. More do not make PostgreSQL faster, and its default limit is 100 for all nodes.
const CONNECTIONS: usize = 16;

/// How long a caller waits for a free connection, and for a new one to be made.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// How long one statement may run, enforced by the server.
const STATEMENT_LIMIT: &str = "-c statement_timeout=5000";

/// How long a caller waits in all. It ends what the limit above cannot: a server that no longer answers.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// How often a batch is run when it keeps getting in the way of others.
const MOST_ATTEMPTS: u32 = 5;

/// A PostgreSQL database.
pub struct Postgres {
    pool: Pool,
    counters: Counters,
}

impl Postgres {
    /// Prepares the pool; the first connection is made by the first use.
    ///
    /// # Errors
    /// When the address is not understood, or asks for TLS.
    pub fn open(url: &str) -> Result<Postgres, StoreError> {
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config(url)?, NoTls, settings);
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .wait_timeout(Some(CONNECT_PATIENCE))
            .create_timeout(Some(CONNECT_PATIENCE))
            .recycle_timeout(Some(CONNECT_PATIENCE))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        Ok(Postgres { pool, counters: Counters::default() })
    }

    async fn fetch(&self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        let rows = self.try_fetch(statement).await?;
        statement.guard(0, rows.len() as u64)?;
        Ok(rows)
    }

    async fn try_fetch(&self, statement: &Statement) -> Result<Vec<Row>, Failure> {
        let client = self.pool.get().await?;
        let (rows, _) = step(&client, &client.statement_cache, statement).await?;
        Ok(rows)
    }

    async fn commit(&self, batch: &[Statement], pace: Pace) -> Result<Vec<Vec<Row>>, StoreError> {
        let mut attempt = 1;
        loop {
            match self.try_commit(batch, pace).await {
                Ok(rows) => {
                    self.counters.committed(1, batch.len() as u64);
                    return Ok(rows);
                }
                Err(failure) if failure.is_conflict() && attempt < MOST_ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(5) * attempt).await;
                    attempt += 1;
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    async fn try_commit(&self, batch: &[Statement], pace: Pace) -> Result<Vec<Vec<Row>>, Failure> {
        let mut client = self.pool.get().await?;
        if stands_alone(batch) && pace == Pace::Hurried {
            return steps(&client, &client.statement_cache, batch).await;
        }
        // Dropped without a commit, on an error or because the caller went away, it rolls back.
        let transaction = client.transaction().await?;
        if pace == Pace::Unhurried {
            transaction.batch_execute("SET LOCAL statement_timeout = 0").await?;
        }
        let rows = steps(transaction.client(), &transaction.statement_cache, batch).await?;
        transaction.commit().await?;
        Ok(rows)
    }
}

impl Database for Postgres {
    fn read(&self, statement: Statement) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        Box::pin(async move { patiently(self.fetch(&statement)).await })
    }

    fn write(&self, batch: Vec<Statement>) -> BoxFuture<'_, Result<Vec<Vec<Row>>, StoreError>> {
        Box::pin(async move { patiently(self.commit(&batch, Pace::Hurried)).await })
    }

    fn alter(&self, batch: Vec<Statement>) -> BoxFuture<'_, Result<Vec<Vec<Row>>, StoreError>> {
        Box::pin(async move { self.commit(&batch, Pace::Unhurried).await })
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Database>, StoreError>> {
        Box::pin(async move {
            let begun = async {
                let client = self.pool.get().await?;
                // Out of the pool: nobody else gets a connection in the middle of a transaction.
                let client = Object::take(client);
                client.batch_execute(BEGIN_READING).await?;
                Ok(Arc::new(Frozen(client)) as Arc<dyn Database>)
            };
            patiently(async { begun.await.map_err(|failure: Failure| failure.into()) }).await
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            // After a failover the old address may lead to a server that only reads.
            let question = Statement::new("SELECT pg_is_in_recovery()", []);
            let rows = patiently(self.fetch(&question)).await?;
            match rows.first().map(|row| row.bool(0)).transpose()? {
                Some(false) => Ok(()),
                _ => Err(StoreError::Unavailable("the server only reads: it is a standby".to_owned())),
            }
        })
    }

    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn statistics(&self) -> Statistics {
        self.counters.read()
    }
}

/// The transaction sees the moment of its first statement, which is the last of these.
const BEGIN_READING: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; SELECT 1";

/// A connection in a transaction that only reads.
struct Frozen(ClientWrapper);

impl Database for Frozen {
    fn read(&self, statement: Statement) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        Box::pin(async move {
            let (rows, touched) = step(&self.0, &self.0.statement_cache, &statement).await.map_err(StoreError::from)?;
            statement.guard(0, touched)?;
            Ok(rows)
        })
    }

    fn write(&self, _: Vec<Statement>) -> BoxFuture<'_, Result<Vec<Vec<Row>>, StoreError>> {
        Box::pin(std::future::ready(only_read()))
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Database>, StoreError>> {
        Box::pin(std::future::ready(only_read()))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(only_read()))
    }

    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}

/// Whether the time limit for statements holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Hurried,
    Unhurried,
}

async fn patiently<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(ANSWER_PATIENCE, work).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::Unavailable("the server does not answer".to_owned())),
    }
}

async fn steps(client: &Client, cache: &StatementCache, batch: &[Statement]) -> Result<Vec<Vec<Row>>, Failure> {
    let mut answers = Vec::with_capacity(batch.len());
    for (index, statement) in batch.iter().enumerate() {
        let (rows, touched) = step(client, cache, statement).await?;
        statement.guard(index, touched)?;
        answers.push(rows);
    }
    Ok(answers)
}

/// Runs one statement; gives its rows and how many it touched.
async fn step(client: &Client, cache: &StatementCache, statement: &Statement) -> Result<(Vec<Row>, u64), Failure> {
    let prepared = cache.prepare(client, statement.sql).await?;
    let arguments = values::bind(&statement.arguments, prepared.params())?;
    let arguments: Vec<&(dyn ToSql + Sync)> = arguments.iter().map(|one| &**one as &(dyn ToSql + Sync)).collect();
    if prepared.columns().is_empty() {
        let touched = client.execute(&prepared, &arguments).await?;
        return Ok((Vec::new(), touched));
    }
    let rows = client.query(&prepared, &arguments).await?;
    let rows = rows.iter().map(values::row).collect::<Result<Vec<_>, _>>()?;
    let touched = rows.len() as u64;
    Ok((rows, touched))
}

fn config(url: &str) -> Result<Config, StoreError> {
    // The library does not know these two modes; they ask for more than `require`.
    if url.contains("sslmode=verify-") {
        return Err(no_tls());
    }
    let mut config = url.parse::<Config>().map_err(|error| {
        StoreError::Refused(format!("the database address is not understood: {}", describe(&error)))
    })?;
    if config.get_ssl_mode() == SslMode::Require || config.get_ssl_negotiation() == SslNegotiation::Direct {
        return Err(no_tls());
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(StoreError::Refused("the database address names no host".to_owned()));
    }
    // Ours first: of two values for one setting, PostgreSQL takes the last.
    let options = match config.get_options() {
        Some(given) => format!("{STATEMENT_LIMIT} {given}"),
        None => STATEMENT_LIMIT.to_owned(),
    };
    config.options(options);
    if config.get_application_name().is_none() {
        config.application_name("grantor");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_PATIENCE);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(ANSWER_PATIENCE);
    }
    Ok(config)
}

fn no_tls() -> StoreError {
    StoreError::Refused(
        "TLS to the database is not available yet: use a private network or a local proxy, and sslmode=disable"
            .to_owned(),
    )
}

/// What can end an attempt. The server's own error is kept until it is clear whether to try again.
enum Failure {
    Server(tokio_postgres::Error),
    Store(StoreError),
}

impl Failure {
    /// Whether the batch failed only because it ran at the same time as another one.
    fn is_conflict(&self) -> bool {
        match self {
            Failure::Server(error) => error.code().is_some_and(|state| matches!(state.code(), "40001" | "40P01")),
            Failure::Store(_) => false,
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        Failure::Server(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error)
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Failure {
        match error {
            PoolError::Backend(error) => Failure::Server(error),
            other => Failure::Store(StoreError::Unavailable(other.to_string())),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> StoreError {
        match failure {
            Failure::Server(error) => store_error(&error),
            Failure::Store(error) => error,
        }
    }
}

fn store_error(error: &tokio_postgres::Error) -> StoreError {
    let text = describe(error);
    // Without a SQLSTATE the error is not the server's answer but the lack of one.
    let Some(state) = error.code() else {
        return StoreError::Unavailable(text);
    };
    match state.code() {
        "23505" => StoreError::Duplicate,
        "23503" => StoreError::Orphan,
        "XX001" | "XX002" => StoreError::Corrupt(text),
        // A conflict that stayed after all attempts, a statement over its time limit, a lock not to be had, a
        // server that only reads, a session ended for idling, a failing disk.
        "40001" | "40P01" | "57014" | "55P03" | "25006" | "25P03" | "58030" => StoreError::Unavailable(text),
        // Lost connections, exhausted resources such as the disk, and a server that is stopping or starting.
        code if ["08", "53", "57P0"].iter().any(|group| code.starts_with(group)) => StoreError::Unavailable(text),
        _ => StoreError::Refused(text),
    }
}

/// The message and SQLSTATE of the server, or the chain of causes. The server's detail is left out: it repeats
/// the values of the row.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return format!("{} ({})", answer.message(), answer.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{StoreError, config};

    #[test]
    fn an_address_that_asks_for_tls_is_refused() {
        for mode in ["sslmode=require", "sslmode=verify-full", "sslmode=verify-ca", "sslnegotiation=direct"] {
            let refused = config(&format!("postgres://someone@db/grantor?{mode}")).err();
            assert!(matches!(refused, Some(StoreError::Refused(text)) if text.contains("TLS")), "{mode}");
        }
        assert!(config("postgres://someone@db/grantor?sslmode=disable").is_ok());
    }

    #[test]
    fn the_statement_limit_can_be_overridden_in_the_address() {
        let plain = config("postgres://someone@db/grantor").unwrap();
        assert_eq!(plain.get_options(), Some("-c statement_timeout=5000"));
        let own = config("postgres://someone@db/grantor?options=-c%20statement_timeout%3D9").unwrap();
        assert_eq!(own.get_options(), Some("-c statement_timeout=5000 -c statement_timeout=9"));
    }

    #[test]
    fn an_address_without_a_host_or_with_an_unknown_setting_is_refused() {
        assert!(matches!(config("postgres:///grantor"), Err(StoreError::Refused(_))));
        assert!(matches!(config("postgres://someone@db/grantor?nonsense=1"), Err(StoreError::Refused(_))));
    }
}
