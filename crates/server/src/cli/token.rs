//! `grantor token`: a token from any OpenID issuer, by each grant that needs no browser.
//!
//! Secrets come from a file, the environment or a prompt; no flag takes one, since other users of the machine see
//! command lines and shells remember them. What is printed fits into `$(…)`: the access token alone, unless a person
//! looks on.

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use grantor_model::Secret;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::Value;

use super::output::{CliError, Output, duration, pairs, printable};
use crate::outbound::{Answer, Outbound};

/// How long each of the requests may take.
const PATIENCE: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  grantor token --issuer https://id.example.org/realms/demo --client-id app
      asks for the secret of the client and prints what came back
  curl -H \"Authorization: Bearer $(grantor token --issuer https://id.example.org/realms/demo --client-id app)\" …
      prints the access token alone, because no terminal shows it
  grantor token --token-url https://id.example.org/token --client-id app --client-secret-file secret.txt --json
  grantor token --issuer https://id.example.org/realms/demo --client-id cli --client-auth none --username alice

Environment:
  GRANTOR_CLIENT_SECRET   secret of the client
  GRANTOR_PASSWORD        password of the user
  GRANTOR_REFRESH_TOKEN   refresh token";

/// Get a token from an OpenID issuer
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TokenArgs {
    /// Issuer, whose token endpoint is found by discovery
    #[arg(long, value_name = "URL", required_unless_present = "token_url", conflicts_with = "token_url")]
    issuer: Option<String>,
    /// Token endpoint, when there is no discovery
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// Grant; without it password with --username, refresh_token when there is one, else client_credentials
    #[arg(long, value_enum, value_name = "GRANT")]
    grant: Option<Grant>,
    /// Client that asks
    #[arg(long, value_name = "ID")]
    client_id: String,
    /// File with the secret of the client (or GRANTOR_CLIENT_SECRET, or a prompt)
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// How the client shows its secret
    #[arg(long, value_enum, value_name = "METHOD", default_value_t = ClientAuth::Basic)]
    client_auth: ClientAuth,
    /// User of the password grant
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// File with the password of the user (or GRANTOR_PASSWORD, or a prompt)
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// File with the refresh token (or GRANTOR_REFRESH_TOKEN)
    #[arg(long, value_name = "FILE")]
    refresh_token_file: Option<PathBuf>,
    /// Scopes to ask for, separated by spaces
    #[arg(long, value_name = "SCOPES")]
    scope: Option<String>,
    /// Print the access token alone, on a terminal too
    #[arg(long)]
    access_token: bool,
}

/// The grants that need no browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Grant {
    /// For the client itself (RFC 6749 section 4.4)
    ClientCredentials,
    /// For a user whose password is known (RFC 6749 section 4.3)
    Password,
    /// By a refresh token (RFC 6749 section 6)
    RefreshToken,
}

/// How a client shows who it is (OpenID Connect Core section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientAuth {
    /// Secret in the Authorization header
    Basic,
    /// Secret in the body
    Post,
    /// No secret: a public client
    None,
}

/// Runs the command.
///
/// # Errors
/// When something is missing, the issuer cannot be reached, or it refuses.
pub(crate) async fn run(args: TokenArgs, output: &Output) -> Result<(), CliError> {
    let request = {
        let sources = Sources { variable: &|name| std::env::var(name).ok(), prompt: &prompt };
        Request::of(&args, &sources)?
    };
    exchange(&args, request, output).await
}

async fn exchange(args: &TokenArgs, request: Request, output: &Output) -> Result<(), CliError> {
    let outbound = Outbound::unrestricted(PATIENCE)?;
    let url = match (&args.token_url, &args.issuer) {
        (Some(url), _) => url.clone(),
        (None, Some(issuer)) => outbound.discover(issuer).await?.endpoint("token_endpoint")?.to_owned(),
        // clap asks for one of the two.
        (None, None) => return Err("nothing says where to ask: --issuer or --token-url".into()),
    };
    let answer = outbound.post_form(&url, request.headers, request.form).await?;
    show(&answer, args.access_token, output)
}

/// Asks on the terminal. Nothing when there is none: `$(…)` takes standard output away, so it is standard input that
/// counts.
fn prompt(question: &str) -> Option<io::Result<String>> {
    io::stdin().is_terminal().then(|| rpassword::prompt_password(question))
}

/// Where secrets come from besides files.
struct Sources<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    prompt: &'a dyn Fn(&str) -> Option<io::Result<String>>,
}

/// A secret that is asked for.
struct Wanted<'a> {
    what: String,
    flag: &'static str,
    file: Option<&'a Path>,
    variable: &'static str,
    prompted: bool,
    /// What else can be done when there is none.
    otherwise: Option<&'static str>,
}

impl Sources<'_> {
    /// The value of a variable; an empty one counts as not set.
    fn variable(&self, name: &str) -> Option<Secret> {
        (self.variable)(name).filter(|value| !value.is_empty()).map(Secret::new)
    }

    /// The file that was named counts most, then the environment, then the person at the terminal.
    fn secret(&self, wanted: &Wanted<'_>) -> Result<Secret, CliError> {
        let what = &wanted.what;
        if let Some(file) = wanted.file {
            return from_file(file);
        }
        if let Some(secret) = self.variable(wanted.variable) {
            return Ok(secret);
        }
        let asked = if wanted.prompted { (self.prompt)(&format!("{what}: ")) } else { None };
        match asked {
            Some(Ok(secret)) if !secret.is_empty() => Ok(Secret::new(secret)),
            Some(Ok(_)) => Err(format!("{what}: nothing was typed").into()),
            Some(Err(error)) => Err(format!("{what}: the terminal cannot be read: {error}").into()),
            None => {
                let mut hint = format!("set {}, or name a file: {} FILE", wanted.variable, wanted.flag);
                if let Some(otherwise) = wanted.otherwise {
                    hint.push('\n');
                    hint.push_str(otherwise);
                }
                Err(CliError::new(format!("{what}: not given")).with_hint(hint).with_code(CliError::USAGE))
            }
        }
    }
}

/// A secret from a file (`-` is standard input), without the line break that an editor puts at its end.
fn from_file(file: &Path) -> Result<Secret, CliError> {
    let standard_input = file.as_os_str() == "-";
    let text = if standard_input { io::read_to_string(io::stdin().lock()) } else { std::fs::read_to_string(file) };
    let text = Secret::new(text.map_err(|error| format!("{} cannot be read: {error}", file.display()))?);
    let line = text.expose();
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() { Err(format!("{} is empty", file.display()).into()) } else { Ok(Secret::new(line)) }
}

/// What is sent to the token endpoint.
struct Request {
    headers: HeaderMap,
    form: String,
}

impl Request {
    fn of(args: &TokenArgs, sources: &Sources<'_>) -> Result<Self, CliError> {
        let mut form = String::new();
        match args.grant(sources) {
            Grant::ClientCredentials => add(&mut form, "grant_type", "client_credentials"),
            Grant::Password => {
                let username = args.username.as_deref();
                let username = username
                    .ok_or_else(|| CliError::new("the password grant needs --username").with_code(CliError::USAGE))?;
                let password = sources.secret(&Wanted {
                    what: format!("Password of {username}"),
                    flag: "--password-file",
                    file: args.password_file.as_deref(),
                    variable: "GRANTOR_PASSWORD",
                    prompted: true,
                    otherwise: None,
                })?;
                add(&mut form, "grant_type", "password");
                add(&mut form, "username", username);
                add(&mut form, "password", password.expose());
            }
            Grant::RefreshToken => {
                let token = sources.secret(&Wanted {
                    what: "Refresh token".to_owned(),
                    flag: "--refresh-token-file",
                    file: args.refresh_token_file.as_deref(),
                    variable: REFRESH_TOKEN,
                    // A token is too long to be typed, and terminals cut long lines.
                    prompted: false,
                    otherwise: None,
                })?;
                add(&mut form, "grant_type", "refresh_token");
                add(&mut form, "refresh_token", token.expose());
            }
        }
        if let Some(scope) = &args.scope {
            add(&mut form, "scope", scope);
        }
        let mut headers = HeaderMap::new();
        authenticate(args, sources, &mut headers, &mut form)?;
        Ok(Self { headers, form })
    }
}

const REFRESH_TOKEN: &str = "GRANTOR_REFRESH_TOKEN";

impl TokenArgs {
    fn grant(&self, sources: &Sources<'_>) -> Grant {
        match self.grant {
            Some(grant) => grant,
            None if self.username.is_some() => Grant::Password,
            None if self.refresh_token_file.is_some() || sources.variable(REFRESH_TOKEN).is_some() => {
                Grant::RefreshToken
            }
            None => Grant::ClientCredentials,
        }
    }
}

/// RFC 6749 section 2.3.1; a public client names itself in the body (section 3.2.1).
fn authenticate(
    args: &TokenArgs,
    sources: &Sources<'_>,
    headers: &mut HeaderMap,
    form: &mut String,
) -> Result<(), CliError> {
    let id = args.client_id.as_str();
    if args.client_auth == ClientAuth::None {
        add(form, "client_id", id);
        return Ok(());
    }
    let secret = sources.secret(&Wanted {
        what: format!("Secret of the client {id}"),
        flag: "--client-secret-file",
        file: args.client_secret_file.as_deref(),
        variable: "GRANTOR_CLIENT_SECRET",
        prompted: true,
        otherwise: Some("for a public client: --client-auth none"),
    })?;
    if args.client_auth == ClientAuth::Post {
        add(form, "client_id", id);
        add(form, "client_secret", secret.expose());
        return Ok(());
    }
    // Both parts are form-encoded before they are joined, so that a colon in the id does not end it.
    let pair = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret.expose())));
    let value = HeaderValue::from_str(&format!("Basic {pair}"));
    let mut value = value.map_err(|_| CliError::new("the client's id and secret do not fit into a header"))?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

/// Adds a parameter to a form.
fn add(form: &mut String, name: &str, value: &str) {
    if !form.is_empty() {
        form.push('&');
    }
    form.push_str(name);
    form.push('=');
    form.push_str(&encoded(value));
}

/// A text as `application/x-www-form-urlencoded` has it (RFC 6749 appendix B).
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn show(answer: &Answer, token_alone: bool, output: &Output) -> Result<(), CliError> {
    let document: Option<Value> = serde_json::from_slice(&answer.body).ok();
    if output.is_json()
        && let Some(document) = &document
    {
        output.json(document)?;
    }
    let granted = document.as_ref().filter(|_| (200..300).contains(&answer.status));
    let token = granted.and_then(|document| Some((document, document.get("access_token")?.as_str()?)));
    match token {
        None => Err(refusal(answer, document.as_ref())),
        Some(_) if output.is_json() => Ok(()),
        Some((_, token)) if token_alone || !output.is_terminal() => output.line(token),
        Some((document, token)) => output.line(format!("{}{token}", summary(document))),
    }
}

/// What came with the access token, and an empty line after it. The other tokens are not shown: a screen is not the
/// place for them.
fn summary(document: &Value) -> String {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let seconds = |name: &str| document.get(name).and_then(Value::as_u64).filter(|seconds| *seconds > 0);
    let mut rows = Vec::new();
    if let Some(kind) = text("token_type") {
        rows.push(("type", kind.to_owned()));
    }
    if let Some(seconds) = seconds("expires_in") {
        rows.push(("expires", format!("in {}", duration(seconds))));
    }
    if let Some(scope) = text("scope") {
        rows.push(("scope", scope.to_owned()));
    }
    if text("refresh_token").is_some() {
        let expires = seconds("refresh_expires_in").map(|seconds| format!("expires in {}; ", duration(seconds)));
        rows.push(("refresh token", format!("{}--json shows it", expires.unwrap_or_default())));
    }
    if text("id_token").is_some() {
        rows.push(("ID token", "--json shows it".to_owned()));
    }
    if rows.is_empty() { String::new() } else { format!("{}\n\n", pairs(&rows)) }
}

/// An answer without a token (RFC 6749 section 5.2), and where it is explained if the server is a Grantor.
fn refusal(answer: &Answer, document: Option<&Value>) -> CliError {
    let text = |name: &str| document.and_then(|document| document.get(name)?.as_str()).map(printable);
    let status = answer.status;
    let refused = CliError::new(match (text("error"), text("error_description")) {
        (Some(error), Some(description)) => format!("{error}: {description} (HTTP {status})"),
        (Some(error), None) => format!("{error} (HTTP {status})"),
        (None, _) => format!("the answer holds no access token (HTTP {status})"),
    });
    // The line is meant to be copied into a shell, so what a stranger's server sends must be nothing but an id.
    let plain = |id: &&str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let decision = answer.headers.get("grantor-decision").and_then(|value| value.to_str().ok());
    match decision.filter(plain) {
        Some(id) => refused.with_hint(format!("decision {id}; on the server, this says why: grantor explain {id}")),
        None => refused,
    }
}
