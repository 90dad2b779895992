//! What holds for PostgreSQL beyond the common contract: conflicts, lost connections, time limits.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/postgres.rs"]
mod postgres_server;

use std::sync::Arc;
use std::time::Duration;

use grantor_store::{Database, Statement, StoreError, args, connect};
use tokio_postgres::{Client, NoTls};

type Db = Arc<dyn Database>;

/// A database with the table `t` and its rows 1 and 2, and its address.
async fn open(options: &str) -> (Db, String) {
    let url = postgres_server::fresh_database();
    let db = connect(&format!("{url}?options={options}")).await.unwrap();
    let create = "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)";
    let fill = "INSERT INTO t (id, n) VALUES (1, 0), (2, 0)";
    db.write(vec![Statement::new(create, []), Statement::new(fill, [])]).await.unwrap();
    (db, url)
}

/// A connection past the pool: another program.
async fn other_program(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn more(id: i64) -> Statement {
    Statement::new("UPDATE t SET n = n + 1 WHERE id = $1", args![id]).must_touch(1)
}

async fn numbers(db: &Db) -> Vec<i64> {
    let rows = db.read(Statement::new("SELECT n FROM t ORDER BY id", [])).await.unwrap();
    rows.iter().map(|row| row.int(0).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(grantor_postgres),
    ignore = "needs PostgreSQL: apt-get install postgresql, then touch crates/store/build.rs"
)]
async fn the_victim_of_a_deadlock_is_run_again() {
    let (db, url) = open("-c%20deadlock_timeout%3D20ms").await;
    let other = other_program(&url).await;
    other.batch_execute("SET deadlock_timeout = '60s'; BEGIN; UPDATE t SET n = n + 10 WHERE id = 2").await.unwrap();

    // The batch holds row 1 and pauses, the other program waits for row 1, the batch waits for row 2: the
    // batch closes the circle, and only its deadlock timeout is short.
    let pause = Statement::new("SELECT 1 FROM pg_sleep(0.5)", []);
    let batch = tokio::spawn({
        let db = Arc::clone(&db);
        async move { db.write(vec![more(1), pause, more(2)]).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    other.batch_execute("UPDATE t SET n = n + 10 WHERE id = 1; COMMIT").await.unwrap();

    batch.await.unwrap().unwrap();
    assert_eq!(numbers(&db).await, [11, 11]);
    assert_eq!(db.statistics().commits, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(grantor_postgres),
    ignore = "needs PostgreSQL: apt-get install postgresql, then touch crates/store/build.rs"
)]
async fn lost_connections_are_replaced() {
    let (db, url) = open("").await;
    let other = other_program(&url).await;
    let end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for round in 1..=3 {
        other.batch_execute(end_all).await.unwrap();
        let mut attempts = 0;
        while let Err(error) = db.write(vec![more(1)]).await {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
            attempts += 1;
            assert!(attempts <= 16, "as many failures as there may be connections");
        }
        db.check().await.unwrap();
        assert_eq!(numbers(&db).await, [round, 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(grantor_postgres),
    ignore = "needs PostgreSQL: apt-get install postgresql, then touch crates/store/build.rs"
)]
async fn a_statement_over_its_limit_is_ended_but_not_a_change_of_the_schema() {
    let (db, _) = open("-c%20statement_timeout%3D500ms").await;
    let slow = || vec![more(1), Statement::new("SELECT 1 FROM pg_sleep(1)", [])];
    let ended = db.write(slow()).await;
    assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{ended:?}");
    assert_eq!(numbers(&db).await, [0, 0]);
    db.alter(slow()).await.unwrap();
    assert_eq!(numbers(&db).await, [1, 0]);
    assert!(db.write(slow()).await.is_err(), "the limit is back");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    // Port 1 is reserved and unused.
    let answer = connect("postgres://grantor@127.0.0.1:1/grantor").await.err();
    assert!(matches!(answer, Some(StoreError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
#[cfg_attr(
    not(grantor_postgres),
    ignore = "needs PostgreSQL: apt-get install postgresql, then touch crates/store/build.rs"
)]
async fn a_database_that_does_not_exist_is_refused() {
    let url = format!("{}_missing", postgres_server::fresh_database());
    let answer = connect(&url).await.err();
    assert!(matches!(answer, Some(StoreError::Refused(_))), "{answer:?}");
}
