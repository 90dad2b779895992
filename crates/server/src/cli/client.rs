//! `grantor client`: add, list, show, rotate-secret, enable, disable.

use clap::{Args, Subcommand, ValueEnum};
use grantor_flows::admin::clients::{NewClient, SecretFacts};
use grantor_flows::assertions::ENABLED;
use grantor_flows::login::Delivery;
use serde_json::json;

use super::local::Where;
use super::output::{CliError, Output};
use crate::gateway::feed::FEED;

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The client id
    client_id: String,
    /// The realm
    #[arg(long, value_name = "NAME")]
    realm: String,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    named: Named,
    /// A client that acts for itself (client credentials grant)
    #[arg(long)]
    service_account: bool,
    /// A client that may send a user's password (password grant)
    #[arg(long)]
    direct_access: bool,
    /// A client without a secret
    #[arg(long)]
    public: bool,
    /// Plain login: a user's name and password for a token, at POST /realms/NAME/login
    #[arg(long, value_name = "DELIVERY", num_args = 0..=1, require_equals = true, default_missing_value = "body")]
    login: Option<Delivered>,
    /// For a gateway without a database: the client may read the feed (realm master only)
    #[arg(long, conflicts_with_all = ["public", "login"])]
    gateway: bool,
    /// Where browsers may be sent back to; may be given several times
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<String>,
    /// Origin that may call from a browser; may be given several times
    #[arg(long, value_name = "ORIGIN")]
    web_origin: Vec<String>,
}

/// How the token of a plain login is handed over.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Delivered {
    /// In the JSON body
    Body,
    /// In the header Authorization of the answer, too
    Header,
    /// In a cookie that scripts cannot read, and nowhere else
    Cookie,
}

impl From<Delivered> for Delivery {
    fn from(delivered: Delivered) -> Self {
        match delivered {
            Delivered::Body => Self::Body,
            Delivered::Header => Self::Header,
            Delivered::Cookie => Self::Cookie,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Add a client and print its secret
    #[command(after_help = "Examples:
  grantor client add billing --realm acme --service-account
  grantor client add shop --realm acme --public --direct-access
  grantor client add app --realm acme --public --login")]
    Add(AddArgs),
    /// List the clients of a realm
    List {
        /// The realm
        #[arg(long, value_name = "NAME")]
        realm: String,
        #[command(flatten)]
        place: Where,
    },
    /// Show a client; its secret only when asked
    #[command(after_help = "Example:\n  grantor client show billing --realm acme --secret")]
    Show {
        #[command(flatten)]
        named: Named,
        /// Print the secret, too
        #[arg(long)]
        secret: bool,
    },
    /// Give a client a new secret; the old one is refused at once, unless it is kept for a while
    #[command(after_help = "Examples:
  grantor client rotate-secret billing --realm acme
  grantor client rotate-secret billing --realm acme --keep-old        both are good, for 30 days
  grantor client rotate-secret billing --realm acme --keep-old=7")]
    RotateSecret {
        #[command(flatten)]
        named: Named,
        /// Keep the old secret beside the new one, for so many days
        #[arg(long, value_name = "DAYS", num_args = 0..=1, require_equals = true, default_missing_value = "30")]
        keep_old: Option<u16>,
    },
    /// Tell how often each secret of a client was used, and whether the old one is still needed
    #[command(after_help = "Examples:
  grantor client secrets billing --realm acme
  grantor client secrets billing --realm acme --remove-old")]
    Secrets {
        #[command(flatten)]
        named: Named,
        /// End the old secret now
        #[arg(long)]
        remove_old: bool,
    },
    /// Switch a client on
    Enable(Named),
    /// Switch a client off: it is treated as unknown
    Disable(Named),
}

pub(crate) async fn run(command: ClientCommand, output: &Output) -> Result<(), CliError> {
    match command {
        ClientCommand::Add(args) => add(args, output).await,
        ClientCommand::List { realm, place } => list(&realm, &place, output).await,
        ClientCommand::Show { named, secret } => show(&named, secret, output).await,
        ClientCommand::RotateSecret { named, keep_old } => {
            let local = named.place.open().await?;
            let realm = local.realm(&named.realm).await?;
            let until = keep_old.map(|days| local.now.seconds() + i64::from(days) * DAY);
            let secret = local.engine.rotate_client_secret(&realm, &named.client_id, until, local.now).await?;
            local.settle().await;
            match until {
                None => {
                    super::external_system::past_the_second(&local).await;
                    output.fields(&[("client", &named.client_id), ("secret", &secret)])
                }
                Some(until) => output.fields(&[
                    ("client", &named.client_id),
                    ("secret", &secret),
                    ("old secret until", &super::output::utc(until)),
                ]),
            }
        }
        ClientCommand::Secrets { named, remove_old } => secrets(&named, remove_old, output).await,
        ClientCommand::Enable(named) => switch(&named, true, output).await,
        ClientCommand::Disable(named) => switch(&named, false, output).await,
    }
}

const DAY: i64 = 86_400;

/// A secret that was not used for so many days, while the new one was, is not needed any more, as far as can be told:
/// long enough for whatever runs once a week.
const QUIET_DAYS: i64 = 8;

async fn secrets(named: &Named, remove_old: bool, output: &Output) -> Result<(), CliError> {
    let local = named.place.open().await?;
    let realm = local.realm(&named.realm).await?;
    if remove_old {
        local.engine.remove_old_secret(&realm, &named.client_id, local.now).await?;
        local.settle().await;
    }
    let facts = local.engine.client_secrets(&realm, &named.client_id, local.now).await?;
    let advice = advice(&facts, local.now.seconds());
    if output.is_json() {
        let all: Vec<_> = facts
            .iter()
            .map(|one| {
                json!({"secret": if one.old { "old" } else { "present" }, "created": one.created, "until": one.until,
                    "lastUsed": one.last_used, "uses": one.uses})
            })
            .collect();
        return output.json(&json!({"secrets": all, "oldIsSafeToRemove": advice.1, "advice": advice.0}));
    }
    let moment = |seconds: Option<i64>, otherwise: &str| {
        seconds.map_or_else(|| otherwise.to_owned(), |seconds| super::output::moment(seconds, local.now))
    };
    let rows: Vec<Vec<String>> = facts
        .iter()
        .map(|one| {
            vec![
                if one.old { "old" } else { "present" }.to_owned(),
                moment(one.created, "unknown"),
                moment(one.until, "no end"),
                moment(one.last_used, "never"),
                one.uses.to_string(),
            ]
        })
        .collect();
    output.rows(&["secret", "created", "good until", "last used", "uses"], &rows)?;
    output.line(format!("\n{}", advice.0))
}

/// Whether the old secret is still needed, as far as can be told, and what to do.
fn advice(facts: &[SecretFacts], now: i64) -> (String, bool) {
    let (Some(new), Some(old)) = (facts.iter().find(|one| !one.old), facts.iter().find(|one| one.old)) else {
        let text = if facts.is_empty() { "The client has no secret." } else { "There is one secret, and no old one." };
        return (text.to_owned(), false);
    };
    let Some(taken_up) = new.last_used else {
        return ("The new secret was not used yet: keep the old one.".to_owned(), false);
    };
    let quiet_since = old.last_used.or(new.created).unwrap_or(now);
    let quiet = (now - quiet_since) / DAY;
    if quiet >= QUIET_DAYS && taken_up > quiet_since {
        let text = format!(
            "The old secret was not used for {quiet} days, the new one {} times: it is safe to remove (--remove-old).",
            new.uses
        );
        return (text, true);
    }
    let text = format!(
        "The old secret is needed, or was until {quiet} days ago: after {QUIET_DAYS} quiet days it is safe to remove."
    );
    (text, false)
}

async fn add(args: AddArgs, output: &Output) -> Result<(), CliError> {
    let local = args.named.place.open().await?;
    let realm = local.realm(&args.named.realm).await?;
    let client_id = args.named.client_id;
    if args.gateway && realm.name != "master" {
        return Err(CliError::new("the feed is read by clients of realm master").with_hint("--realm master --gateway"));
    }
    let new = NewClient {
        client_id: client_id.clone(),
        public: args.public,
        service_account: args.service_account,
        direct_access: args.direct_access,
        redirect_uris: args.redirect_uri,
        web_origins: args.web_origin,
        login: args.login.map(Into::into),
        attributes: args.gateway.then(|| (FEED.to_owned(), "true".to_owned())).into_iter().collect(),
    };
    let secret = local.engine.add_client(&realm, new, local.now).await?;
    local.settle().await;
    match secret {
        Some(secret) => output.fields(&[("client", &client_id), ("secret", &secret)]),
        None => output.fields(&[("client", client_id.as_str())]),
    }
}

async fn list(realm: &str, place: &Where, output: &Output) -> Result<(), CliError> {
    let local = place.open().await?;
    let realm = local.realm(realm).await?;
    let mut clients: Vec<_> = realm.clients.values().collect();
    clients.sort_by(|a, b| a.client_id().cmp(b.client_id()));
    let rows: Vec<Vec<String>> = clients
        .iter()
        .map(|client| {
            let document = &client.document;
            let kind = match (document.bearer_only, document.is_public()) {
                (true, _) => "bearer-only",
                (_, true) => "public",
                _ => "confidential",
            };
            let state = if document.enabled { "on" } else { "off" };
            let grants = [
                (document.service_accounts_enabled && !document.is_public(), "client_credentials"),
                (document.allows_direct_access() && !document.bearer_only, "password"),
                (document.switched_on(ENABLED), "jwt-bearer"),
            ];
            let grants: Vec<&str> = grants.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
            vec![client.client_id().to_owned(), kind.to_owned(), state.to_owned(), grants.join(" ")]
        })
        .collect();
    output.rows(&["client", "kind", "state", "grants"], &rows)
}

async fn show(named: &Named, with_secret: bool, output: &Output) -> Result<(), CliError> {
    let local = named.place.open().await?;
    let realm = local.realm(&named.realm).await?;
    let (_, document, secrets) = local.engine.stored_client(&realm, &named.client_id).await?;
    let mut value = serde_json::to_value(&document).map_err(|error| CliError::new(error.to_string()))?;
    if with_secret && let (Some(object), Some(secret)) = (value.as_object_mut(), secrets.secret) {
        object.insert("secret".to_owned(), json!(secret));
    }
    output.json(&value)
}

async fn switch(named: &Named, on: bool, output: &Output) -> Result<(), CliError> {
    let local = named.place.open().await?;
    let realm = local.realm(&named.realm).await?;
    local.engine.enable_client(&realm, &named.client_id, on, local.now).await?;
    local.settle().await;
    let word = if on { "on" } else { "off" };
    output.fields(&[("client", &named.client_id), ("state", word)])
}
