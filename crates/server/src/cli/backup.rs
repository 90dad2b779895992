//! `grantor backup` and `grantor restore`: everything in the store as one file, from one moment, while the server runs.
//!
//! The file is lines of JSON: a head, for each table its name and its rows, and an end with the number of rows and the
//! SHA-256 of all before. Secrets are in it as they are in the store, sealed with the master key, which is not.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use grantor_flows::vault::Vault;
use grantor_store::backup::{Kind, TABLES, Table, Values};
use grantor_store::{Store, Value as Cell};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bar::Bar;
use super::local::{Local, Where};
use super::output::{CliError, Output};
use super::whole_file::WholeFile;
use crate::start;

/// What the head's check is sealed at.
const PLACE: &str = "backup";

/// Bytes of the longest line that is read back.
const LONGEST: u64 = 64 << 20;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  grantor backup grantor-2026-11-26.backup
  grantor backup /backup/grantor.backup --database postgres://grantor@db.internal/grantor

The server may go on running: the file is of one moment. Realms, users, sessions, keys and revocations are in it;
decisions are not. Secrets are sealed with the master key, which is not in the file: keep master.key of the data folder
elsewhere. Without it nobody can use the backup.

Before an update, make the backup with the program that is still running: a newer one brings the tables up to date
first, as every command does.")]
pub(crate) struct BackupArgs {
    /// The file to write; one that is there is not overwritten
    file: PathBuf,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mkdir -m 700 restored && cp master.key restored/
  grantor restore grantor-2026-11-26.backup --data restored
  grantor serve --data restored

  grantor restore grantor.backup --data restored --database postgres://grantor@db.internal/grantor

The place has to be empty, and has to have the master key of the backup. It may be another kind of database than the
one that was backed up. When all is there, it is checked: the number and the hash of the rows, and that each realm
opens with the master key.")]
pub(crate) struct RestoreArgs {
    /// The file that `grantor backup` wrote
    file: PathBuf,
    #[command(flatten)]
    place: Where,
}

#[derive(Serialize, Deserialize)]
struct Head {
    grantor: String,
    format: u32,
    version: String,
    made: i64,
    /// A text that was sealed with the master key.
    check: String,
    changes: i64,
    revocations: i64,
}

const WHAT: &str = "backup";
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct End {
    rows: u64,
    sha256: String,
}

/// Writes a backup.
pub(crate) async fn backup(args: BackupArgs, output: &Output) -> Result<(), CliError> {
    let local = args.place.open().await?;
    let store = local.engine.store.snapshot().await?;
    let mut file = Writing::begin(&args.file)?;
    let (changes, revocations) = store.numbers().await?;
    let check = STANDARD.encode(local.engine.vault.seal(PLACE, PLACE.as_bytes())?);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let (grantor, made) = (WHAT.to_owned(), local.now.seconds());
    file.line(&Head { grantor, format: FORMAT, version, made, check, changes, revocations })?;
    let (mut rows, mut bar) = (0_u64, Bar::new(output));
    for (number, table) in TABLES.iter().enumerate() {
        file.line(&json!({"table": table.name}))?;
        let mut after: Option<Values> = None;
        loop {
            let page = store.rows_after(table, after.as_ref()).await?;
            if page.is_empty() {
                break;
            }
            for row in &page {
                file.line(&row.iter().map(written).collect::<Vec<_>>())?;
            }
            rows += page.len() as u64;
            after = page.into_iter().last();
            #[expect(clippy::cast_precision_loss, reason = "a bar is not that long")]
            bar.at(number as f64 / TABLES.len() as f64, &format!("{rows} rows, table {}", table.name));
        }
    }
    let sha256 = file.hash();
    file.line(&json!({"end": End { rows, sha256 }}))?;
    drop(bar);
    let bytes = file.bytes;
    file.file.put()?;
    let key = args.place.config()?.master_key_file();
    let shown = json!({"file": args.file, "rows": rows, "bytes": bytes, "master_key": key});
    output.show(&shown, || {
        let (file, key) = (args.file.display(), key.display());
        format!(
            "{file}: {rows} rows, {bytes} bytes\n  keep {key} as well, elsewhere: without it nobody can use the backup"
        )
    })
}

/// A value as JSON has it: bytes are a text within a list.
fn written(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Text(text) => Value::from(text.as_str()),
        Cell::Int(number) => Value::from(*number),
        Cell::Bool(truth) => Value::from(*truth),
        Cell::Bytes(bytes) => json!([STANDARD.encode(bytes)]),
    }
}

/// The file under way, with the hash of its lines.
struct Writing {
    file: WholeFile,
    hash: aws_lc_rs::digest::Context,
    bytes: u64,
}

impl Writing {
    fn begin(path: &Path) -> Result<Self, CliError> {
        if path.exists() {
            return Err(CliError::new(format!("{} is there already", path.display())).with_hint("name another file"));
        }
        let hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        Ok(Self { file: WholeFile::begin(path)?, hash, bytes: 0 })
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let mut line = serde_json::to_vec(value).map_err(|error| CliError::new(format!("a row: {error}")))?;
        line.push(b'\n');
        self.hash.update(&line);
        self.bytes += line.len() as u64;
        self.file.write(&line)
    }

    fn hash(&self) -> String {
        STANDARD.encode(self.hash.clone().finish())
    }
}

/// Puts a backup into an empty place.
pub(crate) async fn restore(args: RestoreArgs, output: &Output) -> Result<(), CliError> {
    let config = args.place.config()?;
    let key = config.master_key_file();
    // A bad file changes nothing: it is read whole before the first row is written.
    let (head, rows) = checked(&args.file)?;
    if !key.exists() {
        let text = format!("the master key of the backup has to be at {} first", key.display());
        return Err(CliError::new(text).with_hint("copy master.key of the data folder that was backed up"));
    }
    let engine = start::engine(&config).await?;
    opens(&engine.vault, &head).map_err(|error| error.with_hint(format!("{} is another key", key.display())))?;
    let store = &engine.store;
    if !store.is_empty().await? {
        return Err(CliError::new(format!("there are realms in {} already", config.database_url()))
            .with_hint("restore into an empty place: another folder with --data, or another database"));
    }
    // What a restore left that was cut off.
    store.clear_unfinished().await?;
    fill(store, &args.file, rows, output).await?;
    store.restored(finished_realms(&args.file)?, (head.changes, head.revocations)).await?;
    let local = Local { engine, now: start::now() };
    let mut realms = 0;
    for (name, _) in local.engine.store.realm_versions().await? {
        local.realm(&name).await.map_err(|error| error.within(&format!("restored, but realm {name} does not open")))?;
        realms += 1;
    }
    output.show(&json!({"rows": rows, "realms": realms, "made": head.made}), || {
        let made = super::output::utc(head.made);
        format!("{rows} rows, {realms} realms as they were at {made}; each opens with the master key")
    })
}

fn opens(vault: &Vault, head: &Head) -> Result<(), CliError> {
    let sealed = STANDARD.decode(&head.check).unwrap_or_default();
    let opened = vault.open(PLACE, &sealed);
    opened.map(drop).map_err(|_| CliError::new("the backup was made under another master key"))
}

/// Lines of the file, each no longer than it may be.
fn lines(path: &Path) -> Result<impl Iterator<Item = Result<Vec<u8>, CliError>>, CliError> {
    let shown = path.display().to_string();
    let unreadable = move |error: std::io::Error| CliError::new(format!("{shown} cannot be read: {error}"));
    let mut from = BufReader::with_capacity(1 << 16, File::open(path).map_err(&unreadable)?);
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        match from.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(Ok(line)),
            Err(error) => Some(Err(unreadable(error))),
        }
    }))
}

/// The head, and the number of rows, of a file that is whole.
fn checked(path: &Path) -> Result<(Head, u64), CliError> {
    let bad = |what: &str| CliError::new(format!("{}: {what}", path.display()));
    let no_backup = || bad("no backup of a Grantor").with_hint("`grantor backup` writes them");
    let mut lines = lines(path)?;
    let first = lines.next().ok_or_else(no_backup)??;
    let head: Head = serde_json::from_slice(&first).map_err(|_| no_backup())?;
    if head.grantor != WHAT {
        return Err(no_backup());
    }
    if head.format != FORMAT {
        return Err(bad("written by a newer Grantor").with_hint("restore it with that version"));
    }
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    hash.update(&first);
    let (mut rows, mut end) = (0, None);
    for line in lines {
        let line = line?;
        if end.is_some() {
            return Err(bad("something stands behind its end"));
        }
        if line.starts_with(b"{\"end\"") {
            let value: Value = serde_json::from_slice(&line).map_err(|_| bad("its end cannot be read"))?;
            let read = value.get("end").cloned().map(serde_json::from_value::<End>);
            end = Some(read.and_then(Result::ok).ok_or_else(|| bad("its end cannot be read"))?);
            continue;
        }
        rows += u64::from(line.starts_with(b"["));
        hash.update(&line);
    }
    let end = end.ok_or_else(|| bad("it ends too early: it is not whole"))?;
    if end.rows != rows || end.sha256 != STANDARD.encode(hash.finish()) {
        return Err(bad("it was changed or damaged: rows and hash are not those of its end"));
    }
    Ok((head, rows))
}

/// The rows with the tables that they belong to.
fn rows(path: &Path) -> Result<impl Iterator<Item = Result<(&'static Table, Values), CliError>>, CliError> {
    let bad = |what: &str| CliError::new(format!("a row of the backup: {what}"));
    let mut table: Option<&'static Table> = None;
    Ok(lines(path)?.filter_map(move |line| {
        let read = || -> Result<Option<(&'static Table, Values)>, CliError> {
            let value: Value = serde_json::from_slice(&line?).map_err(|error| bad(&error.to_string()))?;
            match value {
                Value::Array(cells) => {
                    let table = table.ok_or_else(|| bad("it has no table"))?;
                    if cells.len() != table.columns.len() {
                        return Err(bad("another number of columns"));
                    }
                    let cells = cells.into_iter().zip(table.columns).map(|(cell, (name, kind))| {
                        cell_of(cell, *kind).ok_or_else(|| bad(&format!("{} of {}", name, table.name)))
                    });
                    Ok(Some((table, cells.collect::<Result<_, _>>()?)))
                }
                other => {
                    if let Some(name) = other.get("table").and_then(Value::as_str) {
                        let found = TABLES.iter().find(|table| table.name == name);
                        table = Some(found.ok_or_else(|| bad(&format!("the table {name:?} is not known")))?);
                    }
                    Ok(None)
                }
            }
        };
        read().transpose()
    }))
}

fn cell_of(value: Value, kind: Kind) -> Option<Cell> {
    Some(match (value, kind) {
        (Value::Null, _) => Cell::Null,
        (Value::String(text), Kind::Text) => Cell::Text(text),
        (Value::Number(number), Kind::Int) => Cell::Int(number.as_i64()?),
        (Value::Bool(truth), Kind::Bool) => Cell::Bool(truth),
        (Value::Array(bytes), Kind::Bytes) => Cell::Bytes(STANDARD.decode(bytes.first()?.as_str()?).ok()?),
        _ => return None,
    })
}

/// Writes the rows, many at once.
async fn fill(store: &Store, path: &Path, total: u64, output: &Output) -> Result<(), CliError> {
    const AT_ONCE: usize = 1_000;
    let (mut done, mut bar) = (0_u64, Bar::new(output));
    let mut held: Vec<Values> = Vec::new();
    let mut of: Option<&'static Table> = None;
    let mut above: HashMap<String, String> = HashMap::new();
    for row in rows(path)? {
        let (table, row) = row?;
        if let Some(before) = of
            && (before.name != table.name || held.len() >= AT_ONCE)
        {
            store.put(before, std::mem::take(&mut held)).await?;
            if before.name == "groups" && table.name != "groups" {
                store.put_below(std::mem::take(&mut above).into_iter().collect()).await?;
            }
        }
        if table.name == "groups"
            && let (Some(Cell::Text(id)), Some(Cell::Text(parent))) = (row.first(), row.get(2))
        {
            above.insert(id.clone(), parent.clone());
        }
        of = Some(table);
        held.push(row);
        done += 1;
        #[expect(clippy::cast_precision_loss, reason = "a bar is not that long")]
        bar.at(done as f64 / total.max(1) as f64, &format!("{done} of {total} rows, table {}", table.name));
    }
    if let Some(table) = of {
        store.put(table, held).await?;
    }
    if !above.is_empty() {
        store.put_below(above.into_iter().collect()).await?;
    }
    Ok(())
}

/// Realms by key that were whole when the backup was made.
fn finished_realms(path: &Path) -> Result<Vec<String>, CliError> {
    let mut realms = Vec::new();
    for row in rows(path)? {
        let (table, row) = row?;
        if table.name != "realms" {
            break;
        }
        if let (Some(Cell::Text(id)), Some(Cell::Int(0))) = (row.first(), row.last()) {
            realms.push(id.clone());
        }
    }
    Ok(realms)
}
