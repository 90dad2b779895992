//! `grantor key`: list and rotate.

use clap::Subcommand;
use grantor_model::jose::Algorithm;

use super::local::Where;
use super::output::{CliError, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the keys of a realm, best first
    List {
        /// The realm
        #[arg(long, value_name = "NAME")]
        realm: String,
        #[command(flatten)]
        place: Where,
    },
    /// Make a new key; the old ones are published until their last token has expired
    #[command(after_help = "Examples:
  grantor key rotate --realm acme
  grantor key rotate --realm acme --algorithm ES256")]
    Rotate {
        /// The realm
        #[arg(long, value_name = "NAME")]
        realm: String,
        /// The algorithm whose keys are replaced
        #[arg(long, value_name = "ALG", default_value = "RS256")]
        algorithm: String,
        #[command(flatten)]
        place: Where,
    },
}

pub(crate) async fn run(command: KeyCommand, output: &Output) -> Result<(), CliError> {
    match command {
        KeyCommand::List { realm, place } => {
            let local = place.open().await?;
            let realm = local.engine.with_standard_keys(&local.realm(&realm).await?, true, local.now).await?;
            let rows: Vec<Vec<String>> = realm
                .keys
                .iter()
                .map(|key| {
                    let state = match key.retired_until {
                        Some(until) => format!("retired, published until {}", output.moment(until)),
                        None if key.active => "active".to_owned(),
                        None => "passive".to_owned(),
                    };
                    vec![key.algorithm.clone(), key.kid.clone(), key.provider.clone(), key.priority.to_string(), state]
                })
                .collect();
            output.rows(&["algorithm", "kid", "provider", "priority", "state"], &rows)
        }
        KeyCommand::Rotate { realm, algorithm, place } => {
            let Some(known) = Algorithm::parse(&algorithm) else {
                let names: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
                return Err(CliError::new(format!("{algorithm:?} is not an algorithm"))
                    .with_hint(format!("known: {}", names.join(", "))));
            };
            let local = place.open().await?;
            let realm = local.engine.with_standard_keys(&local.realm(&realm).await?, true, local.now).await?;
            let rotated = local.engine.rotate_key(&realm, known, local.now).await;
            let rotated = rotated?;
            local.settle().await;
            output.fields(&[
                ("new key", rotated.kid.as_str()),
                ("retired", &rotated.retired.join(", ")),
                ("published until", &output.moment(rotated.published_until)),
            ])
        }
    }
}
