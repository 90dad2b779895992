//! `grantor user`: add, list, set-password, enable, disable, unlock.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use grantor_flows::admin::users::NewUser;
use grantor_flows::throttle::Failed;
use grantor_model::realm::Lock;
use grantor_model::{Instant, Secret};

use super::local::Where;
use super::output::{CliError, Output, moment};
use super::shown::secret_from;

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The user name
    username: String,
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
    /// E-mail address
    #[arg(long)]
    email: Option<String>,
    /// Given name
    #[arg(long)]
    first_name: Option<String>,
    /// Family name
    #[arg(long)]
    last_name: Option<String>,
    /// Realm role; may be given several times
    #[arg(long, value_name = "NAME")]
    role: Vec<String>,
    /// File that holds the password [default: GRANTOR_PASSWORD, or asked for]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Without a password: the user cannot sign in by one
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user with the realm's default role
    #[command(after_help = "Examples:
  grantor user add alice --realm acme --email alice@acme.example --first-name Alice --last-name Example
  GRANTOR_PASSWORD=… grantor user add root --realm master --role admin")]
    Add(AddArgs),
    /// List the users of a realm
    List {
        /// The realm
        #[arg(long, value_name = "NAME")]
        realm: String,
        #[command(flatten)]
        place: Where,
    },
    /// Replace a user's password
    SetPassword {
        #[command(flatten)]
        named: Named,
        /// File that holds the password [default: GRANTOR_PASSWORD, or asked for]
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Let a user sign in
    Enable(Named),
    /// End the lock that failed logins led to, and forget them; without a name, show whose logins failed
    #[command(after_help = "Examples:
  grantor user unlock --realm acme           whose logins failed, and who is locked until when
  grantor user unlock alice --realm acme     let alice try again")]
    Unlock {
        /// The user name
        username: Option<String>,
        /// The realm
        #[arg(long, value_name = "NAME")]
        realm: String,
        #[command(flatten)]
        place: Where,
    },
    /// Let a user not sign in; its sessions stop working, too
    Disable(Named),
}

pub(crate) async fn run(command: UserCommand, output: &Output) -> Result<(), CliError> {
    match command {
        UserCommand::Add(args) => add(args, output).await,
        UserCommand::List { realm, place } => list(&realm, &place, output).await,
        UserCommand::SetPassword { named, password_file } => {
            let local = named.place.open().await?;
            let realm = local.realm(&named.realm).await?;
            let password = password(password_file.as_ref())?;
            local.engine.set_password(&realm, &named.username, password, local.now).await?;
            output.fields(&[("user", named.username.as_str()), ("password", "replaced")])
        }
        UserCommand::Unlock { username: Some(username), realm, place } => {
            unlock(&username, &realm, &place, output).await
        }
        UserCommand::Unlock { username: None, realm, place } => locks(&realm, &place, output).await,
        UserCommand::Enable(named) => switch(&named, true, output).await,
        UserCommand::Disable(named) => switch(&named, false, output).await,
    }
}

fn password(file: Option<&PathBuf>) -> Result<Secret, CliError> {
    secret_from(file, "GRANTOR_PASSWORD", "Password: ", "--password-file FILE")
}

async fn add(args: AddArgs, output: &Output) -> Result<(), CliError> {
    let local = args.named.place.open().await?;
    let realm = local.realm(&args.named.realm).await?;
    let new = NewUser {
        username: args.named.username.clone(),
        email: args.email,
        first_name: args.first_name,
        last_name: args.last_name,
        roles: args.role,
        password: if args.no_password { None } else { Some(password(args.password_file.as_ref())?) },
    };
    let incomplete = realm.required_profile.iter().find(|name| match name.as_str() {
        "email" => new.email.is_none(),
        "firstName" => new.first_name.is_none(),
        "lastName" => new.last_name.is_none(),
        _ => true,
    });
    let id = local.engine.add_user(&realm, new.clone(), local.now).await?;
    if let Some(missing) = incomplete {
        output.note(format!(
            "the realm requires {missing} of its users: the password grant answers \"Account is not fully set up\""
        ));
    }
    output.fields(&[("user", &args.named.username), ("id", &id)])
}

async fn list(realm: &str, place: &Where, output: &Output) -> Result<(), CliError> {
    const PAGE: i64 = 1_000;
    let local = place.open().await?;
    let realm = local.realm(realm).await?;
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let page = local.engine.store.users(&realm.id, &after, PAGE).await;
        let page = page.map_err(|error| CliError::new(error.to_string()))?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.username);
        rows.extend(page.into_iter().map(|user| {
            let state = if user.enabled { "on" } else { "off" };
            vec![user.username, user.email.unwrap_or_default(), state.to_owned(), user.id]
        }));
    }
    output.rows(&["user", "e-mail", "state", "id"], &rows)
}

async fn unlock(username: &str, realm: &str, place: &Where, output: &Output) -> Result<(), CliError> {
    let local = place.open().await?;
    let realm = local.realm(realm).await?;
    let failed = local.engine.unlock_user(&realm, username, local.now).await?;
    local.settle().await;
    let Some(failed) = failed else {
        output.note(format!("no login of {username} failed since the last one that went well"));
        return output.fields(&[("user", username), ("lock", "none")]);
    };
    let lock = locked(&failed, local.now);
    output.fields(&[
        ("user", failed.username.as_str()),
        ("was locked", &lock),
        ("failures forgotten", &failed.failures.to_string()),
        ("last from", &failed.address),
    ])
}

async fn locks(realm: &str, place: &Where, output: &Output) -> Result<(), CliError> {
    let local = place.open().await?;
    let realm = local.realm(realm).await?;
    if !realm.settings.brute_force.brute_force_protected {
        output.note(format!("realm {} does not count failed logins (bruteForceProtected is off)", realm.name));
    }
    let rows = local.engine.failed_logins(&realm, local.now).await?.into_iter().map(|failed| {
        let last = failed.last.map(|last| moment(last.seconds(), local.now)).unwrap_or_default();
        vec![
            failed.username.clone(),
            failed.failures.to_string(),
            last,
            failed.address.clone(),
            locked(&failed, local.now),
        ]
    });
    output.rows(&["user", "failures", "last", "from", "locked"], &rows.collect::<Vec<_>>())
}

fn locked(failed: &Failed, now: Instant) -> String {
    match failed.lock {
        None => "no".to_owned(),
        Some(Lock::Until(until)) => format!("until {}", moment(until.seconds(), now)),
        Some(Lock::ForGood) => "for good".to_owned(),
    }
}

async fn switch(named: &Named, on: bool, output: &Output) -> Result<(), CliError> {
    let local = named.place.open().await?;
    let realm = local.realm(&named.realm).await?;
    local.engine.enable_user(&realm, &named.username, on, local.now).await?;
    local.settle().await;
    let word = if on { "on" } else { "off" };
    output.fields(&[("user", named.username.as_str()), ("state", word)])
}
