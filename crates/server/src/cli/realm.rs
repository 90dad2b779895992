//! `grantor realm`: add, list, import.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use grantor_flows::admin::import::{IfExists, Report};
use serde_json::{Map, Value};

use super::local::Where;
use super::output::{CliError, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum RealmCommand {
    /// Add a realm with Keycloak's built-in scopes, clients and roles
    #[command(after_help = "Example:\n  grantor realm add acme")]
    Add {
        /// The realm's name, as it stands in URLs
        name: String,
        #[command(flatten)]
        place: Where,
    },
    /// List the realms
    #[command(after_help = "Example:\n  grantor realm list --json")]
    List {
        #[command(flatten)]
        place: Where,
    },
    /// Import realm files that Keycloak exported
    #[command(after_help = "Examples:
  grantor realm import acme-realm.json
  grantor realm import export/acme-realm.json export/acme-users-*.json
  grantor realm import *.json --if-exists overwrite

Files of one realm (acme-realm.json, acme-users-0.json, …) are read together. Password hashes, client secrets and
signing keys come along: nobody needs a new password, and access tokens given out before verify until they expire. Sessions
do not come along: refresh tokens of before are refused.")]
    Import {
        /// Files, or folders with files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// What to do with a realm that is there already
        #[arg(long, value_enum, default_value_t = Policy::Fail)]
        if_exists: Policy,
        #[command(flatten)]
        place: Where,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Policy {
    /// Refuse the file
    Fail,
    /// Leave the realm as it is
    Skip,
    /// Replace the realm and all that is in it
    Overwrite,
}

impl From<Policy> for IfExists {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Fail => Self::Fail,
            Policy::Skip => Self::Skip,
            Policy::Overwrite => Self::Overwrite,
        }
    }
}

pub(crate) async fn run(command: RealmCommand, output: &Output) -> Result<(), CliError> {
    match command {
        RealmCommand::Add { name, place } => {
            let local = place.open_or_make().await?;
            let report = local.engine.add_realm(&name, local.now).await?;
            local.settle().await;
            output.show(&report, || format!("added realm {name}"))
        }
        RealmCommand::List { place } => {
            let local = place.open().await?;
            let mut rows = Vec::new();
            for (name, _) in local.engine.store.realm_versions().await? {
                let realm = local.realm(&name).await?;
                let state = if realm.settings.enabled { "on" } else { "off" };
                rows.push(vec![name, state.to_owned(), realm.clients.len().to_string()]);
            }
            output.rows(&["realm", "state", "clients"], &rows)
        }
        RealmCommand::Import { files, if_exists, place } => import(&files, if_exists.into(), &place, output).await,
    }
}

async fn import(files: &[PathBuf], if_exists: IfExists, place: &Where, output: &Output) -> Result<(), CliError> {
    let realms = read(files)?;
    let local = place.open_or_make().await?;
    let (mut reports, count) = (Vec::new(), realms.len());
    for (position, (name, file)) in realms.into_iter().enumerate() {
        output.progress(&format!("[{}/{count}] {name}", position + 1));
        let report = local.engine.import_realm(file, if_exists, local.now).await;
        let report = report.map_err(|error| CliError::from(error).within(&format!("realm {name}")))?;
        if !output.is_json() {
            output.line(told(&report))?;
        }
        reports.push(report);
    }
    local.settle().await;
    if output.is_json() { output.json(&reports) } else { Ok(()) }
}

fn told(report: &Report) -> String {
    if report.skipped {
        return format!("{}: there already, left as it is", report.realm);
    }
    let mut text = format!(
        "{}: {} clients, {} client scopes, {} roles, {} groups, {} users, {} keys",
        report.realm, report.clients, report.client_scopes, report.roles, report.groups, report.users, report.keys
    );
    if report.identity_providers > 0 {
        text.push_str(&format!(", {} identity providers", report.identity_providers));
    }
    if !report.kept.is_empty() {
        text.push_str(&format!("\n  kept, not used yet: {}", report.kept.join(", ")));
    }
    for note in &report.notes {
        text.push_str(&format!("\n  note: {note}"));
    }
    text
}

/// The files by realm: users of `-users-N.json` files join the realm that they name.
fn read(files: &[PathBuf]) -> Result<BTreeMap<String, Map<String, Value>>, CliError> {
    let mut realms: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for file in expanded(files)? {
        let here = file.display().to_string();
        let text =
            std::fs::read_to_string(&file).map_err(|error| CliError::new(format!("{here} cannot be read: {error}")))?;
        let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
            CliError::new(format!("{here}: not JSON: {error}")).with_hint("realm files are what `kc.sh export` writes")
        })?;
        let documents = match value {
            Value::Array(many) => many,
            one => vec![one],
        };
        for document in documents {
            let Value::Object(document) = document else {
                return Err(CliError::new(format!("{here}: not a realm, but {}", kind(&document))));
            };
            let Some(name) = document.get("realm").and_then(Value::as_str).map(str::to_owned) else {
                return Err(CliError::new(format!("{here}: a realm file has a member \"realm\" with its name")));
            };
            join(realms.entry(name).or_default(), document, &here)?;
        }
    }
    Ok(realms)
}

fn join(realm: &mut Map<String, Value>, document: Map<String, Value>, here: &str) -> Result<(), CliError> {
    for (name, value) in document {
        match (realm.get_mut(&name), value) {
            (Some(Value::Array(there)), Value::Array(more)) if name == "users" => there.extend(more),
            (Some(there), value) if *there == value => {}
            (Some(_), _) => {
                return Err(CliError::new(format!("{here}: another file of the same realm has other {name:?}")));
            }
            (None, value) => drop(realm.insert(name, value)),
        }
    }
    Ok(())
}

fn expanded(files: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    for file in files {
        if file.is_dir() {
            found.extend(json_files(file)?);
        } else {
            found.push(file.clone());
        }
    }
    Ok(found)
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

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::join;
    use serde_json::{Map, Value, json};

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn users_of_several_files_come_together() {
        let mut realm = object(json!({"realm": "a", "users": [1]}));
        assert!(join(&mut realm, object(json!({"realm": "a", "users": [2]})), "f").is_ok());
        assert_eq!(realm["users"], json!([1, 2]));
        assert!(join(&mut realm, object(json!({"realm": "a", "enabled": true})), "f").is_ok());
        assert!(join(&mut realm, object(json!({"enabled": false})), "f").is_err());
    }
}
