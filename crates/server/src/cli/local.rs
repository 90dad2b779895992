//! Commands that work on the local store, whether the server runs or not.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use grantor_flows::{Engine, Realm};
use grantor_model::Instant;
use grantor_model::jose::JwkSet;

use super::jwt::{JwtArgs, JwtCommand};
use super::output::CliError;
use crate::config::{self, Config, Overrides};
use crate::start;

/// Where the store is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Where {
    /// Folder of the embedded database and the master key [default: ./grantor-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<String>,
    /// Database URL, when it is not in the data folder
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// Configuration file [default: ./grantor.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl Where {
    /// The configuration that the store's place comes from.
    pub(crate) fn config(&self) -> Result<Config, CliError> {
        let overrides = Overrides { data: self.data.clone(), database: self.database.clone(), ..Overrides::default() };
        config::load(self.config.as_deref(), config::process_environment(), &overrides)
            .map_err(|error| CliError::new(error.to_string()))
    }

    /// Opens the store. A folder that holds none is not made into one by looking at it.
    pub(crate) async fn open(&self) -> Result<Local, CliError> {
        let config = self.config()?;
        if config.database.url.is_none() && !config.server.data.join("grantor.db").exists() {
            let folder = config.server.data.display();
            return Err(CliError::new(format!("there is no database in {folder}"))
                .with_hint("start the server once with `grantor serve`, or name its folder with --data DIR"));
        }
        self.open_or_make().await
    }

    /// Opens the store, and makes it, with realm `master`, when there is none.
    pub(crate) async fn open_or_make(&self) -> Result<Local, CliError> {
        let local = Local { engine: start::engine(&self.config()?).await?, now: start::now() };
        local.engine.make_master(local.now).await?;
        Ok(local)
    }
}

/// An open store.
pub(crate) struct Local {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
}

impl Local {
    /// A realm that must be there.
    pub(crate) async fn realm(&self, name: &str) -> Result<Arc<Realm>, CliError> {
        Ok(self.engine.required_realm(name, self.now).await?)
    }

    /// After a change: when the command returns, a running server works with it.
    pub(crate) async fn settle(&self) {
        Self::settled().await;
    }

    /// The same where the store is not held as a `Local`.
    pub(crate) async fn settled() {
        tokio::time::sleep(super::serve::LOOK + Duration::from_millis(20)).await;
    }
}

/// The published keys of the local realm that `grantor jwt verify --realm` names.
pub(crate) async fn key_set(args: &JwtArgs) -> Result<Option<JwkSet>, CliError> {
    let (Some(realm), JwtCommand::Verify(verify)) = (args.local_realm(), &args.command) else { return Ok(None) };
    let place = Where { data: verify.data.clone(), config: verify.config.clone(), ..Where::default() };
    let local = place.open().await?;
    let realm = local.engine.with_standard_keys(&local.realm(realm).await?, true, local.now).await?;
    Ok(Some(JwkSet { keys: realm.keys.published(local.now).cloned().collect() }))
}
