//! `grantor idp try`: an assertion is judged, check by check, and not used.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use grantor_flows::Call;
use grantor_flows::assertions::{self, Court, Lookup};
use grantor_model::assertion::{Fault, Judged, Judgement};
use grantor_model::identity_provider::IdentityProvider;
use grantor_model::jose::MAX_TOKEN_BYTES;
use serde_json::{Value, json};

use super::super::local::Where;
use super::super::output::{CliError, Output, printable};

/// Judges the assertion in a file, for callers who reach the server at `base`.
pub(super) async fn tried(
    file: &Path,
    realm: &str,
    client: Option<&str>,
    base: &str,
    place: &Where,
    output: &Output,
) -> Result<(), CliError> {
    let text = assertion_text(file)?;
    let local = place.open().await?;
    let realm = local.realm(realm).await?;
    let client = match client {
        None => None,
        Some(id) => {
            local.engine.stored_client(&realm, id).await?;
            realm.clients.get(id)
        }
    };
    let call = Call {
        now: local.now,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        secure: true,
        base,
        origin: None,
        authorization: None,
    };
    let engine = &local.engine;
    let court = Court { realm: &realm, client: client.map(AsRef::as_ref), lookup: Lookup::IssuerOrName };
    let mut judgement = Judgement::of_everything();
    let accepted = assertions::judged(engine, &call, court, &text, &mut judgement).await;
    if let Some(accepted) = &accepted {
        let subject = accepted.assertion.text("sub").unwrap_or_default();
        // Nobody is made just because somebody tries.
        match assertions::known_subject(engine, &realm, accepted)
            .await
            .map_err(|error| CliError::new(error.to_string()))?
        {
            Ok(()) => judgement.passed("subject", subject),
            Err(fault) => {
                let wanted = assertions::wanted(&accepted.provider, fault);
                let _ = judgement.failed("subject", wanted, subject, Fault::Subject(fault));
            }
        }
        let used =
            assertions::was_used(engine, &realm, accepted).await.map_err(|error| CliError::new(error.to_string()))?;
        let jti = accepted.assertion.text("jti").unwrap_or("absent");
        if used {
            let _ = judgement.failed("jti", "an assertion not used before", jti, Fault::Replayed);
        } else {
            judgement.passed("jti", jti);
        }
    }
    let alias = accepted.as_ref().map(|accepted| accepted.provider.alias.as_str());
    let change = match judgement.faults.as_slice() {
        [only] => narrowest_change(only, alias, &realm),
        _ => None,
    };
    let shown: Vec<Value> = judgement.checks.iter().map(as_json).collect();
    let would = judgement.faults.is_empty();
    output.show(&json!({"accepted": would, "checks": shown, "change": change}), || {
        let mut text: Vec<String> = judgement.checks.iter().map(|judged| line(judged, output.is_terminal())).collect();
        if let Some(change) = &change {
            text.push(format!("\nOne check failed. This would let it pass, if it should:\n  {change}"));
        }
        text.join("\n")
    })?;
    if would { Ok(()) } else { Err(CliError::new("the assertion would be refused")) }
}

fn as_json(judged: &Judged) -> Value {
    let mut value = json!({"check": judged.check, "passed": judged.expected.is_none(), "actual": judged.actual});
    if let (Some(expected), Some(members)) = (&judged.expected, value.as_object_mut()) {
        members.insert("expected".to_owned(), Value::from(expected.as_str()));
    }
    value
}

fn line(judged: &Judged, terminal: bool) -> String {
    let actual = printable(&judged.actual);
    let (sign, detail) = match (&judged.expected, terminal) {
        (None, true) => ("✓", actual),
        (None, false) => ("ok    ", actual),
        (Some(expected), terminal) => {
            let sign = if terminal { "✗" } else { "FAILED" };
            (sign, format!("expected {}, found {actual}", printable(expected)))
        }
    };
    format!("{sign}  {:17}  {detail}", judged.check)
}

/// The smallest change of settings after which an assertion with this one fault would pass; none where no change
/// should let it.
fn narrowest_change(fault: &Fault, alias: Option<&str>, realm: &grantor_flows::Realm) -> Option<String> {
    let set = |alias: &str, option: String| format!("grantor idp set {alias} --realm {} {option}", realm.name);
    // What lies farther away is no clock that goes wrong.
    const NEAR: i64 = 600;
    match (fault, alias) {
        (Fault::Expired(by), Some(alias)) if *by < NEAR => Some(set(alias, format!("--skew {}", by + 1))),
        (Fault::TooEarly(by) | Fault::FromTheFuture(by), Some(alias)) if *by <= NEAR => {
            Some(set(alias, format!("--skew {by}")))
        }
        (Fault::TooOld(by), Some(alias)) => Some(set(alias, format!("--iat-window {}", by / 60 + 1))),
        (Fault::TooLong(by), Some(alias)) => Some(set(alias, format!("--max-life {by}"))),
        (Fault::Audience(found), Some(alias)) if !found.contains(',') => {
            Some(set(alias, format!("--audience '{found}'")))
        }
        (Fault::Algorithm(name), Some(alias)) if name != "none" && !name.starts_with("HS") => {
            Some(set(alias, format!("--algorithm {name}")))
        }
        (Fault::Replayed, Some(alias)) => Some(set(alias, "--replay-check off".to_owned())),
        (Fault::ProviderOff(_), Some(alias)) => Some(format!("grantor idp enable {alias} --realm {}", realm.name)),
        (Fault::NotForClient(_), Some(alias)) => Some(set(alias, "--client CLIENT".to_owned())),
        (Fault::UnknownIssuer(found), _) => {
            let close = |provider: &&std::sync::Arc<IdentityProvider>| {
                let plain = |text: &str| text.trim_end_matches('/').to_lowercase();
                provider.issuer.as_deref().is_some_and(|issuer| plain(issuer) == plain(found))
            };
            let provider = realm.providers.iter().find(close)?;
            Some(set(&provider.alias, format!("--issuer '{found}'")))
        }
        _ => None,
    }
}

fn assertion_text(file: &Path) -> Result<String, CliError> {
    let here = file.display();
    let longest = u64::try_from(MAX_TOKEN_BYTES).unwrap_or(u64::MAX).saturating_add(1024);
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(longest).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(longest).read_to_string(&mut text))
    };
    read.map_err(|error| CliError::new(format!("{here} cannot be read: {error}")))?;
    Ok(text.trim().to_owned())
}
