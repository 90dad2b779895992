//! `grantor config`: check, show, reference.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::output::{CliError, Output};
use crate::config::{self, Config, Overrides, reference};

#[derive(Debug, Args)]
pub(crate) struct Read {
    /// Configuration file [default: ./grantor.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Tell whether the configuration is fine
    #[command(after_help = "Example:\n  grantor config check --config /etc/grantor.toml")]
    Check(Read),
    /// Show what is in force, and where each value was said
    Show(Read),
    /// Describe every key
    Reference {
        /// As Markdown, for docs/configuration.md
        #[arg(long)]
        markdown: bool,
    },
}

pub(crate) fn run(command: ConfigCommand, output: &Output) -> Result<(), CliError> {
    match command {
        ConfigCommand::Check(read) => {
            let config = load(&read)?;
            config.check_serving().map_err(|error| CliError::new(error.to_string()))?;
            let file = config.file().map_or_else(|| "no file, defaults".to_owned(), |file| file.display().to_string());
            output.fields(&[("configuration", file.as_str()), ("state", "fine")])
        }
        ConfigCommand::Show(read) => {
            let config = load(&read)?;
            super::shown::either(output, &config::show(&config), &config::effective(&config))
        }
        ConfigCommand::Reference { markdown: true } => output.raw(reference::reference_markdown().as_bytes()),
        ConfigCommand::Reference { markdown: false } => output.raw(reference::reference_text().as_bytes()),
    }
}

fn load(read: &Read) -> Result<Config, CliError> {
    config::load(read.config.as_deref(), config::process_environment(), &read.overrides)
        .map_err(|error| CliError::new(error.to_string()))
}
