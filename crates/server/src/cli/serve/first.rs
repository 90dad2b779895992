//! What a start makes: realms that are to be imported, and the first administrator: from the environment, or by a
//! link. Never a default password.

use std::path::Path;

use grantor_flows::Engine;
use grantor_flows::admin::import::IfExists;
use grantor_model::{Instant, Secret};

use crate::cli::output::CliError;
use crate::cli::realm_files;

/// Names of the variables, ours first, then those that Keycloak reads.
const VARIABLES: [(&str, &str); 3] = [
    ("GRANTOR_BOOTSTRAP_ADMIN_USERNAME", "GRANTOR_BOOTSTRAP_ADMIN_PASSWORD"),
    ("KC_BOOTSTRAP_ADMIN_USERNAME", "KC_BOOTSTRAP_ADMIN_PASSWORD"),
    ("KEYCLOAK_ADMIN", "KEYCLOAK_ADMIN_PASSWORD"),
];

/// Imports the realms of a folder that are not there yet. Where some come in, no realm is made to try things in.
pub(super) async fn realms(engine: &Engine, folder: &Path, now: Instant) -> Result<(), CliError> {
    if !folder.is_dir() {
        return Err(CliError::new(format!("--import-realm: {} is no folder", folder.display())));
    }
    let realms = realm_files::found(&[folder.to_owned()])?;
    engine.make_master(now).await?;
    for realm in realms {
        let report = realm.import(engine, IfExists::Skip, false, now, |_| {}).await?;
        let name = report.realm.as_str();
        if report.skipped {
            tracing::info!(realm = name, "not imported: it is there already");
            continue;
        }
        for text in &report.guards {
            tracing::warn!(realm = name, "guards access and is not acted on: {text}");
        }
        for text in report.differs.iter().chain(&report.notes) {
            tracing::info!(realm = name, "{text}");
        }
        tracing::info!(realm = name, clients = report.clients, users = report.users, "imported");
    }
    Ok(())
}

/// Makes the administrator that the environment names; without one, gives back the secret of a new link.
pub(super) async fn administrator(engine: &Engine, now: Instant) -> Result<Option<String>, CliError> {
    if engine.has_administrator(now).await? {
        return Ok(None);
    }
    match named()? {
        Some((username, password)) => {
            engine.add_administrator(&username, password, now).await?;
            Ok(None)
        }
        None => Ok(Some(engine.administrator_link(now).await?)),
    }
}

/// User name and password from the environment, or from the file that it names.
fn named() -> Result<Option<(String, Secret)>, CliError> {
    let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    for (username, password) in VARIABLES {
        let secret = match text(&format!("{password}_FILE")) {
            Some(file) => {
                let read = std::fs::read_to_string(&file);
                let content =
                    read.map_err(|error| CliError::new(format!("{password}_FILE: {file} cannot be read: {error}")))?;
                Some(content.trim_end_matches(['\r', '\n']).to_owned()).filter(|secret| !secret.is_empty())
            }
            None => text(password),
        };
        match (text(username), secret) {
            (Some(username), Some(secret)) => return Ok(Some((username, Secret::new(secret)))),
            (None, Some(secret)) => return Ok(Some(("admin".to_owned(), Secret::new(secret)))),
            (Some(_), None) => {
                return Err(CliError::new(format!("{username} is set, and {password} is not"))
                    .with_hint(format!("set {password} or {password}_FILE as well: there is no default password")));
            }
            (None, None) => {}
        }
    }
    Ok(None)
}
