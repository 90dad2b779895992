//! The command line. One file for each command; output for people by default, `--json` for programs.

mod admin;
mod api;
mod backup;
mod bar;
mod client;
mod config;
mod doctor;
mod explain;
mod external_system;
mod gateway;
mod idp;
mod jwt;
mod key;
mod local;
mod manual;
pub(crate) mod output;
mod realm;
mod realm_files;
mod revocations;
mod serve;
mod shadow;
mod shown;
mod token;
mod user;
mod whole_file;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use output::{CliError, Output};

/// Identity server: issues JSON Web Tokens and enforces them
#[derive(Debug, Parser)]
#[command(name = "grantor", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = "Examples:
  grantor                                   start with an embedded database in ./grantor-data
  grantor realm import acme-realm.json      bring in a realm exported by Keycloak
  grantor client add app --realm acme --service-account
  grantor api add orders --realm acme --openapi orders.yaml --upstream http://127.0.0.1:9001
  grantor token --issuer http://127.0.0.1:8080/realms/acme --client-id app
  grantor explain 4f1c…                     why was that request refused?")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server (the default)
    Serve(serve::ServeArgs),
    /// Start a gateway without a database, in front of this or any issuer
    Gateway(Box<gateway::GatewayArgs>),
    /// Get a token from any OpenID issuer
    Token(token::TokenArgs),
    /// Take a token apart, or check it
    Jwt(jwt::JwtArgs),
    /// Add, list and import realms
    #[command(subcommand)]
    Realm(realm::RealmCommand),
    /// Add, list and change clients
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// Put the gateway in front of APIs, and say who may call them
    #[command(subcommand)]
    Api(api::ApiCommand),
    /// Trust issuers of assertions, and try what they sent
    #[command(subcommand)]
    Idp(idp::IdpCommand),
    /// Let external systems of a registry in, and keep them out
    #[command(subcommand)]
    ExternalSystem(external_system::ExternalSystemCommand),
    /// Add, list and change users
    #[command(subcommand)]
    User(user::UserCommand),
    /// List and rotate keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Help an administrator who cannot get in
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// Check, show and describe the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Ask two servers the same, and show where their answers differ
    Shadow(shadow::ShadowArgs),
    /// Look at everything that a server needs, and say what to do
    Doctor(doctor::DoctorArgs),
    /// Write everything in the store into one file, while the server runs
    Backup(backup::BackupArgs),
    /// Put a backup into an empty place
    Restore(backup::RestoreArgs),
    /// Show what was revoked, and which gateway has applied it
    Revocations(revocations::RevocationsArgs),
    /// Tell why a request was refused
    Explain(explain::ExplainArgs),
    /// List the public URLs
    Urls(manual::UrlsArgs),
    /// Print completions for a shell
    Completions(manual::CompletionsArgs),
    /// Print the manual page
    Man,
}

/// Reads the command line of the process and runs the command.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let command = cli.command.unwrap_or_else(|| Command::Serve(serve::ServeArgs::default()));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return CliError::new(format!("no threads to work with: {error}")).report(),
    };
    let code = match runtime.block_on(dispatch(command, &output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    };
    // A password hash or a DNS question that nobody waits for any more must not hold the end up.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    code
}

async fn dispatch(command: Command, output: &Output) -> Result<(), CliError> {
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Gateway(args) => gateway::run(*args, output).await,
        Command::Token(args) => token::run(args, output).await,
        Command::Jwt(args) => {
            let keys = local::key_set(&args).await?;
            jwt::run(args, keys, crate::start::now(), output).await
        }
        Command::Realm(command) => realm::run(command, output).await,
        Command::Client(command) => client::run(command, output).await,
        Command::Api(command) => api::run(command, output).await,
        Command::Revocations(args) => revocations::run(args, output).await,
        Command::Doctor(args) => doctor::run(args, output).await,
        Command::Shadow(args) => shadow::run(args, output).await,
        Command::Backup(args) => backup::backup(args, output).await,
        Command::Restore(args) => backup::restore(args, output).await,
        Command::Idp(command) => idp::run(command, output).await,
        Command::ExternalSystem(command) => external_system::run(command, output).await,
        Command::User(command) => user::run(command, output).await,
        Command::Key(command) => key::run(command, output).await,
        Command::Admin(command) => admin::run(command, output).await,
        Command::Config(command) => config::run(command, output),
        Command::Explain(args) => explain::run(args, output).await,
        Command::Urls(args) => manual::urls(&args, output),
        Command::Completions(args) => manual::completions(&args, &mut Cli::command()),
        Command::Man => manual::man(Cli::command()),
    }
}
