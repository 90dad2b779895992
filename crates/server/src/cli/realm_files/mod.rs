//! Realm files in the layouts of Keycloak: one file for a realm, users beside it in one file or in many, realms in a
//! list. Users pass through one at a time, however many there are.

mod read;
mod text;
mod write;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use grantor_flows::Engine;
use grantor_flows::admin::import::{AT_ONCE, Begun, IfExists, Report};
use grantor_model::Instant;
use grantor_model::realm::UserDocument;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use self::read::{FileError, Source};
pub(crate) use self::write::{Users, write};
use super::output::CliError;

/// The files of one realm.
pub(crate) struct RealmFiles {
    /// The realm's name.
    pub(crate) name: String,
    sources: Vec<Source>,
    users: usize,
    accounts: HashSet<String>,
    /// Bytes of the files that hold users.
    bytes: u64,
}

/// How far an import is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Whether the files are only checked.
    pub(crate) checking: bool,
    /// Users so far.
    pub(crate) users: usize,
    /// Users in all.
    pub(crate) of: usize,
    /// The part of the work that is done, 0 to 1.
    pub(crate) done: f64,
}

impl From<FileError> for CliError {
    fn from(error: FileError) -> Self {
        Self::new(error.to_string()).with_hint("realm files are what `kc.sh export` or `grantor realm export` writes")
    }
}

/// Looks into files, or folders with files, and tells which realms are there. Nothing is held but names.
///
/// # Errors
/// When one is no realm file.
pub(crate) fn found(paths: &[PathBuf]) -> Result<Vec<RealmFiles>, CliError> {
    let mut realms: BTreeMap<String, RealmFiles> = BTreeMap::new();
    for path in expanded(paths)? {
        let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        for (position, glance) in read::glance(&path, &lookup())?.into_iter().enumerate() {
            let Some(name) = glance.name else {
                let text = format!("{}: a realm file has a member \"realm\" with its name", path.display());
                return Err(CliError::new(text));
            };
            let realm = realms.entry(name.clone()).or_insert_with(|| RealmFiles {
                name,
                sources: Vec::new(),
                users: 0,
                accounts: HashSet::new(),
                bytes: 0,
            });
            realm.sources.push(Source { path: path.clone(), position });
            realm.users += glance.users;
            realm.accounts.extend(glance.accounts);
            realm.bytes += bytes;
        }
    }
    if realms.is_empty() {
        return Err(CliError::new("there is no realm in what was named").with_hint("realm files are not empty lists"));
    }
    for realm in realms.values() {
        // Users alone would become a realm without its clients, roles and keys.
        let users = format!("{}-users-", realm.name);
        let is_users = |source: &Source| {
            source.path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&users))
        };
        if realm.sources.iter().all(is_users) {
            let text =
                format!("realm {}: there are files of users, and {}-realm.json is missing", realm.name, realm.name);
            return Err(CliError::new(text).with_hint("name the folder of the export, or all of its files"));
        }
    }
    Ok(realms.into_values().collect())
}

impl RealmFiles {
    /// Imports the realm. One that is too large for one step is checked whole before anything is written.
    ///
    /// # Errors
    /// When a file or the realm in it cannot be read, or what it says cannot be.
    pub(crate) async fn import(
        &self,
        engine: &Engine,
        if_exists: IfExists,
        dry_run: bool,
        now: Instant,
        mut progress: impl FnMut(Progress),
    ) -> Result<Report, CliError> {
        if dry_run || self.users >= AT_ONCE {
            let report = self.pass(engine, if_exists, true, now, &mut progress).await?;
            if dry_run || report.skipped {
                return Ok(report);
            }
        }
        self.pass(engine, if_exists, false, now, &mut progress).await
    }

    async fn pass(
        &self,
        engine: &Engine,
        if_exists: IfExists,
        checking: bool,
        now: Instant,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Report, CliError> {
        let begun = engine.begin_import(self.settings()?, &self.accounts, if_exists, checking, now);
        let mut importing = match begun.await.map_err(|error| self.refused(error))? {
            Begun::Skipped(report) => return Ok(report),
            Begun::Importing(importing) => importing,
        };
        let read_bytes = Arc::new(AtomicU64::new(0));
        let (sender, mut users) = mpsc::channel(AHEAD);
        let (sources, counted) = (self.sources.clone(), read_bytes.clone());
        let reading = tokio::task::spawn_blocking(move || hand_on(&sources, &counted, &sender));
        while let Some(user) = users.recv().await {
            importing.user(user).await.map_err(|error| self.refused(error))?;
            let users = importing.users();
            if users.is_multiple_of(AHEAD) {
                #[expect(clippy::cast_precision_loss, reason = "a bar is not that long")]
                let done = read_bytes.load(Ordering::Relaxed) as f64 / self.bytes.max(1) as f64;
                progress(Progress { checking, users, of: self.users, done });
            }
        }
        match reading.await {
            Ok(outcome) => outcome?,
            Err(error) => return Err(CliError::new(format!("the files are not read any more: {error}"))),
        }
        importing.finish().await.map_err(|error| self.refused(error))
    }

    fn refused(&self, error: grantor_flows::admin::AdminError) -> CliError {
        CliError::from(error).within(&format!("realm {}", self.name))
    }

    /// Everything but the users, of all files. Lists of federated users go on from file to file.
    fn settings(&self) -> Result<Map<String, Value>, CliError> {
        let mut realm = Map::new();
        for source in &self.sources {
            for (name, value) in read::settings(source, &lookup())? {
                match (realm.get_mut(&name), value) {
                    (Some(Value::Array(there)), Value::Array(more)) if name == "federatedUsers" => there.extend(more),
                    (Some(there), value) if *there == value => {}
                    (Some(_), _) => {
                        let here = source.path.display();
                        return Err(CliError::new(format!(
                            "{here}: another file of the same realm has other {name:?}"
                        ))
                        .with_hint("import one export at a time"));
                    }
                    (None, value) => drop(realm.insert(name, value)),
                }
            }
        }
        Ok(realm)
    }
}

/// Users that are read ahead of what is done with them.
const AHEAD: usize = 100;

fn hand_on(
    sources: &[Source],
    read_bytes: &Arc<AtomicU64>,
    sender: &mpsc::Sender<UserDocument>,
) -> Result<(), FileError> {
    for source in sources {
        read::users(source, &lookup(), read_bytes, |user| sender.blocking_send(user).is_ok())?;
    }
    Ok(())
}

fn lookup() -> Arc<text::Lookup> {
    Arc::new(text::environment)
}

fn expanded(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let inside = json_files(path)?;
            if inside.is_empty() {
                return Err(CliError::new(format!("{} has no *.json file", path.display())));
            }
            files.extend(inside);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn json_files(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |error: std::io::Error| CliError::new(format!("{} cannot be read: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
