//! Opening what was there before: data folder, master key, database, engine. The server and every command start here.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grantor_flows::Engine;
use grantor_flows::admin::AdminError;
use grantor_flows::client_secrets::SecretUses;
use grantor_flows::decisions::Decisions;
use grantor_flows::entropy::Entropy;
use grantor_flows::keys::Ahead;
use grantor_flows::passwords::Passwords;
use grantor_flows::realms::Realms;
use grantor_flows::signatures::Signatures;
use grantor_flows::vault::Vault;
use grantor_model::Instant;
use grantor_store::{Store, StoreError, connect, migrate};

use crate::config::{Config, Switch};
use crate::outbound::Outbound;

/// The moment: the one place that reads the system's clock.
#[expect(clippy::disallowed_methods, reason = "the edge, where the clock is read once for each request")]
pub fn now() -> Instant {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Instant::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Opens the engine.
///
/// # Errors
/// What is wrong and what to do about it.
pub async fn engine(config: &Config) -> Result<Engine, AdminError> {
    let entropy = Entropy::new();
    folder(&config.server.data)?;
    let url = config.database_url();
    let database = connect(url.as_str()).await.map_err(|error| unreachable_database(config, &error))?;
    migrate(database.as_ref(), now().millis()).await.map_err(|error| unreachable_database(config, &error))?;
    let store = Store::new(database);
    let has_realms = !store.realm_versions().await?.is_empty();
    let vault = vault(&config.master_key_file(), has_realms, &entropy)?;
    let outbound = Outbound::new(
        config.outbound.allow_private.clone(),
        std::time::Duration::from_millis(config.outbound.timeout_ms),
    )
    .map_err(AdminError::new)?;
    Ok(Engine {
        store,
        realms: Realms::new(),
        passwords: Passwords::new(
            config.passwords.workers,
            config.passwords.queue,
            config.server.data.join("password-blacklists"),
        ),
        vault: std::sync::Arc::new(vault),
        entropy,
        signatures: Signatures::default(),
        decisions: std::sync::Arc::new(Decisions::default()),
        secret_uses: SecretUses::default(),
        key_sets: std::sync::Arc::default(),
        keys_ahead: Ahead::default(),
        fetch: std::sync::Arc::new(outbound),
        assertions: grantor_flows::assertions::Settings {
            offered: config.assertions.jwt_bearer == Switch::On,
            iat_window: match config.assertions.iat_window_minutes {
                0 => None,
                minutes => Some(i64::from(minutes) * 60),
            },
        },
        wso2: grantor_flows::wso2::Settings {
            default_realm: config.server.default_realm.clone(),
            audiences: config.wso2.audiences.clone(),
        },
    })
}

fn unreachable_database(config: &Config, error: &StoreError) -> AdminError {
    AdminError::new(format!("the database {} cannot be used: {error}", config.database_url()))
        .hint("grantor config show tells which database is configured, and where that was said")
}

fn folder(path: &Path) -> Result<(), AdminError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| {
        AdminError::new(format!("the data folder {} cannot be made: {error}", path.display()))
            .hint("choose another with --data DIR")
    })
}

/// Reads the master key; an empty database gets a new one.
fn vault(path: &Path, has_realms: bool, entropy: &Entropy) -> Result<Vault, AdminError> {
    let here = path.display();
    match std::fs::read_to_string(path) {
        Ok(text) => {
            warn_of_readers(path);
            Vault::from_text(&text)
                .map_err(|error| AdminError::from(error).hint(format!("look at {here}, or put its backup back")))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !has_realms => {
            let text = Vault::new_key_text(entropy)?;
            write_key(path, &text)
                .map_err(|error| AdminError::new(format!("the master key cannot be written to {here}: {error}")))?;
            Ok(Vault::from_text(&text)?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(AdminError::new(format!("the master key {here} is missing, and the database is not empty"))
                .hint("put the key of this database back: without it, no secret in it can be opened"))
        }
        Err(error) => Err(AdminError::new(format!("the master key {here} cannot be read: {error}"))),
    }
}

/// Who can read this file can read every secret in the database.
fn warn_of_readers(path: &Path) {
    #[cfg(unix)]
    if let Ok(about) = std::fs::metadata(path) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            let file = path.display();
            tracing::warn!(%file, mode = format!("{mode:o}"), "others can read the master key; chmod 600 ends that");
        }
    }
}

/// Only the owner may read it. The file appears whole or not at all, and one that appeared meanwhile is not
/// overwritten.
fn write_key(path: &Path, text: &str) -> std::io::Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // Not every file system has hard links; moving the file there is the next best.
    let placed = std::fs::hard_link(&part, path).or_else(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Err(error),
        _ => std::fs::rename(&part, path),
    });
    let _ = std::fs::remove_file(&part);
    placed
}
