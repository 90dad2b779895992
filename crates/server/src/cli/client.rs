//! `grantor client`: add, list, show, rotate-secret, enable, disable.

use clap::{Args, Subcommand, ValueEnum};
use grantor_flows::admin::clients::NewClient;
use grantor_flows::login::Delivery;
use serde_json::json;

use super::local::Where;
use super::output::{CliError, Output};

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
    /// Give a client a new secret; the old one is refused at once
    RotateSecret(Named),
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
        ClientCommand::RotateSecret(named) => {
            let local = named.place.open().await?;
            let realm = local.realm(&named.realm).await?;
            let secret = local.engine.rotate_client_secret(&realm, &named.client_id, local.now).await?;
            local.settle().await;
            output.fields(&[("client", &named.client_id), ("secret", &secret)])
        }
        ClientCommand::Enable(named) => switch(&named, true, output).await,
        ClientCommand::Disable(named) => switch(&named, false, output).await,
    }
}

async fn add(args: AddArgs, output: &Output) -> Result<(), CliError> {
    let local = args.named.place.open().await?;
    let realm = local.realm(&args.named.realm).await?;
    let client_id = args.named.client_id;
    let new = NewClient {
        client_id: client_id.clone(),
        public: args.public,
        service_account: args.service_account,
        direct_access: args.direct_access,
        redirect_uris: args.redirect_uri,
        web_origins: args.web_origin,
        login: args.login.map(Into::into),
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
