//! `grantor urls`, `completions` and `man`: what is made from the program itself.

use std::io::Write as _;

use clap::{Args, Command};
use clap_complete::Shell;

use super::output::{CliError, Output};
use crate::routes;

/// List the public URLs
#[derive(Debug, Args)]
pub(crate) struct UrlsArgs {
    /// As Markdown, for docs/urls.md
    #[arg(long)]
    markdown: bool,
}

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  grantor completions bash > /etc/bash_completion.d/grantor
  grantor completions zsh > ~/.zfunc/_grantor")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn urls(args: &UrlsArgs, output: &Output) -> Result<(), CliError> {
    if args.markdown {
        return output.raw(routes::markdown().as_bytes());
    }
    let rows: Vec<Vec<String>> = routes::table()
        .iter()
        .map(|row| vec![row.method.to_string(), row.path.to_owned(), row.needs.to_owned(), row.about.to_owned()])
        .collect();
    output.rows(&["method", "path", "needs", "what"], &rows)
}

pub(crate) fn completions(args: &CompletionsArgs, command: &mut Command) -> Result<(), CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, command, "grantor", &mut text);
    written(&text)
}

pub(crate) fn man(command: Command) -> Result<(), CliError> {
    let mut text = Vec::new();
    let made = clap_mangen::Man::new(command).render(&mut text);
    made.map_err(|error| CliError::new(error.to_string()))?;
    written(&text)
}

fn written(text: &[u8]) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe does not want the rest.
    let _ = out.write_all(text).and_then(|()| out.flush());
    Ok(())
}
