//! `grantor external-system`: what a registry's console did for the systems that it lets in.

use std::time::Duration;

use clap::{Args, Subcommand};
use grantor_flows::admin::apis::of_realm;
use grantor_flows::admin::external_systems::{CLAIMS, INVOKER};

use super::local::{Local, Where};
use super::output::{CliError, Output};

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The name of the system, which is its client_id: up to 32 small letters, digits and dashes
    name: String,
    /// The realm
    #[arg(long, value_name = "NAME")]
    realm: String,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExternalSystemCommand {
    /// Let a system in: it gets a secret, the role, and the claims of the registry
    #[command(after_help = "Examples:
  grantor external-system grant test-ext --realm consent-02-external-system --api registry
  grantor external-system grant bank --realm consent-02-external-system --claim edrpou=12345678 --claim fullName='Bank'")]
    Grant {
        #[command(flatten)]
        named: Named,
        /// The realm role that its tokens carry; made where there is none
        #[arg(long, value_name = "NAME", default_value = INVOKER)]
        role: String,
        /// Claim of its tokens, besides edrpou=0, drfo=0 and fullName; may be given several times
        #[arg(long, value_name = "NAME=VALUE")]
        claim: Vec<String>,
        /// API that it may call; may be given several times
        #[arg(long, value_name = "NAME")]
        api: Vec<String>,
    },
    /// Keep a system out: no new token, and its tokens are refused at every gateway
    Block(Named),
    /// Let a blocked system in again
    Unblock(Named),
    /// Take a system's access away for ever
    Cancel(Named),
    /// Give a system a new secret: the old one and the tokens that it brought end
    Rotate(Named),
    /// List the systems of a realm
    List {
        /// The realm
        #[arg(long, value_name = "NAME")]
        realm: String,
        #[command(flatten)]
        place: Where,
    },
}

pub(crate) async fn run(command: ExternalSystemCommand, output: &Output) -> Result<(), CliError> {
    match command {
        ExternalSystemCommand::Grant { named, role, claim, api } => grant(&named, &role, &claim, &api, output).await,
        ExternalSystemCommand::Block(named) => switch(&named, false, output).await,
        ExternalSystemCommand::Unblock(named) => switch(&named, true, output).await,
        ExternalSystemCommand::Cancel(named) => {
            let local = named.place.open().await?;
            let realm = local.realm(&named.realm).await?;
            local.engine.remove_client(&realm, &named.name, local.now).await?;
            local.settle().await;
            output.fields(&[("system", named.name.as_str()), ("access", "cancelled")])
        }
        ExternalSystemCommand::Rotate(named) => {
            let local = named.place.open().await?;
            let realm = local.realm(&named.realm).await?;
            let secret = local.engine.rotate_client_secret(&realm, &named.name, None, local.now).await?;
            local.settle().await;
            past_the_second(&local).await;
            output.fields(&[("system", named.name.as_str()), ("secret", &secret)])
        }
        ExternalSystemCommand::List { realm, place } => {
            let local = place.open().await?;
            let realm = local.realm(&realm).await?;
            let mut rows: Vec<Vec<String>> = realm
                .clients
                .values()
                .filter(|client| client.document.service_accounts_enabled)
                .map(|client| {
                    let state = if client.document.enabled { "active" } else { "blocked" };
                    vec![client.client_id().to_owned(), state.to_owned()]
                })
                .collect();
            rows.sort();
            output.rows(&["system", "state"], &rows)
        }
    }
}

/// Tokens of the second in which a secret was replaced are dead: when the command returns, that second is over.
pub(super) async fn past_the_second(local: &Local) {
    let over = (local.now.seconds() + 1) * 1000;
    let left = over.saturating_sub(crate::start::now().millis());
    tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or_default())).await;
}

async fn grant(named: &Named, role: &str, claims: &[String], apis: &[String], output: &Output) -> Result<(), CliError> {
    let local = named.place.open().await?;
    let realm = local.realm(&named.realm).await?;
    let mut all = CLAIMS.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    for claim in claims {
        let (name, value) =
            claim.split_once('=').ok_or_else(|| CliError::new(format!("{claim:?} is not NAME=VALUE")))?;
        std::collections::BTreeMap::insert(&mut all, name.to_owned(), value.to_owned());
    }
    // The client scope of an API's name puts its audience into tokens.
    for api in apis {
        let (row, _) = local.engine.stored_api(api).await?;
        of_realm(&row, &realm)?;
    }
    let secret = local.engine.grant_external_system(&realm, &named.name, role, &all, apis, local.now).await?;
    local.settle().await;
    output.fields(&[("system", named.name.as_str()), ("secret", &secret), ("role", role), ("APIs", &apis.join(" "))])
}

async fn switch(named: &Named, on: bool, output: &Output) -> Result<(), CliError> {
    let local = named.place.open().await?;
    let realm = local.realm(&named.realm).await?;
    local.engine.enable_client(&realm, &named.name, on, local.now).await?;
    local.settle().await;
    output.fields(&[("system", named.name.as_str()), ("access", if on { "active" } else { "blocked" })])
}
