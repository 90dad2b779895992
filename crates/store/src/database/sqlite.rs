//! SQLite: one writer, many readers, one file.
//!
//! [`Sqlite`] puts the parts together. Writes go to one thread that commits many waiting callers with one
//! fsync (`writer`). Reads run at once on the thread that asks, because a read takes microseconds and handing
//! it to another thread takes longer (`Readers`, below). How a single connection is opened, spoken to and
//! judged broken is in `link`.

mod link;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::{BoxFuture, Counters, Database, Row, Statement, Statistics, StoreError, only_read};
use link::{Link, Place};
use writer::Writer;

/// A SQLite database file. Dropping it writes what is still waiting and closes the file; that blocks for the
/// length of the last commit.
pub struct Sqlite {
    writer: Writer,
    readers: Readers,
    counters: Arc<Counters>,
}

impl Sqlite {
    /// Opens the file, and creates it when there is none (readable by its owner only). The folder must exist.
    ///
    /// # Errors
    /// When the file cannot be opened or created, or is not a SQLite database.
    pub fn open(path: &Path) -> Result<Sqlite, StoreError> {
        let place = Arc::new(Place::new(path)?);
        let counters = Arc::new(Counters::default());
        Ok(Sqlite {
            writer: Writer::start(Arc::clone(&place), Arc::clone(&counters))?,
            readers: Readers { place, parked: Mutex::default() },
            counters,
        })
    }
}

impl Database for Sqlite {
    fn read(&self, statement: Statement) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        Box::pin(async move { self.readers.read(&statement) })
    }

    fn write(&self, batch: Vec<Statement>) -> BoxFuture<'_, Result<Vec<Vec<Row>>, StoreError>> {
        Box::pin(self.writer.submit(batch))
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Database>, StoreError>> {
        Box::pin(async move {
            let mut link = Link::open_reader(&self.readers.place)?;
            link.control("BEGIN")?;
            // The transaction begins with its first look.
            link.read(&Statement::new("SELECT COUNT(*) FROM sqlite_master", []))?;
            Ok(Arc::new(Frozen(Mutex::new(link))) as Arc<dyn Database>)
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            // An empty batch goes all the way (the thread lives, the file is in its place) and writes nothing.
            self.writer.submit(Vec::new()).await?;
            self.readers.read(&Statement::new("SELECT COUNT(*) FROM sqlite_master", [])).map(|_| ())
        })
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn statistics(&self) -> Statistics {
        self.counters.read()
    }
}

/// A connection in a transaction that only reads.
struct Frozen(Mutex<Link>);

impl Database for Frozen {
    fn read(&self, statement: Statement) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        Box::pin(async move { self.0.lock().unwrap_or_else(PoisonError::into_inner).read(&statement) })
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
        "sqlite"
    }

    fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}

/// Connections for reading.
///
/// A read holds its connection without ever waiting for another task, so there are never more connections
/// than threads that read at the same time, and nothing has to bound them.
struct Readers {
    place: Arc<Place>,
    parked: Mutex<Vec<Link>>,
}

impl Readers {
    fn read(&self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        let mut link = self.take()?;
        let answer = link.read(statement);
        // A connection that lost its file is closed here; the next read opens another one.
        if !matches!(answer, Err(StoreError::Unavailable(_))) {
            self.park(link);
        }
        answer
    }

    /// The connection used last, whose memory is the warmest, or a new one. Those from before the writer last
    /// lost the file are closed on the way: they may still read the file that was there before.
    fn take(&self) -> Result<Link, StoreError> {
        while let Some(link) = self.unpark() {
            if link.is_current(&self.place) {
                return Ok(link);
            }
        }
        Link::open_reader(&self.place)
    }

    fn unpark(&self) -> Option<Link> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn park(&self, link: Link) {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner).push(link);
    }
}
