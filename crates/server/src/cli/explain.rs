//! `grantor explain`: why was a request refused?

use std::time::Duration;

use clap::Args;
use grantor_model::Decision;
use grantor_model::decision::{Check, Outcome};

use super::local::Where;
use super::output::{CliError, Output};

/// Tell why a request was refused
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  grantor explain 4f1c2a9be07d55c3a1f0
  grantor explain --token token.jwt --request 'GET /orders'

The id is in the header Grantor-Decision of the refusal. With a token and a request, every check that the gateway
would make now is shown.")]
pub(crate) struct ExplainArgs {
    /// The id of the decision
    #[arg(required_unless_present = "request")]
    id: Option<String>,
    /// Method and path of a call at the gateway, such as 'GET /orders'
    #[arg(long, value_name = "REQUEST", conflicts_with = "id")]
    request: Option<String>,
    /// File with the access token of that call; - is standard input
    #[arg(long, value_name = "FILE", requires = "request")]
    token: Option<std::path::PathBuf>,
    /// Name in the Host header of that call
    #[arg(long, value_name = "NAME", requires = "request")]
    host: Option<String>,
    #[command(flatten)]
    place: Where,
}

pub(crate) async fn run(args: ExplainArgs, output: &Output) -> Result<(), CliError> {
    if let Some(request) = &args.request {
        let token = args.token.as_deref().map(super::api::text_of).transpose()?;
        let token = token.as_deref().map(str::trim);
        return super::api::check(request, token, args.host.as_deref(), None, &args.place, output).await;
    }
    let id = args.id.unwrap_or_default();
    let local = args.place.open().await?;
    // A refusal is written a moment after it was answered.
    const TRIES: u32 = 5;
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let found = local.engine.store.decision(id.trim()).await;
        if let Some(decision) = found.map_err(|error| CliError::new(error.to_string()))? {
            return super::shown::either(output, &told(&decision, output), &decision);
        }
    }
    let hours = args.place.config()?.decisions.keep_hours;
    Err(CliError::new(format!("there is no decision {id:?}")).with_hint(format!(
        "decisions are kept for {hours} hours; the id is in the header Grantor-Decision of the refusal"
    )))
}

fn told(decision: &Decision, output: &Output) -> String {
    let mut text = format!(
        "{}  {} at the {} endpoint of realm {}",
        decision.id,
        output.moment(decision.at),
        decision.endpoint,
        decision.realm
    );
    let asked = [("grant", &decision.grant), ("client", &decision.client)];
    for (name, value) in asked.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        text.push_str(&format!("\n  {name}: {value}"));
    }
    text.push_str(&format!("\n  from: {}\n", decision.address));
    checks(&decision.checks, &mut text);
    text.push_str(&format!("\n\n  answered: {}", decision.error));
    if let Some(description) = &decision.description {
        text.push_str(&format!(" — {description}"));
    }
    if let Some(reason) = &decision.reason {
        text.push_str(&format!("\n  reason:   {reason}"));
    }
    let failed = decision.checks.last().filter(|_| decision.endpoint == "gateway");
    if let Some(fix) = failed.and_then(fix) {
        text.push_str(&format!("\n  fix:      {fix}"));
    }
    text
}

/// The checks in order.
pub(super) fn checks(checks: &[Check], text: &mut String) {
    for check in checks {
        let mark = if check.outcome == Outcome::Passed { "✓" } else { "✗" };
        text.push_str(&format!("\n  {mark} {}", check.check));
        match (&check.expected, &check.actual) {
            (Some(expected), actual) => {
                text.push_str(&format!(
                    "\n      expected: {expected}\n      found:    {}",
                    actual.as_deref().unwrap_or("nothing")
                ));
            }
            (None, Some(actual)) if actual.is_empty() => {}
            (None, Some(actual)) => text.push_str(&format!(": {actual}")),
            (None, None) => {}
        }
    }
}

/// What to do about a check of the gateway that failed.
pub(super) fn fix(check: &Check) -> Option<&'static str> {
    Some(match check.check.as_ref() {
        "Authorization" => "send the header Authorization: Bearer TOKEN, once",
        "form" => "send the access token itself, whole and unchanged",
        "issuer" => "get the token from the API's realm, under the server's public_url",
        "alg" | "key" | "signature" => "get a new token: the key that signed this one is not, or no more, the issuer's",
        "typ" => "send the access token, not the ID token or the refresh token",
        "exp" => "get a new token, and ask for the next one before it expires",
        "nbf" | "iat" => "compare the clocks of the issuer and of this server",
        "audience" => "grantor api allow API --client CLIENT puts the audience into the client's next tokens",
        "cnf" => "use a client without sender-constrained tokens for this API",
        "client" | "client's not before" | "not before" | "revocations" => "sign in again: the token was revoked",
        "scope" => "grantor api allow API --client CLIENT --scope SCOPE, and ask for a new token",
        "role" => "give the user the role, and ask for a new token",
        "API" | "rule" | "method" => "grantor api show API lists hosts, paths and methods",
        "path" | "request" => "send the path as it is meant, without dots, double slashes and escaped slashes",
        "rate" => "wait as long as Retry-After says",
        "upstream" => "look at the upstream: is it running, and does it answer in time?",
        "body" => "send less, or raise body_bytes of the API",
        _ => return None,
    })
}
