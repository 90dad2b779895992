//! `grantor revocations`: what was revoked before it expired, and which gateway has applied it.

use clap::Args;
use serde_json::json;

use super::local::Where;
use super::output::{CliError, Output, moment, table};

/// Show what was revoked, and which gateway has applied it
#[derive(Debug, Args)]
#[command(after_help = "Example:
  grantor revocations --last 20")]
pub(crate) struct RevocationsArgs {
    /// So many of the latest entries
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    last: u32,
    #[command(flatten)]
    place: Where,
}

pub(crate) async fn run(args: RevocationsArgs, output: &Output) -> Result<(), CliError> {
    let local = args.place.open().await?;
    let store = &local.engine.store;
    let position = store.revocation_position().await?;
    let (count, latest) = store.last_revocations(i64::from(args.last)).await?;
    let gateways = store.gateways().await?;
    let realms = store.realm_names().await?;
    let value = json!({"position": position, "entries": count, "latest": latest, "gateways": gateways
        .iter().map(|one| json!({"name": one.name, "position": one.position, "behind": position - one.position, "seen": one.seen}))
        .collect::<Vec<_>>()});
    output.show(&value, || {
        let mut text = format!("{} entries count, the log is at {position}\n\n", count);
        let rows: Vec<Vec<String>> = gateways
            .iter()
            .map(|one| {
                let behind = match position.saturating_sub(one.position) {
                    0 => "has applied all".to_owned(),
                    behind => format!("{behind} behind"),
                };
                vec![one.name.clone(), one.position.to_string(), behind, moment(one.seen.seconds(), local.now)]
            })
            .collect();
        text.push_str(&table(&["GATEWAY", "AT", "STATE", "HEARD OF"], &rows));
        let rows: Vec<Vec<String>> = latest
            .iter()
            .map(|entry| {
                let realm = realms.iter().find(|(id, _)| *id == entry.realm_id).map_or("", |(_, name)| name.as_str());
                let until = moment(entry.until.seconds(), local.now);
                vec![
                    entry.position.to_string(),
                    realm.to_owned(),
                    entry.what.name().to_owned(),
                    entry.subject.clone(),
                    until,
                ]
            })
            .collect();
        text.push_str("\n\n");
        text.push_str(&table(&["POSITION", "REALM", "WHAT", "NAME", "KEPT UNTIL"], &rows));
        text
    })
}
