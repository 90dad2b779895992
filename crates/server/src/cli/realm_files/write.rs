//! Realm files that are written: only their owner reads them, and none is there before it is whole.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use grantor_flows::admin::export::Exporting;
use serde_json::{Map, Value};

use super::super::output::CliError;

/// Where users are written, as Keycloak's `--users` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Users {
    /// In the realm's file.
    RealmFile,
    /// In one file beside it.
    SameFile,
    /// In files beside it, each with so many.
    DifferentFiles(usize),
    /// Nowhere.
    Skip,
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// The files, the realm's first.
    pub(crate) files: Vec<PathBuf>,
    /// Users in them.
    pub(crate) users: usize,
}

/// Writes a realm into a folder, which is made when it is not there. `progress` hears of users.
///
/// # Errors
/// When files of the realm are there already, or something cannot be read or written.
pub(crate) async fn write(
    export: &Exporting<'_>,
    realm: &str,
    folder: &Path,
    layout: Users,
    mut progress: impl FnMut(usize),
) -> Result<Written, CliError> {
    std::fs::create_dir_all(folder)
        .map_err(|error| CliError::new(format!("{} cannot be made: {error}", folder.display())))?;
    refuse_others(folder, realm)?;
    let mut settings = export.realm().await?;
    if layout == Users::Skip {
        settings.shift_remove("federatedUsers");
    }
    let mut done = Vec::new();
    let mut users = 0;
    let mut realm_file = Some(JsonFile::begin(folder.join(format!("{realm}-realm.json")), &settings)?);
    if layout != Users::RealmFile {
        done.extend(realm_file.take());
    }
    let per_file = match layout {
        Users::DifferentFiles(count) => count.max(1),
        _ => usize::MAX,
    };
    let name: Map<String, Value> = Map::from_iter([("realm".to_owned(), Value::from(realm))]);
    let mut after = (layout != Users::Skip).then(String::new);
    let (mut file, mut number) = (realm_file, 0);
    while let Some(key) = after {
        let page = export.users(&key).await?;
        for user in page.users {
            let into = match &mut file {
                Some(into) if into.users < per_file => into,
                _ => {
                    done.extend(file.take());
                    let path = folder.join(format!("{realm}-users-{number}.json"));
                    number += 1;
                    file.insert(JsonFile::begin(path, &name)?)
                }
            };
            into.user(&user)?;
            users += 1;
        }
        progress(users);
        after = page.last;
    }
    done.extend(file);
    // All are whole before the first is there.
    let mut files = Vec::with_capacity(done.len());
    for file in &mut done {
        file.end()?;
    }
    for file in done {
        files.push(file.put()?);
    }
    Ok(Written { files, users })
}

/// Files of an earlier export would be read together with these.
fn refuse_others(folder: &Path, realm: &str) -> Result<(), CliError> {
    let here = |error: std::io::Error| CliError::new(format!("{} cannot be read: {error}", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(here)? {
        let name = entry.map_err(here)?.file_name();
        let name = name.to_string_lossy();
        let of_realm = name
            .strip_prefix(realm)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|rest| rest == "realm.json" || (rest.starts_with("users-") && rest.ends_with(".json")));
        if of_realm {
            return Err(CliError::new(format!("{} has {name} already", folder.display()))
                .with_hint("remove what an earlier export left, or name another folder with --dir"));
        }
    }
    Ok(())
}

/// A file under way, at another name until it is whole.
struct JsonFile {
    path: PathBuf,
    part: PathBuf,
    out: BufWriter<File>,
    /// Whether anything stands before the users.
    members: bool,
    users: usize,
    put: bool,
}

impl JsonFile {
    fn begin(path: PathBuf, members: &Map<String, Value>) -> Result<Self, CliError> {
        let part = path.with_extension(format!("json.{}.part", std::process::id()));
        // New: what is there already may be somebody else's, or lead elsewhere.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let file = file.map_err(|error| CliError::new(format!("{} cannot be written: {error}", part.display())))?;
        let mut begun =
            Self { path, part, out: BufWriter::new(file), members: !members.is_empty(), users: 0, put: false };
        let text = pretty(members)?;
        begun.text(text.strip_suffix("\n}").unwrap_or("{"))?;
        Ok(begun)
    }

    fn text(&mut self, text: &str) -> Result<(), CliError> {
        self.out.write_all(text.as_bytes()).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> CliError {
        CliError::new(format!("{} cannot be written: {error}", self.path.display()))
    }

    fn user(&mut self, user: &Value) -> Result<(), CliError> {
        let before = match (self.users, self.members) {
            (0, true) => ",\n  \"users\": [\n    ",
            (0, false) => "\n  \"users\": [\n    ",
            _ => ",\n    ",
        };
        self.users += 1;
        self.text(before)?;
        // JSON has no line break within a text.
        let text = pretty(user)?.replace('\n', "\n    ");
        self.text(&text)
    }

    fn end(&mut self) -> Result<(), CliError> {
        self.text(if self.users > 0 { "\n  ]\n}\n" } else { "\n}\n" })?;
        self.out.flush().and_then(|()| self.out.get_ref().sync_all()).map_err(|error| self.failed(&error))
    }

    fn put(mut self) -> Result<PathBuf, CliError> {
        std::fs::rename(&self.part, &self.path).map_err(|error| self.failed(&error))?;
        self.put = true;
        Ok(std::mem::take(&mut self.path))
    }
}

impl Drop for JsonFile {
    fn drop(&mut self) {
        if !self.put {
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

fn pretty(value: &impl serde::Serialize) -> Result<String, CliError> {
    serde_json::to_string_pretty(value).map_err(|error| CliError::new(format!("cannot be written as JSON: {error}")))
}
