//! What holds for SQLite beyond the common contract: the file, other processes, and sharing commits.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/folder.rs"]
mod folder;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use folder::Folder;
use grantor_store::{Database, Statement, StoreError, args, connect};

type Db = Arc<dyn Database>;

async fn open(folder: &Folder) -> Db {
    let db = connect(&folder.url()).await.unwrap();
    let create = "CREATE TABLE IF NOT EXISTS t (id BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)";
    db.write(vec![Statement::new(create, [])]).await.unwrap();
    db
}

fn insert(id: i64) -> Statement {
    Statement::new("INSERT INTO t (id, n) VALUES ($1, 0)", args![id])
}

async fn count(db: &Db) -> i64 {
    db.read(Statement::new("SELECT COUNT(*) FROM t", [])).await.unwrap()[0].int(0).unwrap()
}

/// Starts a write for every number and gives the tasks.
fn start_writes(db: &Db, numbers: std::ops::Range<i64>) -> Vec<tokio::task::JoinHandle<Result<(), StoreError>>> {
    let task = |id| {
        let db = Arc::clone(db);
        tokio::spawn(async move { db.write(vec![insert(id)]).await.map(|_| ()) })
    };
    numbers.map(task).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_programs_write_to_one_file() {
    let folder = Folder::new();
    let (one, other) = (open(&folder).await, open(&folder).await);
    one.write(vec![insert(-1)]).await.unwrap();

    let mut tasks = Vec::new();
    for number in 0..16 {
        let db = Arc::clone(if number % 2 == 0 { &one } else { &other });
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                let more = Statement::new("UPDATE t SET n = n + 1 WHERE id = -1", []).must_touch(1);
                db.write(vec![more]).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for db in [&one, &other] {
        let rows = db.read(Statement::new("SELECT n FROM t", [])).await.unwrap();
        assert_eq!(rows[0].int(0).unwrap(), 16 * 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_wait_for_another_program_and_then_share_a_commit() {
    let folder = Folder::new();
    let db = open(&folder).await;
    let before = db.statistics();

    let other = rusqlite::Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let tasks = start_writes(&db, 0..32);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(count(&db).await, 0, "reading goes on while writing waits");
    other.execute_batch("INSERT INTO t (id, n) VALUES (-1, 0); COMMIT").unwrap();

    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(count(&db).await, 33);
    let after = db.statistics();
    assert_eq!(after.batches - before.batches, 32);
    // The writes that came first wait alone; all others have queued up behind them.
    assert!(after.commits - before.commits < 16, "{after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_handed_over_is_written_before_the_file_is_closed() {
    let folder = Folder::new();
    let db = open(&folder).await;
    for id in 0..100 {
        // Polled once, which hands the batch over, and dropped: a caller that went away.
        tokio::time::timeout(Duration::ZERO, db.write(vec![insert(id)])).await.ok();
        tokio::task::yield_now().await;
    }
    drop(db);
    assert_eq!(count(&open(&folder).await).await, 100);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let db = open(&folder).await;
    assert_eq!(count(&db).await, 0);
    for file in companions(&folder.file()) {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn commits_are_durable_and_constraints_enforced() {
    let folder = Folder::new();
    let db = open(&folder).await;
    let rows = db.read(Statement::new("SELECT journal_mode FROM pragma_journal_mode", [])).await.unwrap();
    assert_eq!(rows[0].text(0).unwrap(), "wal");
    // Returned by a writing statement, these come from the writing connection.
    let question = "INSERT INTO t (id, n) SELECT 1, synchronous FROM pragma_synchronous RETURNING n";
    let rows = db.write(vec![Statement::new(question, [])]).await.unwrap();
    assert_eq!(rows[0][0].int(0).unwrap(), 2, "FULL");
    let question = "INSERT INTO t (id, n) SELECT 2, foreign_keys FROM pragma_foreign_keys RETURNING n";
    let rows = db.write(vec![Statement::new(question, [])]).await.unwrap();
    assert_eq!(rows[0][0].int(0).unwrap(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_vanishes_is_missed_and_found_again() {
    let folder = Folder::new();
    let db = open(&folder).await;
    db.write(vec![insert(1)]).await.unwrap();
    assert_eq!(count(&db).await, 1);

    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let moved: Vec<(PathBuf, PathBuf)> = companions(&folder.file())
        .into_iter()
        .map(|file| (file.clone(), elsewhere.join(file.file_name().unwrap())))
        .collect();
    for (here, there) in &moved {
        fs::rename(here, there).unwrap();
    }
    for _ in 0..3 {
        let missed = db.write(vec![insert(2)]).await;
        assert!(matches!(missed, Err(StoreError::Unavailable(_))), "{missed:?}");
        let missed = db.read(Statement::new("SELECT COUNT(*) FROM t", [])).await;
        assert!(matches!(missed, Err(StoreError::Unavailable(_))), "{missed:?}");
        assert!(db.check().await.is_err());
    }
    assert!(!folder.file().exists(), "no empty database takes the place of the lost one");

    for (here, there) in &moved {
        fs::rename(there, here).unwrap();
    }
    db.write(vec![insert(2)]).await.unwrap();
    assert_eq!(count(&db).await, 2);
    db.check().await.unwrap();
}

#[tokio::test]
async fn a_read_must_not_write() {
    let folder = Folder::new();
    let db = open(&folder).await;
    let refused = db.read(insert(1)).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(count(&db).await, 0);
}

#[tokio::test]
async fn an_address_that_is_no_database_is_refused_with_what_is_accepted() {
    for address in ["", "grantor.db", "mysql://root:secret@db/grantor", "sqlite:", "sqlite::memory:", "sqlite://"] {
        let Some(StoreError::Refused(text)) = connect(address).await.err() else {
            panic!("{address} was accepted");
        };
        assert!(text.contains("sqlite:PATH"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn both_spellings_of_the_address_lead_to_the_file() {
    let folder = Folder::new();
    open(&folder).await.write(vec![insert(1)]).await.unwrap();
    let db = connect(&format!("sqlite://{}", folder.file().display())).await.unwrap();
    assert_eq!(count(&db).await, 1);
    let missing = connect(&format!("sqlite:{}/no/such/folder/grantor.db", folder.path().display())).await.err();
    assert!(matches!(missing, Some(StoreError::Unavailable(_))), "{missing:?}");
}

/// The database file and those that SQLite keeps beside it.
fn companions(file: &Path) -> Vec<PathBuf> {
    let names = ["", "-wal", "-shm"].map(|suffix| PathBuf::from(format!("{}{suffix}", file.display())));
    names.into_iter().filter(|file| file.exists()).collect()
}

/// What is added to the schema is backed up, or left out on purpose.
#[tokio::test]
async fn every_table_and_column_is_backed_up() {
    let folder = Folder::new();
    let database = connect(&folder.url()).await.unwrap();
    grantor_store::migrate(database.as_ref(), 0).await.unwrap();
    let sql = "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'";
    let rows = database.read(Statement::new(sql, [])).await.unwrap();
    let left_out = ["migrations", "changes", "revocation_log", "decisions", "key_sets", "one_time_links", "gateways"];
    let is_in = |row: &&grantor_store::Row| {
        !left_out.contains(&row.text(0).unwrap()) && !row.text(0).unwrap().starts_with("sqlite_")
    };
    let name = |row: &grantor_store::Row| format!("{}.{}", row.text(0).unwrap(), row.text(1).unwrap());
    let there: std::collections::BTreeSet<String> = rows.iter().filter(is_in).map(name).collect();
    let backed_up = grantor_store::backup::TABLES
        .iter()
        .flat_map(|table| table.columns.iter().map(move |(column, _)| format!("{}.{column}", table.name)));
    assert_eq!(backed_up.collect::<std::collections::BTreeSet<_>>(), there);
}
