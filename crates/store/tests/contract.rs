//! What both databases promise, as tests that run on both.
//!
//! Each promise is one function that gets an empty database. The list at the end makes two tests of it:
//! `sqlite::NAME` and `postgres::NAME`. The latter is ignored where PostgreSQL is not installed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/folder.rs"]
mod folder;
#[path = "support/postgres.rs"]
mod postgres_server;

use std::sync::Arc;

use grantor_store::{Database, Row, Statement, StoreError, Value, args, migrate};
use tokio::sync::Barrier;

/// How many tasks race for whatever may happen once.
const RACERS: usize = 32;

type Db = Arc<dyn Database>;

/// Runs `work(0)`, `work(1)`, … at the same moment; gives their answers in that order.
async fn race<T, F>(work: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(RACERS));
    let mut tasks = Vec::new();
    for number in 0..RACERS {
        let (start, work) = (Arc::clone(&start), work(number));
        tasks.push(tokio::spawn(async move {
            start.wait().await;
            work.await
        }));
    }
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

async fn write(db: &Db, sql: &'static str, arguments: impl IntoIterator<Item = Value>) -> Vec<Row> {
    db.write(vec![Statement::new(sql, arguments)]).await.unwrap().remove(0)
}

async fn read(db: &Db, sql: &'static str, arguments: impl IntoIterator<Item = Value>) -> Vec<Row> {
    db.read(Statement::new(sql, arguments)).await.unwrap()
}

async fn count(db: &Db) -> i64 {
    read(db, "SELECT COUNT(*) FROM t", []).await[0].int(0).unwrap()
}

/// The table most tests need.
async fn numbers(db: &Db) {
    write(db, "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, n BIGINT)", []).await;
}

fn insert(id: i64, n: i64) -> Statement {
    Statement::new("INSERT INTO t (id, n) VALUES ($1, $2)", args![id, n])
}

fn identifier(number: usize) -> i64 {
    i64::try_from(number).unwrap()
}

async fn every_kind_of_value_comes_back(db: Db) {
    write(&db, "CREATE TABLE v (id BIGINT PRIMARY KEY, word TEXT, n BIGINT, data BYTEA, flag BOOLEAN)", []).await;
    let sql = "INSERT INTO v (id, word, n, data, flag) VALUES ($1, $2, $3, $4, $5)";
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    let words = "it's \"quoted\" $1 ?1 ; -- Zoë 🦀 \u{202e}\n\t\\";
    write(&db, sql, args![1, words, i64::MIN, all_bytes.clone(), true]).await;
    write(&db, sql, args![2, "", 0, Vec::<u8>::new(), false]).await;
    write(&db, sql, args![3, None::<&str>, None::<i64>, None::<Vec<u8>>, None::<bool>]).await;
    write(&db, sql, args![4, "12", i64::MAX, b"12", Some(true)]).await;

    let rows = read(&db, "SELECT word, n, data, flag FROM v ORDER BY id", []).await;
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0].text(0).unwrap(), words);
    assert_eq!(rows[0].int(1).unwrap(), i64::MIN);
    assert_eq!(rows[0].bytes(2).unwrap(), all_bytes);
    assert!(rows[0].bool(3).unwrap());
    assert_eq!(rows[1].text(0).unwrap(), "");
    assert_eq!(rows[1].opt_int(1).unwrap(), Some(0));
    assert_eq!(rows[1].opt_bytes(2).unwrap(), Some(&[][..]));
    assert_eq!(rows[1].opt_bool(3).unwrap(), Some(false));
    assert_eq!(rows[2].opt_text(0).unwrap(), None);
    assert_eq!(rows[2].opt_int(1).unwrap(), None);
    assert_eq!(rows[2].opt_bytes(2).unwrap(), None);
    assert_eq!(rows[2].opt_bool(3).unwrap(), None);
    assert_eq!(rows[3].text(0).unwrap(), "12");
    assert_eq!(rows[3].int(1).unwrap(), i64::MAX);
    assert_eq!(rows[3].bytes(2).unwrap(), b"12");

    let found = read(&db, "SELECT id FROM v WHERE data = $1 AND flag = $2", args![b"12", true]).await;
    assert_eq!(found.len(), 1);
    assert_eq!(read(&db, "SELECT id FROM v WHERE flag", []).await.len(), 2);
}

async fn a_wrong_column_is_named(db: Db) {
    numbers(&db).await;
    db.write(vec![insert(1, 7)]).await.unwrap();
    let row = read(&db, "SELECT id, n, CAST(NULL AS TEXT) FROM t", []).await.remove(0);
    for wrong in [row.text(1), row.text(2), row.text(3), row.bytes(1).map(|_| "")] {
        assert!(matches!(wrong, Err(StoreError::Corrupt(_))), "{wrong:?}");
    }
    assert!(row.text(1).unwrap_err().to_string().contains("column 1"));
    assert!(row.bool(1).is_err(), "only 0 and 1 are booleans");
    assert!(row.opt_text(3).is_err(), "a missing column is not NULL");
}

async fn arguments_bind_by_number(db: Db) {
    write(&db, "CREATE TABLE pair (a TEXT, b TEXT)", []).await;
    write(&db, "INSERT INTO pair (a, b) VALUES ($2, $1)", args!["first", "second"]).await;
    let row = read(&db, "SELECT a, b FROM pair", []).await.remove(0);
    assert_eq!((row.text(0).unwrap(), row.text(1).unwrap()), ("second", "first"));

    let sql = "SELECT '$2', a FROM pair WHERE b = $2 AND a = $1 AND a <> $2";
    let row = read(&db, sql, args!["second", "first"]).await.remove(0);
    assert_eq!((row.text(0).unwrap(), row.text(1).unwrap()), ("$2", "second"));
}

async fn a_failed_guard_rolls_back_its_batch(db: Db) {
    numbers(&db).await;
    db.write(vec![insert(1, 1), insert(2, 1)]).await.unwrap();
    let update = |id: i64| Statement::new("UPDATE t SET n = n + 1 WHERE id = $1", args![id]).must_touch(1);

    let missed = db.write(vec![insert(3, 1), update(9), insert(4, 1)]).await;
    assert_eq!(missed, Err(StoreError::Guard { index: 1, touched: 0 }));
    assert_eq!(count(&db).await, 2);

    let both = Statement::new("UPDATE t SET n = 5", []).must_touch(1);
    assert_eq!(db.write(vec![both]).await, Err(StoreError::Guard { index: 0, touched: 2 }));
    let returned = Statement::new("UPDATE t SET n = 5 RETURNING id", []).must_touch(1);
    assert_eq!(db.write(vec![returned]).await, Err(StoreError::Guard { index: 0, touched: 2 }));
    assert_eq!(read(&db, "SELECT id FROM t WHERE n = 1", []).await.len(), 2);

    db.write(vec![update(1), update(2)]).await.unwrap();
    assert_eq!(read(&db, "SELECT id FROM t WHERE n = 2", []).await.len(), 2);
}

async fn a_duplicate_key_has_its_own_error(db: Db) {
    write(&db, "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, realm TEXT, name TEXT, UNIQUE (realm, name))", [])
        .await;
    let insert = |id: i64, realm: &str, name: &str| {
        Statement::new("INSERT INTO t (id, realm, name) VALUES ($1, $2, $3)", args![id, realm, name])
    };
    db.write(vec![insert(1, "a", "x"), insert(2, "b", "x")]).await.unwrap();
    assert_eq!(db.write(vec![insert(1, "c", "x")]).await, Err(StoreError::Duplicate));
    assert_eq!(db.write(vec![insert(3, "a", "x")]).await, Err(StoreError::Duplicate));
    assert_eq!(db.write(vec![insert(4, "d", "x"), insert(5, "b", "x")]).await, Err(StoreError::Duplicate));
    assert_eq!(count(&db).await, 2);
}

async fn what_the_database_rejects_is_refused_and_changes_nothing(db: Db) {
    numbers(&db).await;
    write(&db, "CREATE TABLE child (id BIGINT PRIMARY KEY, parent BIGINT NOT NULL REFERENCES t (id), word TEXT)", [])
        .await;
    let child = |parent: Option<i64>, word: &str| {
        Statement::new("INSERT INTO child (id, parent, word) VALUES (1, $1, $2)", args![parent, word])
    };
    for statement in [
        Statement::new("NONSENSE", []),
        Statement::new("INSERT INTO nowhere (id) VALUES (1)", []),
        Statement::new("INSERT INTO t (id, n) VALUES ($1, $2)", args![1]),
        child(None, "not null"),
        child(Some(1), "NUL \0 character"),
    ] {
        let answer = db.write(vec![insert(1, 1), statement.clone()]).await;
        assert!(matches!(answer, Err(StoreError::Refused(_))), "{statement:?}: {answer:?}");
        assert_eq!(count(&db).await, 0);
    }
    let orphan = db.write(vec![insert(1, 1), child(Some(9), "no such parent")]).await;
    assert_eq!(orphan, Err(StoreError::Orphan));
    assert_eq!(count(&db).await, 0);
    let nul = db.read(Statement::new("SELECT id FROM child WHERE word = $1", args!["\0"])).await;
    assert!(matches!(nul, Err(StoreError::Refused(_))), "{nul:?}");
    db.write(vec![insert(1, 1), child(Some(1), "fine")]).await.unwrap();
}

async fn a_failing_batch_does_not_hurt_its_neighbours(db: Db) {
    numbers(&db).await;
    write(&db, "CREATE TABLE log (id BIGINT NOT NULL PRIMARY KEY)", []).await;
    db.write(vec![insert(-1, 0)]).await.unwrap();
    let answers = race(|number| {
        let (db, id) = (Arc::clone(&db), identifier(number));
        async move {
            let note = Statement::new("INSERT INTO log (id) VALUES ($1)", args![id]);
            db.write(vec![note, insert(if id % 3 == 0 { -1 } else { id }, id)]).await
        }
    })
    .await;
    for (number, answer) in answers.into_iter().enumerate() {
        let noted = read(&db, "SELECT id FROM log WHERE id = $1", args![identifier(number)]).await.len();
        let inserted = read(&db, "SELECT id FROM t WHERE id = $1", args![identifier(number)]).await.len();
        if number % 3 == 0 {
            assert_eq!((answer, noted, inserted), (Err(StoreError::Duplicate), 0, 0), "task {number}");
        } else {
            assert_eq!((answer, noted, inserted), (Ok(vec![vec![], vec![]]), 1, 1), "task {number}");
        }
    }
}

async fn a_guarded_update_is_won_once(db: Db) {
    numbers(&db).await;
    write(&db, "INSERT INTO t (id, n) VALUES (1, NULL)", []).await;
    let answers = race(|number| {
        let (db, id) = (Arc::clone(&db), identifier(number));
        let take = Statement::new("UPDATE t SET n = $1 WHERE id = 1 AND n IS NULL", args![id]).must_touch(1);
        async move { db.write(vec![take]).await.map(|_| id) }
    })
    .await;
    let winner = only_winner(answers, &StoreError::Guard { index: 0, touched: 0 });
    assert_eq!(read(&db, "SELECT n FROM t", []).await[0].int(0).unwrap(), winner);
}

async fn an_insert_of_one_key_is_won_once(db: Db) {
    numbers(&db).await;
    let answers = race(|number| {
        let (db, id) = (Arc::clone(&db), identifier(number));
        async move { db.write(vec![insert(1, id)]).await.map(|_| id) }
    })
    .await;
    let winner = only_winner(answers, &StoreError::Duplicate);
    assert_eq!(read(&db, "SELECT n FROM t", []).await[0].int(0).unwrap(), winner);
}

fn only_winner(answers: Vec<Result<i64, StoreError>>, defeat: &StoreError) -> i64 {
    let (winners, losers): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert!(losers.iter().all(|loser| loser.as_ref() == Err(defeat)), "{losers:?}");
    *winners[0].as_ref().unwrap()
}

async fn increments_add_up(db: Db) {
    numbers(&db).await;
    db.write(vec![insert(1, 0), insert(2, 0)]).await.unwrap();
    let answers = race(|_| {
        let db = Arc::clone(&db);
        let more = |id: i64| Statement::new("UPDATE t SET n = n + 1 WHERE id = $1", args![id]);
        let batch = vec![more(1), more(2).must_touch(1)];
        async move {
            db.write(batch).await?;
            db.write(vec![Statement::new("UPDATE t SET n = n + 1 WHERE id = 2", [])]).await
        }
    })
    .await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let rows = read(&db, "SELECT n FROM t ORDER BY id", []).await;
    assert_eq!(rows[0].int(0).unwrap(), identifier(RACERS));
    assert_eq!(rows[1].int(0).unwrap(), identifier(2 * RACERS));
}

async fn rows_are_returned_where_asked_for(db: Db) {
    numbers(&db).await;
    let returning = Statement::new("INSERT INTO t (id, n) VALUES ($1, $2) RETURNING id, n", args![1, 10]).must_touch(1);
    let answers = db.write(vec![insert(2, 20), returning, insert(3, 30)]).await.unwrap();
    assert_eq!(answers.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!((answers[1][0].int(0), answers[1][0].int(1)), (Ok(1), Ok(10)));

    let sql = "INSERT INTO t (id, n) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n RETURNING n";
    assert_eq!(write(&db, sql, args![1, 5]).await[0].int(0).unwrap(), 15);
    assert_eq!(write(&db, sql, args![4, 40]).await[0].int(0).unwrap(), 40);
    assert_eq!(write(&db, "UPDATE t SET n = n + 1 WHERE id > $1 RETURNING id", args![2]).await.len(), 2);
    assert_eq!(write(&db, "DELETE FROM t WHERE id > $1 RETURNING n", args![9]).await.len(), 0);
    assert_eq!(write(&db, "DELETE FROM t WHERE id = $1 RETURNING n", args![4]).await[0].int(0).unwrap(), 41);

    let sql = "INSERT INTO t (id, n) VALUES (1, 0) ON CONFLICT (id) DO NOTHING";
    let nothing = db.write(vec![Statement::new(sql, []).must_touch(1)]).await;
    assert_eq!(nothing, Err(StoreError::Guard { index: 0, touched: 0 }));
    assert_eq!(db.write(Vec::new()).await, Ok(Vec::new()));
}

async fn many_read_at_once(db: Db) {
    numbers(&db).await;
    db.write((0..100).map(|id| insert(id, id * id)).collect()).await.unwrap();
    let sums = race(|number| {
        let db = Arc::clone(&db);
        async move {
            let mut sum = 0_i64;
            for step in 0..50 {
                let id = identifier((number + step) % 100);
                sum += read(&db, "SELECT n FROM t WHERE id = $1", args![id]).await[0].int(0).unwrap() - id * id;
            }
            sum
        }
    })
    .await;
    assert!(sums.iter().all(|sum| *sum == 0), "{sums:?}");
}

async fn readers_see_a_batch_whole_or_not_at_all(db: Db) {
    numbers(&db).await;
    db.write(vec![insert(1, 0), insert(2, 0)]).await.unwrap();
    let answers = race(|number| {
        let db = Arc::clone(&db);
        async move {
            if number == 0 {
                for n in 1..=50 {
                    let set = |id: i64| Statement::new("UPDATE t SET n = $2 WHERE id = $1", args![id, n]);
                    db.write(vec![set(1), set(2)]).await.unwrap();
                }
                return 1;
            }
            let mut most = 0_i64;
            for _ in 0..50 {
                let row = read(&db, "SELECT COUNT(DISTINCT n) FROM t", []).await.remove(0);
                most = most.max(row.int(0).unwrap());
            }
            most
        }
    })
    .await;
    assert!(answers.iter().all(|different| *different == 1), "{answers:?}");
    assert_eq!(read(&db, "SELECT id FROM t WHERE n = 50", []).await.len(), 2);
}

async fn migrations_are_applied_once(db: Db) {
    let applied = race(|_| {
        let db = Arc::clone(&db);
        async move { migrate(&*db, 1_700_000_000_000).await.unwrap() }
    })
    .await
    .concat();
    let noted = read(&db, "SELECT name, applied FROM migrations ORDER BY name", []).await;
    assert!(!noted.is_empty());
    assert_eq!(applied.len(), noted.len(), "{applied:?}");
    assert!(noted.iter().all(|row| row.int(1) == Ok(1_700_000_000_000)));
    assert_eq!(migrate(&*db, 1_700_000_000_001).await, Ok(Vec::new()));

    write(&db, "INSERT INTO migrations (name, hash, applied) VALUES ('9999_later', 1, 1)", []).await;
    let newer = migrate(&*db, 0).await;
    assert!(matches!(&newer, Err(StoreError::Refused(text)) if text.contains("9999_later")), "{newer:?}");

    write(&db, "DELETE FROM migrations WHERE name = '9999_later'", []).await;
    write(&db, "UPDATE migrations SET hash = 0", []).await;
    let edited = migrate(&*db, 0).await;
    assert!(matches!(&edited, Err(StoreError::Refused(text)) if text.contains("0001_first")), "{edited:?}");
}

async fn what_is_written_is_counted(db: Db) {
    numbers(&db).await;
    db.check().await.unwrap();
    db.write(vec![insert(1, 1), insert(2, 2)]).await.unwrap();
    assert_eq!(db.write(vec![insert(1, 1)]).await, Err(StoreError::Duplicate));
    let statistics = db.statistics();
    assert_eq!((statistics.commits, statistics.batches, statistics.statements), (2, 2, 3));
}

async fn a_snapshot_stays_as_it_was(db: Db) {
    numbers(&db).await;
    db.write(vec![insert(1, 1)]).await.unwrap();
    let count = || Statement::new("SELECT COUNT(*) FROM t", []);
    let snapshot = db.snapshot().await.unwrap();
    db.write(vec![insert(2, 2)]).await.unwrap();
    assert_eq!(snapshot.read(count()).await.unwrap()[0].int(0).unwrap(), 1);
    assert_eq!(db.read(count()).await.unwrap()[0].int(0).unwrap(), 2);
    assert!(matches!(snapshot.write(vec![insert(3, 3)]).await, Err(StoreError::Refused(_))));
    assert!(snapshot.read(insert(3, 3)).await.is_err());
    drop(snapshot);
    // What was given back is whole again.
    for key in 3..40 {
        db.write(vec![insert(key, key)]).await.unwrap();
    }
    assert_eq!(db.read(count()).await.unwrap()[0].int(0).unwrap(), 39);
}

/// Two tests of every function named: one for each database.
macro_rules! contract {
    ($($promise:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $promise() {
                    let folder = crate::folder::Folder::new();
                    let db = grantor_store::connect(&folder.url()).await.unwrap();
                    assert_eq!(db.kind(), "sqlite");
                    super::$promise(db).await;
                }
            )*
        }

        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                #[cfg_attr(
                    not(grantor_postgres),
                    ignore = "needs PostgreSQL: apt-get install postgresql, then touch crates/store/build.rs"
                )]
                async fn $promise() {
                    let url = crate::postgres_server::fresh_database();
                    let db = grantor_store::connect(&url).await.unwrap();
                    assert_eq!(db.kind(), "postgres");
                    super::$promise(db).await;
                }
            )*
        }
    };
}

contract! {
    every_kind_of_value_comes_back,
    a_wrong_column_is_named,
    arguments_bind_by_number,
    a_failed_guard_rolls_back_its_batch,
    a_duplicate_key_has_its_own_error,
    what_the_database_rejects_is_refused_and_changes_nothing,
    a_failing_batch_does_not_hurt_its_neighbours,
    a_guarded_update_is_won_once,
    an_insert_of_one_key_is_won_once,
    increments_add_up,
    rows_are_returned_where_asked_for,
    many_read_at_once,
    readers_see_a_batch_whole_or_not_at_all,
    a_snapshot_stays_as_it_was,
    migrations_are_applied_once,
    what_is_written_is_counted,
}
