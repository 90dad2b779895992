//! Realm files that are written: only their owner reads them, and none is there before it is whole.

use std::path::{Path, PathBuf};

use grantor_flows::admin::export::Exporting;
use serde_json::{Map, Value};

use super::super::output::CliError;
use super::super::whole_file::WholeFile;

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
    let mut realm_file = Some(JsonFile::begin(&folder.join(format!("{realm}-realm.json")), &settings)?);
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
                    file.insert(JsonFile::begin(&path, &name)?)
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
        files.push(file.file.put()?);
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

/// A file whose users are added one by one.
struct JsonFile {
    file: WholeFile,
    /// Whether anything stands before the users.
    members: bool,
    users: usize,
}

impl JsonFile {
    fn begin(path: &Path, members: &Map<String, Value>) -> Result<Self, CliError> {
        let mut file = WholeFile::begin(path)?;
        let text = pretty(members)?;
        file.write(text.strip_suffix("\n}").unwrap_or("{").as_bytes())?;
        Ok(Self { file, members: !members.is_empty(), users: 0 })
    }

    fn user(&mut self, user: &Value) -> Result<(), CliError> {
        let before = match (self.users, self.members) {
            (0, true) => ",\n  \"users\": [\n    ",
            (0, false) => "\n  \"users\": [\n    ",
            _ => ",\n    ",
        };
        self.users += 1;
        self.file.write(before.as_bytes())?;
        // JSON has no line break within a text.
        self.file.write(pretty(user)?.replace('\n', "\n    ").as_bytes())
    }

    fn end(&mut self) -> Result<(), CliError> {
        self.file.write(if self.users > 0 { b"\n  ]\n}\n" } else { b"\n}\n" })?;
        self.file.sync()
    }
}

fn pretty(value: &impl serde::Serialize) -> Result<String, CliError> {
    serde_json::to_string_pretty(value).map_err(|error| CliError::new(format!("cannot be written as JSON: {error}")))
}
