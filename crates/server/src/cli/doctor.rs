//! `grantor doctor`: looks at everything that a server needs, and says what is wrong, why, and what to do.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use grantor_flows::Engine;
use grantor_model::Instant;
use grantor_store::Statement;
use http::header::{DATE, HeaderMap};
use serde::Serialize;

use super::local::Where;
use super::output::{CliError, Output, printable};
use crate::config::Config;
use crate::outbound::Outbound;
use crate::{listen, start};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  grantor doctor
  grantor doctor --data /var/lib/grantor --json

The server may be running or not. Nothing is changed, but that tables of an older version are brought up to date, as
every command does. Exit code 1 when something is wrong that keeps a server from
working; what is only worth a look is marked, and does not count.")]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    place: Where,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Look,
    Wrong,
}

#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.0.push(Finding { what, state: State::Ok, found: found.into(), fix: None });
    }

    fn look(&mut self, what: &'static str, found: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Finding { what, state: State::Look, found: found.into(), fix: Some(fix.into()) });
    }

    fn wrong(&mut self, what: &'static str, found: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Finding { what, state: State::Wrong, found: found.into(), fix: Some(fix.into()) });
    }
}

pub(crate) async fn run(args: DoctorArgs, output: &Output) -> Result<(), CliError> {
    let mut findings = Findings::default();
    match args.place.config() {
        Err(error) => {
            let text = error.to_string();
            let mut lines = text.strip_prefix("error: ").unwrap_or(&text).lines().map(str::trim);
            let found = lines.next().unwrap_or_default().to_owned();
            let rest: Vec<&str> = lines.collect();
            let fix =
                if rest.is_empty() { "grantor config reference lists every key".to_owned() } else { rest.join("\n") };
            findings.wrong("configuration", found, fix);
        }
        Ok(config) => all(&config, &mut findings).await,
    }
    let wrong = findings.0.iter().filter(|finding| finding.state == State::Wrong).count();
    output.show(&findings.0, || told(&findings.0))?;
    match wrong {
        0 => Ok(()),
        1 => Err(CliError::new("one thing is wrong")),
        count => Err(CliError::new(format!("{count} things are wrong"))),
    }
}

fn told(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or_default();
    let mut lines = Vec::new();
    for finding in findings {
        let mark = match finding.state {
            State::Ok => "ok   ",
            State::Look => "look ",
            State::Wrong => "WRONG",
        };
        lines.push(format!("{mark}  {:width$}  {}", finding.what, printable(&finding.found)));
        for line in finding.fix.iter().flat_map(|fix| fix.lines()) {
            lines.push(format!("{:width$}         → {}", "", printable(line)));
        }
    }
    lines.join("\n")
}

async fn all(config: &Config, findings: &mut Findings) {
    configuration(config, findings);
    let now = start::now();
    clock(now, findings);
    let there = files(config, findings);
    if there {
        match start::engine(config).await {
            Err(error) => {
                let fix = error.hint.unwrap_or_else(|| "is it running, may this program use it, is it whole? grantor restore puts a backup into an empty place".to_owned());
                findings.wrong("database", error.problem, fix);
            }
            Ok(engine) => {
                database(config, &engine, now, findings).await;
                realms(&engine, now, findings).await;
            }
        }
    }
    let runs = ports(config, findings).await;
    issuer(config, runs, now, findings).await;
}

fn configuration(config: &Config, findings: &mut Findings) {
    let from = config.file().map_or("defaults, environment".to_owned(), |file| file.display().to_string());
    match config.check_serving() {
        Ok(()) => findings.ok("configuration", from),
        Err(error) => {
            let text = error.to_string();
            let (found, fix) = text.split_once('\n').unwrap_or((&text, "set server.public_url"));
            findings.wrong("configuration", found, fix.trim());
        }
    }
    if let Some((certificate, key)) = config.tls_files() {
        match listen::TlsSource::load(certificate, key) {
            Ok(_) => findings.ok("certificate", certificate.display().to_string()),
            Err(error) => findings.wrong("certificate", error.to_string(), "look at tls_certificate and tls_key"),
        }
        private("key of the certificate", key, findings);
    }
}

/// Before this moment nobody ran this program.
const BORN: i64 = 1_764_000_000;

fn clock(now: Instant, findings: &mut Findings) {
    if now.seconds() < BORN {
        findings.wrong(
            "clock",
            format!("it says {}", super::output::utc(now.seconds())),
            "set the clock: every token would be of the past (timedatectl set-ntp true)",
        );
    }
}

/// The data folder and the master key. Whether there is a store to look at.
fn files(config: &Config, findings: &mut Findings) -> bool {
    let folder = &config.server.data;
    let shown = folder.display();
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            findings.look("data folder", format!("{shown} is not there"), "the first start makes it (grantor serve)");
            return config.database.url.is_some() && config.master_key_file().exists();
        }
        Err(error) => {
            let fix = format!("who runs the server must own it: chown -R $(id -un) {shown}");
            findings.wrong("data folder", format!("{shown}: {error}"), fix);
            return false;
        }
        Ok(about) if !about.is_dir() => {
            findings.wrong("data folder", format!("{shown} is a file"), "name a folder with --data DIR");
            return false;
        }
        Ok(_) => {}
    }
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    match std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => findings.ok("data folder", shown.to_string()),
        Err(error) => {
            let fix = format!("free space, or let this user write: chown -R $(id -un) {shown}");
            findings.wrong("data folder", format!("{shown} cannot be written: {error}"), fix);
        }
    }
    let key = config.master_key_file();
    let database = folder.join("grantor.db");
    if !key.exists() {
        if config.database.url.is_none() && !database.exists() {
            findings.look("master key", "none yet", "the first start makes it (grantor serve)");
        } else {
            let fix = "put the key of this database back: without it no secret in it can be opened";
            findings.wrong("master key", format!("{} is missing", key.display()), fix);
        }
        return false;
    }
    private("master key", &key, findings);
    if config.database.url.is_none() {
        private("database file", &database, findings);
    }
    true
}

/// A file that only its owner may read.
fn private(what: &'static str, path: &Path, findings: &mut Findings) {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(about) if about.permissions().mode() & 0o077 != 0 => {
            let mode = about.permissions().mode() & 0o777;
            findings.look(what, format!("{shown} has mode {mode:o}: others can read it"), format!("chmod 600 {shown}"));
        }
        Ok(_) => findings.ok(what, shown.to_string()),
        Err(error) => findings.wrong(what, format!("{shown}: {error}"), "is the path right?"),
    }
}

async fn database(config: &Config, engine: &Engine, now: Instant, findings: &mut Findings) {
    let url = config.database_url().to_string();
    let began = std::time::Instant::now();
    match engine.store.database().check().await {
        Ok(()) => findings.ok("database", format!("{url} is read and written, {} ms", began.elapsed().as_millis())),
        Err(error) => {
            findings.wrong("database", format!("{url}: {error}"), "is it there, and may this program write to it?");
            return;
        }
    }
    let database = engine.store.database();
    if database.kind() == "sqlite" {
        let checked = database.read(Statement::new("PRAGMA quick_check(1)", [])).await;
        let said = checked.ok().and_then(|rows| rows.first().and_then(|row| row.text(0).ok().map(str::to_owned)));
        if said.as_deref() != Some("ok") {
            let found = said.unwrap_or_else(|| "it cannot be checked".to_owned());
            findings.wrong(
                "database",
                format!("damaged: {found}"),
                "stop the server, and restore a backup (grantor restore)",
            );
        }
        return;
    }
    let asked = Statement::new("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS BIGINT)", []);
    if let Ok(rows) = database.read(asked).await
        && let Some(there) = rows.first().and_then(|row| row.int(0).ok())
    {
        apart("database's clock", there - now.seconds(), findings);
    }
}

/// Clocks that are apart make tokens that are of the future elsewhere.
fn apart(what: &'static str, seconds: i64, findings: &mut Findings) {
    match seconds.abs() {
        0..=2 => findings.ok(what, "the same as ours"),
        _ => findings.look(
            what,
            format!("{} s {} ours", seconds.abs(), if seconds > 0 { "ahead of" } else { "behind" }),
            "let both follow a time server (timedatectl set-ntp true)",
        ),
    }
}

async fn realms(engine: &Engine, now: Instant, findings: &mut Findings) {
    let names = match engine.store.realm_versions().await {
        Ok(names) => names,
        Err(error) => return findings.wrong("realms", error.to_string(), "look at the database"),
    };
    let mut opened = 0;
    for (name, _) in &names {
        match engine.required_realm(name, now).await {
            Ok(realm) => {
                opened += 1;
                let wanted = &realm.settings.default_signature_algorithm;
                let algorithm = wanted.as_deref().and_then(grantor_model::jose::Algorithm::parse);
                let any = realm.keys.published(now).next().is_some();
                if any && algorithm.is_some_and(|algorithm| realm.keys.signer(algorithm).is_none()) {
                    findings.look(
                        "keys",
                        format!("realm {name} wants {} and has no active key for it", wanted.as_deref().unwrap_or("?")),
                        format!("grantor key rotate --realm {name}"),
                    );
                }
            }
            Err(error) => {
                let fix = error.hint.unwrap_or_else(|| "is the master key the one of this database?".to_owned());
                findings.wrong("realms", format!("{name}: {}", error.problem), fix);
            }
        }
    }
    if opened == names.len() {
        findings.ok("realms", format!("{opened}, each opens with the master key"));
    }
    match engine.has_administrator(now).await {
        Ok(true) => findings.ok("administrator", "there is one"),
        Ok(false) => findings.look("administrator", "nobody can administer this server", "grantor admin recover"),
        Err(error) => findings.wrong("administrator", error.problem, "look at realm master"),
    }
}

/// Whether each listener could begin, or is a running Grantor. Whether one runs.
async fn ports(config: &Config, findings: &mut Findings) -> bool {
    let mut runs = false;
    for (flag, address) in config.listeners() {
        match listen::bind(address, flag).await {
            Ok(_) => findings.ok("port", format!("{address} is free for {flag}")),
            Err(error) => match is_ours(config, address).await {
                true => {
                    runs = true;
                    findings.ok("port", format!("{address}: a Grantor listens there ({flag})"));
                }
                false => {
                    let text = error.to_string();
                    let (found, fix) = text.split_once(": ").unwrap_or((&text, "choose another"));
                    findings.wrong("port", found, fix);
                }
            },
        }
    }
    runs
}

async fn is_ours(config: &Config, address: std::net::SocketAddr) -> bool {
    let Ok(outbound) = Outbound::unrestricted(Duration::from_millis(500)) else { return false };
    let scheme = if config.tls_files().is_some() { "https" } else { "http" };
    for (path, said) in [("/health/live", "\"status\":"), ("/realms/master", "\"realm\":\"master\"")] {
        let body = outbound.get(&format!("{scheme}://{address}{path}")).await.unwrap_or_default();
        if String::from_utf8_lossy(&body).replace(' ', "").contains(said) {
            return true;
        }
    }
    // The gateway refuses what it does not know, and numbers that.
    let url = format!("{scheme}://{address}/");
    let answer = outbound.post(&url, HeaderMap::new(), bytes::Bytes::new()).await;
    answer.is_ok_and(|answer| answer.headers.contains_key("grantor-decision"))
}

/// Whether clients reach the issuer under its URL, and whether its clock is ours.
async fn issuer(config: &Config, runs: bool, now: Instant, findings: &mut Findings) {
    let base = config.issuer_base();
    let url = format!("{base}/realms/master");
    if base.is_empty() {
        return;
    }
    let outbound = match Outbound::unrestricted(Duration::from_secs(5)) {
        Ok(outbound) => outbound,
        Err(error) => return findings.wrong("issuer", error, "are there root certificates on this machine?"),
    };
    match outbound.discover(&url).await {
        Ok(_) => findings.ok("issuer", format!("{url} is reached, and says so itself")),
        Err(error) if runs || config.server.public_url.is_some() => {
            let fix = "the proxy in front must pass Host and the path on, and public_url must be what clients use";
            let found = format!("{url} is not reached from here: {error}");
            if runs {
                findings.wrong("issuer", found, fix)
            } else {
                findings.look("issuer", found, "start the server")
            }
            return;
        }
        Err(_) => return findings.look("issuer", "the server does not run", "grantor serve"),
    }
    let url = format!("{url}/.well-known/openid-configuration");
    let answer = outbound.post(&url, HeaderMap::new(), bytes::Bytes::new()).await;
    let date = answer.ok().and_then(|answer| answer.headers.get(DATE)?.to_str().ok().map(str::to_owned));
    if let Some(there) = date.as_deref().and_then(http_date) {
        let passed = start::now().seconds() - now.seconds();
        apart("issuer's clock", there - now.seconds() - passed, findings);
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7) in seconds since 1970.
fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split(' ').skip(1);
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    let month = time::Month::try_from(u8::try_from(month + 1).ok()?).ok()?;
    let year = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<u8>);
    let mut next = || clock.next()?.ok();
    let (hour, minute, second) = (next()?, next()?, next()?);
    let date = time::Date::from_calendar_date(year, month, day).ok()?;
    Some(date.with_hms(hour, minute, second.min(59)).ok()?.assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::http_date;

    #[test]
    fn dates_of_answers_are_read() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for bad in ["", "Sun, 06 Nov 1994", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, x Nov 1994 08:49:37 GMT"] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
    }
}
