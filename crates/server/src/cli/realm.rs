//! `grantor realm`: add, list, import, export, take-over.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use grantor_flows::admin::import::{IfExists, Report};
use grantor_model::Instant;
use serde_json::json;

use super::bar::Bar;
use super::local::Where;
use super::output::{CliError, Output};
use super::realm_files::{self, Users};

#[derive(Debug, Subcommand)]
pub(crate) enum RealmCommand {
    /// Add a realm with Keycloak's built-in scopes, clients and roles
    #[command(after_help = "Example:\n  grantor realm add acme")]
    Add {
        /// The realm's name, as it stands in URLs
        name: String,
        #[command(flatten)]
        place: Where,
    },
    /// List the realms
    #[command(after_help = "Example:\n  grantor realm list --json")]
    List {
        #[command(flatten)]
        place: Where,
    },
    /// Import realm files that Keycloak exported
    #[command(after_help = "Examples:
  grantor realm import acme-realm.json
  grantor realm import export/acme-realm.json export/acme-users-*.json
  grantor realm import export/ --dry-run
  grantor realm import *.json --if-exists overwrite

Files of one realm (acme-realm.json, acme-users-0.json, …) are read together. Password hashes, client secrets and
signing keys come along: nobody needs a new password, and access tokens given out before verify until they expire. Sessions
do not come along: refresh tokens of before are refused.

${NAME}, ${NAME:default} and ${FIRST,SECOND} in a file are replaced from the environment, as Keycloak does; a name that
is not there stays as it is written.

Exit code 0: all is imported. 2: imported, but something that guarded access is not acted on here; the report
names it. 1: nothing was changed, or with more than 2,000 users an import was cut off, and the next try begins anew;
of a realm that is overwritten the old state is gone then: make a backup first (grantor backup).")]
    Import {
        /// Files, or folders with files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// What to do with a realm that is there already
        #[arg(long, value_enum, default_value_t = Policy::Fail)]
        if_exists: Policy,
        /// Check the files and report, and change nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        place: Where,
    },
    /// Take refresh tokens that an older server of the realm gave out, until a day
    #[command(after_help = "Examples:
  grantor realm take-over acme --until 2026-12-31
  grantor realm take-over acme --off

No export holds sessions. With this, who holds a refresh or offline token of before goes on without a login: of all
the tokens that a client had of one session one counts, once, and a new session begins with it. Signature, issuer, audience, client, end, not-before, user and client are
checked. What cannot be told is whether a token was spent, or its session was ended, before the move: somebody who
copied such a token can use it until the day. Log everybody out at the old server before its export to rule that out.

Tokens with a sub for one client alone (pairwise), and lightweight ones without a sub, do not say whose they are, and
are refused.")]
    TakeOver {
        /// The realm
        realm: String,
        /// The last day, in UTC
        #[arg(long, value_name = "YYYY-MM-DD", required_unless_present = "off")]
        until: Option<String>,
        /// Take none from now on
        #[arg(long, conflicts_with = "until")]
        off: bool,
        #[command(flatten)]
        place: Where,
    },
    /// Write a realm as files that Keycloak 26 imports
    #[command(after_help = "Examples:
  grantor realm export acme --dir export
  grantor realm export acme --dir export --users different-files --users-per-file 500
  grantor realm export acme --dir to-show --partial

The server may go on running: the files are of one moment. They hold every password hash, secret and signing key, so
only their owner may read them; --partial masks secrets and leaves the people out.

Keycloak reads them with `kc.sh import --dir export`, Grantor with `grantor realm import export`.")]
    Export {
        /// The realm
        realm: String,
        /// Folder for the files; made when it is not there
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
        /// Where users are written
        #[arg(long, value_enum, default_value_t = UsersIn::RealmFile)]
        users: UsersIn,
        /// Users in a file, with --users different-files
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        users_per_file: u32,
        /// Mask secrets and write no users but service accounts, as the export of Keycloak's console does
        #[arg(long, conflicts_with = "users")]
        partial: bool,
        #[command(flatten)]
        place: Where,
    },
}

/// Where users are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum UsersIn {
    /// In the realm's file
    #[value(alias = "realm_file")]
    RealmFile,
    /// In one file beside it
    #[value(alias = "same_file")]
    SameFile,
    /// In files beside it, with --users-per-file in each
    #[value(alias = "different_files")]
    DifferentFiles,
    /// Nowhere
    Skip,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Policy {
    /// Refuse the file
    Fail,
    /// Leave the realm as it is
    Skip,
    /// Replace the realm and all that is in it
    Overwrite,
}

impl From<Policy> for IfExists {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Fail => Self::Fail,
            Policy::Skip => Self::Skip,
            Policy::Overwrite => Self::Overwrite,
        }
    }
}

pub(crate) async fn run(command: RealmCommand, output: &Output) -> Result<(), CliError> {
    match command {
        RealmCommand::Add { name, place } => {
            let local = place.open_or_make().await?;
            let report = local.engine.add_realm(&name, local.now).await?;
            local.settle().await;
            output.show(&report, || format!("added realm {name}"))
        }
        RealmCommand::List { place } => {
            let local = place.open().await?;
            let mut rows = Vec::new();
            for (name, _) in local.engine.store.realm_versions().await? {
                let realm = local.realm(&name).await?;
                let state = if realm.settings.enabled { "on" } else { "off" };
                rows.push(vec![name, state.to_owned(), realm.clients.len().to_string()]);
            }
            output.rows(&["realm", "state", "clients"], &rows)
        }
        RealmCommand::Import { files, if_exists, dry_run, place } => {
            import(&files, if_exists.into(), dry_run, &place, output).await
        }
        RealmCommand::TakeOver { realm, until, off: _, place } => {
            let until = until.as_deref().map(end_of_day).transpose()?;
            let local = place.open().await?;
            local.engine.take_over_tokens(&realm, until, local.now).await?;
            local.settle().await;
            let shown = until.map_or("none".to_owned(), |until| format!("until {}", output.moment(until)));
            output.fields(&[("realm", realm.as_str()), ("refresh tokens of before", shown.as_str())])
        }
        RealmCommand::Export { realm, dir, users, users_per_file, partial, place } => {
            let layout = match users {
                UsersIn::RealmFile => Users::RealmFile,
                UsersIn::SameFile => Users::SameFile,
                UsersIn::DifferentFiles => Users::DifferentFiles(users_per_file as usize),
                UsersIn::Skip => Users::Skip,
            };
            export(&realm, &dir, layout, partial, &place, output).await
        }
    }
}

async fn import(
    files: &[PathBuf],
    if_exists: IfExists,
    dry_run: bool,
    place: &Where,
    output: &Output,
) -> Result<(), CliError> {
    let realms = realm_files::found(files)?;
    let local = place.open_or_make().await?;
    let (mut reports, count) = (Vec::new(), realms.len());
    for (position, realm) in realms.into_iter().enumerate() {
        output.progress(&format!("[{}/{count}] {}", position + 1, realm.name));
        let (mut bar, mut checking) = (Bar::new(output), true);
        let report = realm.import(&local.engine, if_exists, dry_run, local.now, |progress| {
            if checking && !progress.checking {
                bar.restart();
            }
            checking = progress.checking;
            let doing = if checking { "checked" } else { "imported" };
            let what = format!("{}: {} of {} users {doing}", realm.name, progress.users, progress.of);
            bar.at(progress.done, &what);
        });
        let report = report.await?;
        drop(bar);
        if !output.is_json() {
            output.line(told(&report, dry_run))?;
        }
        reports.push(report);
    }
    if !dry_run {
        local.settle().await;
    }
    if output.is_json() {
        output.json(&reports)?;
    }
    let unguarded: Vec<&str> =
        reports.iter().filter(|report| !report.guards.is_empty()).map(|report| report.realm.as_str()).collect();
    if unguarded.is_empty() {
        return Ok(());
    }
    let text = format!("something that guarded access is not acted on here, in {}", unguarded.join(", "));
    let hint = if dry_run { "the report names it" } else { "the report names it; the rest was imported" };
    Err(CliError::new(text).with_hint(hint).with_code(CliError::UNGUARDED))
}

async fn export(
    realm: &str,
    dir: &Path,
    layout: Users,
    partial: bool,
    place: &Where,
    output: &Output,
) -> Result<(), CliError> {
    let local = place.open().await?;
    let exporting = local.engine.export(realm, partial, local.now).await?;
    let of = exporting.count().await?;
    let mut bar = Bar::new(output);
    let written = realm_files::write(&exporting, realm, dir, layout, |users| {
        #[expect(clippy::cast_precision_loss, reason = "a bar is not that long")]
        let done = users as f64 / of.max(1) as f64;
        bar.at(done, &format!("{realm}: {users} of {of} users written"));
    });
    let written = written.await?;
    drop(bar);
    let files: Vec<String> = written.files.iter().map(|file| file.display().to_string()).collect();
    output.show(&json!({"realm": realm, "users": written.users, "files": files}), || {
        let first = files.first().map(String::as_str).unwrap_or_default();
        let others = match files.len() {
            0 | 1 => String::new(),
            count => format!(" and {} with users", count - 1),
        };
        let kind = if partial { "without people and secrets" } else { "with every secret in it: keep it safe" };
        format!("{realm}: {} users, in {first}{others}, {kind}", written.users)
    })
}

/// The last second of a day in UTC.
fn end_of_day(text: &str) -> Result<Instant, CliError> {
    let bad =
        || CliError::new(format!("{text:?} is no day")).with_hint("such as 2026-12-31").with_code(CliError::USAGE);
    let mut parts = text.split('-').map(str::parse::<i32>);
    let mut next = || parts.next().and_then(Result::ok).ok_or_else(bad);
    let (year, month, day) = (next()?, next()?, next()?);
    let month = u8::try_from(month).ok().and_then(|month| time::Month::try_from(month).ok()).ok_or_else(bad)?;
    let day = u8::try_from(day).map_err(|_| bad())?;
    let date = time::Date::from_calendar_date(year, month, day).map_err(|_| bad())?;
    Ok(Instant::from_seconds(date.midnight().assume_utc().unix_timestamp() + 86_399))
}

/// The report for people.
fn told(report: &Report, dry_run: bool) -> String {
    if report.skipped {
        return format!("{}: there already, left as it is", report.realm);
    }
    let mut text = format!("{}{}: ", report.realm, if dry_run { " (dry run, nothing was changed)" } else { "" });
    let counts = [
        (report.clients, "clients"),
        (report.client_scopes, "client scopes"),
        (report.roles, "roles"),
        (report.groups, "groups"),
        (report.users, "users"),
        (report.keys, "keys"),
        (report.identity_providers, "identity providers"),
    ];
    let counts: Vec<String> = counts.iter().map(|(count, what)| format!("{count} {what}")).collect();
    text.push_str(&counts.join(", "));
    if let Some(version) = &report.migrated_from {
        text.push_str(&format!("\n  brought up to date from Keycloak {version}"));
    }
    let lists =
        [("guards access, not acted on", &report.guards), ("differs", &report.differs), ("note", &report.notes)];
    for (what, lines) in lists {
        lines.iter().for_each(|line| text.push_str(&format!("\n  {what}: {line}")));
    }
    if !report.kept.is_empty() {
        text.push_str(&format!("\n  kept, not acted on yet (--json names each): {}", topics(&report.kept).join(", ")));
    }
    text
}

/// What members are about, where a realm has many of one kind.
fn topics(kept: &[String]) -> Vec<&str> {
    let topic = |name: &'_ str| match name {
        name if name.starts_with("webAuthnPolicy") => Some("WebAuthn policies"),
        name if name.ends_with("Flow") || name.starts_with("authenticat") || name == "requiredActions" => {
            Some("login flows")
        }
        name if name.contains("vents") || name == "enabledEventTypes" => Some("events"),
        name if name.starts_with("otp") => Some("settings of one-time codes for apps"),
        name if name.starts_with("accessCode")
            || name.starts_with("actionToken")
            || name.starts_with("oauth2Device") =>
        {
            Some("lifetimes of codes and links")
        }
        name if name.ends_with("Locale") || name.ends_with("Locales") || name.starts_with("internationalization") => {
            Some("languages")
        }
        name if name.ends_with("RememberMe") || name == "rememberMe" => Some("remember me"),
        name if name.starts_with("clientP") => Some("client policies"),
        name if name.contains("ClientRegistrationPolicy") => Some("client registration policies"),
        name if name.ends_with("Theme") => Some("themes"),
        _ => None,
    };
    let mut topics: Vec<&str> = Vec::new();
    for name in kept {
        let said = topic(name).unwrap_or(name);
        if !topics.contains(&said) {
            topics.push(said);
        }
    }
    topics
}
