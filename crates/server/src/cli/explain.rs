//! `grantor explain`: why was a request refused?

use std::time::Duration;

use clap::Args;
use grantor_model::Decision;
use grantor_model::decision::Outcome;

use super::local::Where;
use super::output::{CliError, Output};

/// Tell why a request was refused
#[derive(Debug, Args)]
#[command(after_help = "Example:
  grantor explain 4f1c2a9be07d55c3a1f0

The id is in the header Grantor-Decision of the refusal.")]
pub(crate) struct ExplainArgs {
    /// The id of the decision
    id: String,
    #[command(flatten)]
    place: Where,
}

pub(crate) async fn run(args: ExplainArgs, output: &Output) -> Result<(), CliError> {
    let local = args.place.open().await?;
    // A refusal is written a moment after it was answered.
    const TRIES: u32 = 5;
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let found = local.engine.store.decision(args.id.trim()).await;
        if let Some(decision) = found.map_err(|error| CliError::new(error.to_string()))? {
            return super::shown::either(output, &told(&decision, output), &decision);
        }
    }
    let hours = args.place.config()?.decisions.keep_hours;
    Err(CliError::new(format!("there is no decision {:?}", args.id)).with_hint(format!(
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
    for check in &decision.checks {
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
    text.push_str(&format!("\n\n  answered: {}", decision.error));
    if let Some(description) = &decision.description {
        text.push_str(&format!(" — {description}"));
    }
    if let Some(reason) = &decision.reason {
        text.push_str(&format!("\n  reason:   {reason}"));
    }
    text
}
