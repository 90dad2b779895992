//! One SQLite connection: opening it, running statements on it, and understanding its errors.
//!
//! This module owns everything that is particular to SQLite. When transactions begin and end is left to the
//! writer.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, ToSql, ffi, params_from_iter};

use super::super::{NUL_IN_TEXT, Row, Statement, StoreError, Value, stands_alone};

/// How long a write waits for another process, such as the command line, to finish its own.
const WRITER_PATIENCE: Duration = Duration::from_secs(5);

/// How long a read waits. In WAL mode only the recovery after a crash makes it wait, and it waits on a thread
/// that other requests need.
const READER_PATIENCE: Duration = Duration::from_secs(1);

/// More than there are statements in Grantor, so that none is ever prepared twice on a connection.
const PREPARED_STATEMENTS: usize = 1024;

/// Where the database file is, and how often it was lost.
pub(super) struct Place {
    path: PathBuf,
    generation: AtomicU64,
}

impl Place {
    /// Creates the file if there is none. An absolute path, because SQLite takes names such as `:memory:` and
    /// `file:…` for something else than a file.
    pub(super) fn new(path: &Path) -> Result<Place, StoreError> {
        let path = std::path::absolute(path).map_err(|error| no_file(path, &error))?;
        create(&path).map_err(|error| no_file(&path, &error))?;
        Ok(Place { path, generation: AtomicU64::new(0) })
    }

    /// Makes every connection opened so far a stale one.
    pub(super) fn renew(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

/// A connection.
pub(super) struct Link {
    connection: Connection,
    /// Statements in SQLite's words, found by where the static text lies, which is cheaper than by its content.
    texts: HashMap<(usize, usize), String>,
    file: FileId,
    generation: u64,
}

impl Link {
    pub(super) fn open_reader(place: &Place) -> Result<Link, StoreError> {
        Link::open(place, READER_PATIENCE)
    }

    pub(super) fn open_writer(place: &Place) -> Result<Link, StoreError> {
        let link = Link::open(place, WRITER_PATIENCE)?;
        turn_on_wal(&link.connection)?;
        // FULL and not NORMAL: with NORMAL a power cut takes back commits that were already answered. The
        // limit gives the disk back after an import has made the log long.
        link.connection
            .execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864;")
            .map_err(store_error)?;
        Ok(link)
    }

    fn open(place: &Place, patience: Duration) -> Result<Link, StoreError> {
        let generation = place.generation();
        // Without the CREATE flag: when the file has vanished, an empty new one would look like lost data.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&place.path, flags).map_err(store_error)?;
        connection.busy_timeout(patience).map_err(store_error)?;
        connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
        let file = file_id(&place.path).map_err(|error| no_file(&place.path, &error))?;
        Ok(Link { connection, texts: HashMap::new(), file, generation })
    }

    /// Whether this connection was opened after the file was last lost.
    pub(super) fn is_current(&self, place: &Place) -> bool {
        self.generation == place.generation()
    }

    /// Whether the path still leads to the file this connection has open. SQLite itself goes on writing into a
    /// deleted file without complaint.
    pub(super) fn in_place(&self, place: &Place) -> bool {
        file_id(&place.path).is_ok_and(|file| file == self.file)
    }

    /// Whether a transaction is open. Some errors, such as a full disk, end it from inside.
    pub(super) fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Runs a statement that changes nothing.
    pub(super) fn read(&mut self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        let mut prepared = self.prepare(statement.sql)?;
        if !prepared.readonly() {
            return Err(StoreError::Refused(format!("not a reading statement: {}", statement.sql)));
        }
        let rows = fetch(&mut prepared, &statement.arguments)?;
        statement.guard(0, rows.len() as u64)?;
        Ok(rows)
    }

    /// Runs a batch within the open transaction, and undoes it alone when it fails.
    pub(super) fn batch(&mut self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, StoreError> {
        if stands_alone(batch) {
            return self.steps(batch);
        }
        self.control("SAVEPOINT batch")?;
        let answer = self.steps(batch);
        if let Err(reason) = &answer {
            self.control("ROLLBACK TO batch")
                .map_err(|error| StoreError::Unavailable(format!("{reason}; undoing the batch failed too: {error}")))?;
        }
        self.control("RELEASE batch")?;
        answer
    }

    /// Runs a statement that steers the transaction.
    pub(super) fn control(&self, sql: &str) -> Result<(), StoreError> {
        let mut prepared = self.connection.prepare_cached(sql).map_err(store_error)?;
        prepared.execute([]).map_err(store_error)?;
        Ok(())
    }

    fn steps(&mut self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, StoreError> {
        let mut answers = Vec::with_capacity(batch.len());
        for (index, statement) in batch.iter().enumerate() {
            let (rows, touched) = self.step(statement)?;
            statement.guard(index, touched)?;
            answers.push(rows);
        }
        Ok(answers)
    }

    /// Runs one statement; gives its rows and how many it touched.
    fn step(&mut self, statement: &Statement) -> Result<(Vec<Row>, u64), StoreError> {
        let mut prepared = self.prepare(statement.sql)?;
        if prepared.column_count() == 0 {
            let touched = prepared.execute(params_from_iter(&statement.arguments)).map_err(store_error)?;
            return Ok((Vec::new(), touched as u64));
        }
        let rows = fetch(&mut prepared, &statement.arguments)?;
        let touched = rows.len() as u64;
        Ok((rows, touched))
    }

    fn prepare(&mut self, sql: &'static str) -> Result<CachedStatement<'_>, StoreError> {
        let text = self.texts.entry((sql.as_ptr().addr(), sql.len())).or_insert_with(|| translate(sql));
        self.connection.prepare_cached(text).map_err(store_error)
    }
}

fn fetch(prepared: &mut rusqlite::Statement<'_>, arguments: &[Value]) -> Result<Vec<Row>, StoreError> {
    let width = prepared.column_count();
    let mut rows = prepared.query(params_from_iter(arguments)).map_err(store_error)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = (0..width).map(|index| column(row, index)).collect::<Result<Vec<_>, _>>()?;
        found.push(Row::new(columns));
    }
    Ok(found)
}

fn column(row: &rusqlite::Row<'_>, index: usize) -> Result<Value, StoreError> {
    Ok(match row.get_ref(index).map_err(store_error)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => return Err(StoreError::Corrupt(format!("column {index} is a text that is not UTF-8"))),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Real(_) => {
            return Err(StoreError::Corrupt(format!("column {index} is a floating-point number")));
        }
    })
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Text(text) if text.contains('\0') => {
                return Err(rusqlite::Error::ToSqlConversionFailure(NUL_IN_TEXT.into()));
            }
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
            Value::Bool(truth) => ValueRef::Integer(i64::from(*truth)),
        }))
    }
}

/// Writes `$1` as `?1`. SQLite takes `$1` for a name and numbers names in the order they appear, so that
/// `$2 … $1` would bind swapped arguments without an error.
fn translate(sql: &str) -> String {
    enum Inside {
        Statement,
        Quotes(char),
        LineComment,
        BlockComment,
    }
    let mut translated = String::with_capacity(sql.len());
    let mut inside = Inside::Statement;
    let mut previous = ' ';
    let mut letters = sql.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied().unwrap_or(' ');
        let mut written = letter;
        inside = match inside {
            Inside::Statement => match (letter, next) {
                ('\'' | '"', _) => Inside::Quotes(letter),
                ('-', '-') => Inside::LineComment,
                ('/', '*') => Inside::BlockComment,
                ('$', '0'..='9') => {
                    written = '?';
                    Inside::Statement
                }
                _ => Inside::Statement,
            },
            // A doubled quote ends the quoted part and begins it again at once.
            Inside::Quotes(quote) if letter == quote => Inside::Statement,
            Inside::LineComment if letter == '\n' => Inside::Statement,
            Inside::BlockComment if previous == '*' && letter == '/' => Inside::Statement,
            other => other,
        };
        previous = letter;
        translated.push(written);
    }
    translated
}

/// Puts the file into WAL mode, in which readers never wait for the writer. The file remembers it, so only
/// the first opening changes anything; two first openings at once get in each other's way for a moment.
fn turn_on_wal(connection: &Connection) -> Result<(), StoreError> {
    let mut attempts = 0;
    let mode: String = loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)) {
            Ok(mode) => break mode,
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && attempts < 100 => {
                attempts += 1;
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(store_error(error)),
        }
    };
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "the file system of the database does not support SQLite's write-ahead log (the mode stays {mode})"
    )))
}

/// Creates an empty file that only its owner may read; SQLite gives its companion files the same mode. A file
/// that exists is not even opened: closing it again would drop the locks this process holds on it.
fn create(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// What tells a file from another one that later has the same name.
type FileId = (u64, u64);

#[cfg(unix)]
fn file_id(path: &Path) -> io::Result<FileId> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn file_id(path: &Path) -> io::Result<FileId> {
    fs::metadata(path).map(|_| (0, 0))
}

fn no_file(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

fn store_error(error: rusqlite::Error) -> StoreError {
    let text = error.to_string();
    let (rusqlite::Error::SqliteFailure(failure, _) | rusqlite::Error::SqlInputError { error: failure, .. }) = &error
    else {
        return StoreError::Refused(text);
    };
    if matches!(
        failure.extended_code,
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID
    ) {
        return StoreError::Duplicate;
    }
    if failure.extended_code == ffi::SQLITE_CONSTRAINT_FOREIGNKEY {
        return StoreError::Orphan;
    }
    match failure.code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::SystemIoFailure
        | ErrorCode::DiskFull
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::ReadOnly
        | ErrorCode::OutOfMemory
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::OperationAborted
        | ErrorCode::OperationInterrupted => StoreError::Unavailable(text),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(text),
        _ => StoreError::Refused(text),
    }
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn dollars_become_question_marks() {
        assert_eq!(translate("UPDATE t SET a = $2 WHERE b = $1"), "UPDATE t SET a = ?2 WHERE b = ?1");
        assert_eq!(translate("VALUES ($10,$9)"), "VALUES (?10,?9)");
        assert_eq!(translate("SELECT $, a$b"), "SELECT $, a$b");
    }

    #[test]
    fn quotes_and_comments_stay_as_they_are() {
        assert_eq!(translate("SELECT '$1', $1"), "SELECT '$1', ?1");
        assert_eq!(translate("SELECT 'it''s $1', $1"), "SELECT 'it''s $1', ?1");
        assert_eq!(translate(r#"SELECT "$1", $1"#), r#"SELECT "$1", ?1"#);
        assert_eq!(translate("-- it's $1\nSELECT $1"), "-- it's $1\nSELECT ?1");
        assert_eq!(translate("/* it's $1 */ SELECT $1"), "/* it's $1 */ SELECT ?1");
    }
}
