//! `grantor jwt`: what a token says, and whether it holds.
//!
//! Reads tokens and key sets from where a person has them. What is checked, and in which order, is in `checks`; how a
//! token is shown is in `decode`.

mod checks;
mod decode;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use grantor_model::Instant;
use grantor_model::jose::{JwkSet, MAX_TOKEN_BYTES};

use super::output::{CliError, Output};
use crate::outbound::Outbound;
use checks::{Check, Expected, Outcome};

/// How long fetching keys may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Look into a token (JWT), or verify it check by check
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct JwtArgs {
    /// What to do with the token.
    #[command(subcommand)]
    pub(crate) command: JwtCommand,
}

impl JwtArgs {
    /// The realm of this machine whose keys [`run`] needs as `local`, if it needs any.
    pub(crate) fn local_realm(&self) -> Option<&str> {
        match &self.command {
            JwtCommand::Decode(_) => None,
            JwtCommand::Verify(args) => args.keys.realm.as_deref(),
        }
    }
}

/// What can be done with a token.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum JwtCommand {
    /// Show what a token says, without verifying anything
    Decode(DecodeArgs),
    /// Verify a token, and say check by check what holds and what does not
    Verify(Box<VerifyArgs>),
}

const DECODE_EXAMPLES: &str = "\
Examples:
  grantor jwt decode eyJhbGciOi…
  grantor token --issuer https://id.example.org/realms/demo --client-id app | grantor jwt decode
  grantor jwt decode --json - < token.txt";

/// Show what a token says, without verifying anything
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = DECODE_EXAMPLES)]
pub(crate) struct DecodeArgs {
    /// The token; without it, or with -, standard input is read
    #[arg(value_name = "TOKEN")]
    token: Option<String>,
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  grantor jwt verify --issuer https://id.example.org/realms/demo --audience app eyJhbGciOi…
  grantor jwt verify --realm demo - < token.txt
  grantor jwt verify --jwks keys.json --expect-issuer https://id.example.org --leeway 5 eyJhbGciOi…

The command succeeds (exit code 0) only if every check holds. What is not asked for is not compared: without
--audience, a token for somebody else holds.";

/// Verify a token, and say check by check what holds and what does not
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// The token; without it, or with -, standard input is read
    #[arg(value_name = "TOKEN")]
    token: Option<String>,
    /// Whose keys are right.
    #[command(flatten)]
    keys: KeySource,
    /// Data folder of the local realm
    #[arg(long, value_name = "DIR", conflicts_with_all = ["issuer", "jwks", "jwks_url"])]
    pub(crate) data: Option<String>,
    /// Configuration file that says where the local realm is kept
    #[arg(long, value_name = "FILE", conflicts_with_all = ["issuer", "jwks", "jwks_url"])]
    pub(crate) config: Option<PathBuf>,
    /// Audience that the token must be for
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// Issuer that the token must be from; with --issuer, that one unless this says another
    #[arg(long, value_name = "URL")]
    expect_issuer: Option<String>,
    /// Seconds by which the clocks of issuer and receiver may differ
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    leeway: u32,
}

/// Whose keys a token is verified with: exactly one of these.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct KeySource {
    /// Fetch the keys (JWKS) from a URL
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// Read the keys (JWKS) from a file
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// Find the keys of an issuer by discovery; the token must be from that issuer
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Use the keys of a realm of this machine
    #[arg(long, value_name = "NAME")]
    realm: Option<String>,
}

/// Runs the command. `local` are the keys of [`JwtArgs::local_realm`], if that names one.
///
/// # Errors
/// When the token or the keys cannot be read, and when a check of `verify` fails.
pub(crate) async fn run(args: JwtArgs, local: Option<JwkSet>, now: Instant, output: &Output) -> Result<(), CliError> {
    match args.command {
        JwtCommand::Decode(args) => {
            let token = token_text(args.token.as_deref())?;
            decode::show(&token, now, output)
        }
        JwtCommand::Verify(args) => verify(&args, local, now, output).await,
    }
}

async fn verify(args: &VerifyArgs, local: Option<JwkSet>, now: Instant, output: &Output) -> Result<(), CliError> {
    let token = token_text(args.token.as_deref())?;
    let keys = key_set(&args.keys, local).await?;
    let expected = Expected {
        issuer: args.expect_issuer.as_deref().or(args.keys.issuer.as_deref()),
        audience: args.audience.as_deref(),
        leeway: i64::from(args.leeway),
    };
    let checks = checks::checks(&token, &keys, &expected, now);
    output.show(&checks, || listed(&checks, output.is_terminal()))?;
    let failed: Vec<&str> =
        checks.iter().filter(|check| check.outcome == Outcome::Failed).map(|check| check.check).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("the token does not hold: {}", failed.join(", ")).into()) }
}

/// The checks, one a line: signs for people, words for what reads the output of a pipe.
fn listed(checks: &[Check], terminal: bool) -> String {
    let sign = |outcome: Outcome| match (outcome, terminal) {
        (Outcome::Passed, true) => "✓",
        (Outcome::Passed, false) => "ok",
        (Outcome::Failed, true) => "✗",
        (Outcome::Failed, false) => "FAILED",
        (Outcome::Skipped, true) => "–",
        (Outcome::Skipped, false) => "skipped",
    };
    let width = if terminal { 1 } else { "skipped".len() };
    let line = |check: &Check| format!("{:width$}  {:9}  {}", sign(check.outcome), check.check, check.detail());
    checks.iter().map(line).collect::<Vec<_>>().join("\n")
}

async fn key_set(source: &KeySource, local: Option<JwkSet>) -> Result<JwkSet, CliError> {
    let (place, bytes) = match source {
        KeySource { realm: Some(realm), .. } => {
            return local.ok_or_else(|| format!("the keys of the realm {realm} cannot be read").into());
        }
        KeySource { jwks: Some(file), .. } => (file.display().to_string(), key_file(file)?),
        KeySource { jwks_url: Some(url), .. } => (url.clone(), Outbound::unrestricted(PATIENCE)?.get(url).await?),
        KeySource { issuer: Some(issuer), .. } => {
            let outbound = Outbound::unrestricted(PATIENCE)?;
            let url = outbound.discover(issuer).await?.endpoint("jwks_uri")?.to_owned();
            let bytes = outbound.get(&url).await?;
            (url, bytes)
        }
        KeySource { realm: None, jwks: None, jwks_url: None, issuer: None } => {
            return Err("nothing says whose keys are right: --issuer, --jwks-url, --jwks or --realm".into());
        }
    };
    JwkSet::parse(&bytes).map_err(|error| format!("{place}: {error}").into())
}

fn key_file(file: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(file).map_err(|error| format!("{} cannot be read: {error}", file.display()).into())
}

/// The token from the command line or standard input.
fn token_text(argument: Option<&str>) -> Result<String, CliError> {
    let text = match argument {
        Some(text) if text != "-" => text.to_owned(),
        None if io::stdin().is_terminal() => {
            return Err(CliError::new("no token is given")
                .with_hint("give it as an argument, or on standard input: grantor jwt decode < token.txt")
                .with_code(CliError::USAGE));
        }
        _ => from_input(io::stdin().lock())?,
    };
    let token = trimmed(&text);
    if token.is_empty() { Err("the token is empty".into()) } else { Ok(token.to_owned()) }
}

/// Reads a little more than the longest token: whatever is longer is refused as too large, without being read to its
/// end.
fn from_input(input: impl io::Read) -> Result<String, CliError> {
    let longest = u64::try_from(MAX_TOKEN_BYTES).unwrap_or(u64::MAX).saturating_add(1024);
    let mut bytes = Vec::new();
    let read = input.take(longest).read_to_end(&mut bytes);
    read.map_err(|error| format!("the token cannot be read from standard input: {error}"))?;
    String::from_utf8(bytes).map_err(|_| "what stands on standard input is not a token".into())
}

/// The token without what comes along when it is copied out of a header: space around it, and the scheme.
fn trimmed(text: &str) -> &str {
    let text = text.trim();
    match text.split_once(char::is_whitespace) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim_start(),
        _ => text,
    }
}
