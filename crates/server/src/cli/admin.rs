//! `grantor admin`: for an administrator who cannot get in.

use clap::Subcommand;

use super::local::Where;
use super::output::{CliError, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Print a link that makes an administrator, once, within an hour
    #[command(after_help = "Example:
  grantor admin recover

The link replaces those that were printed before. Whoever can run this command has the master key anyway.")]
    Recover {
        #[command(flatten)]
        place: Where,
    },
}

pub(crate) async fn run(command: AdminCommand, output: &Output) -> Result<(), CliError> {
    let AdminCommand::Recover { place } = command;
    let config = place.config()?;
    let local = place.open().await?;
    let link = local.engine.administrator_link(local.now).await?;
    let base = match (&config.server.public_url, config.server.listen.address()) {
        (Some(url), _) => url.as_str().to_owned(),
        (None, Some(address)) if config.tls_files().is_some() => format!("https://{address}"),
        (None, Some(address)) => format!("http://{address}"),
        (None, None) => String::new(),
    };
    if config.server.public_url.is_none() {
        output.note("if the server listens elsewhere, put its address in front of /first-administrator/");
    }
    output.fields(&[("link", format!("{base}/first-administrator/{link}").as_str()), ("works", "once, for an hour")])
}
