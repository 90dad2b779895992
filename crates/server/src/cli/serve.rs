//! `grantor serve`: starts everything, says where it is, and stops it in order.

mod banner;
mod first;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use grantor_flows::admin::bootstrap::{DEMO, MASTER};
use grantor_model::Instant;
use grantor_store::revocations::GatewayRow;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::output::CliError;
use crate::app::{App, Clock, Shared};
use crate::config::{self, Config, LogFormat, Overrides};
use crate::edge::Edge;
use crate::listen::{self, Room, TlsSource};
use crate::log::{self, Writing};
use crate::{gateway, ops, start};

/// How often the server looks whether something was changed by others.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// How often the uses of client secrets are written to the store.
const COUNT: Duration = Duration::from_secs(5);

/// How often refusals are written to the store.
const FLUSH: Duration = Duration::from_millis(200);

/// Seconds after which the gateway forgets revocations whose tokens have expired.
const FORGET: i64 = 300;

/// How often the health of upstreams is looked at, and how long one may take to say that it is well.
const HEALTH: Duration = Duration::from_secs(5);
const WELL_WITHIN: Duration = Duration::from_secs(2);

/// How often what has passed is swept away.
const SWEEP: Duration = Duration::from_secs(60);

/// Start the server
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  grantor serve
  grantor serve --data /var/lib/grantor --public-url https://id.example.org --listen 0.0.0.0:8080
  grantor serve --import-realm ./realms --data /var/lib/grantor
  grantor serve --database postgres://grantor@db.internal/grantor --public-url https://id.example.org")]
pub(crate) struct ServeArgs {
    /// Configuration file [default: ./grantor.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of realm files to import before serving; realms that are there already are left as they are
    #[arg(long, value_name = "DIR")]
    import_realm: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

/// Runs the server until it is told to stop.
pub(crate) async fn run(args: ServeArgs) -> Result<(), CliError> {
    let config = config::load(args.config.as_deref(), config::process_environment(), &args.overrides);
    let config = config.map_err(|error| CliError::new(error.to_string()))?;
    config.check_serving().map_err(|error| CliError::new(error.to_string()))?;
    let _writing = logging(&config)?;
    let listeners = Listeners::bind(&config).await?;
    let engine = start::engine(&config).await?;
    let now = start::now();
    if let Some(folder) = &args.import_realm {
        first::realms(&engine, folder, now).await?;
    }
    let first = engine.first_start(now).await?;
    let administrator = first::administrator(&engine, now).await?;
    let app = App::new(engine, &config, Clock::default()).map_err(CliError::new)?;
    app.engine.refresh_realms(now).await.map_err(|error| CliError::new(error.to_string()))?;
    gateway::refresh(&app, now).await.map_err(|error| CliError::new(error.to_string()))?;
    let apis = app.gateway.gateway.table().len();
    banner::print(&config, &listeners.issuer_url(&config), first.as_ref(), administrator.as_deref(), apis);
    if first.is_some() {
        tokio::spawn(warm_up(app.clone(), now));
    }
    let (stop, stopping) = watch::channel(false);
    let mut running = JoinSet::new();
    listeners.serve(&app, &stopping, &mut running);
    tokio::spawn(look(app.clone(), config.server.gateway_listen.address().map(gateway::name)));
    let chores = tokio::spawn(chores(app.clone(), stopping, config.decisions.keep_hours));
    stop_signal().await;
    tracing::info!("stopping: no new connections, what runs is finished");
    let _ = stop.send(true);
    while running.join_next().await.is_some() {}
    let _ = chores.await;
    Ok(())
}

/// Makes the keys of the first realms while nobody asks yet.
async fn warm_up(app: Shared, now: Instant) {
    for name in [DEMO, MASTER] {
        let made = match app.engine.realm(name, now).await {
            Ok(Some(realm)) => app.engine.with_standard_keys(&realm, false, now).await.map(drop),
            other => other.map(drop),
        };
        if let Err(error) = made {
            tracing::warn!(realm = name, %error, "keys could not be made ahead of time");
        }
    }
}

/// The sockets, opened before anything else, so that a taken port is told at once.
struct Listeners {
    main: Option<TcpListener>,
    ops: Option<TcpListener>,
    gateway: Option<TcpListener>,
    tls: Option<TlsSource>,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, CliError> {
        let tls = config.tls_files().map(|(certificate, key)| TlsSource::load(certificate, key)).transpose();
        let mut listeners =
            Self { main: None, ops: None, gateway: None, tls: tls.map_err(|error| CliError::new(error.to_string()))? };
        for (flag, address) in config.listeners() {
            let bound = listen::bind(address, flag).await.map_err(|error| CliError::new(error.to_string()))?;
            match flag {
                "--ops-listen" => listeners.ops = Some(bound),
                "--gateway-listen" => listeners.gateway = Some(bound),
                _ => listeners.main = Some(bound),
            }
        }
        Ok(listeners)
    }

    /// Where the issuer is reached, as far as this machine can tell.
    fn issuer_url(&self, config: &Config) -> String {
        if let Some(url) = &config.server.public_url {
            return url.as_str().to_owned();
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let address = self.main.as_ref().and_then(|listener| listener.local_addr().ok());
        address.map_or_else(String::new, |address| format!("{scheme}://{address}"))
    }

    fn serve(self, app: &Shared, stopping: &watch::Receiver<bool>, running: &mut JoinSet<()>) {
        let room = Room::of_process();
        if let Some(listener) = self.main {
            running.spawn(listen::serve(
                "issuer",
                listener,
                self.tls.clone(),
                Edge::new(app.clone()),
                room.strangers,
                stopping.clone(),
            ));
        }
        if let Some(listener) = self.ops {
            running.spawn(listen::serve(
                "ops",
                listener,
                None,
                ops::router(app.clone()),
                room.operators,
                stopping.clone(),
            ));
        }
        if let Some(listener) = self.gateway {
            running.spawn(listen::serve(
                "gateway",
                listener,
                self.tls,
                gateway::Front::of(app),
                room.strangers,
                stopping.clone(),
            ));
        }
    }
}

/// Looks for changes as long as the server runs. Nothing else is done here: what was revoked must be seen in time.
async fn look(app: Shared, name: Option<String>) {
    let mut told = Told::default();
    let mut forgot = start::now();
    let mut look = every(LOOK);
    let mut was_lost = false;
    loop {
        look.tick().await;
        let now = start::now();
        let result = match app.engine.refresh_realms(now).await {
            Ok(()) => gateway::refresh(&app, now).await,
            lost => lost,
        };
        if result.is_ok() && forgot.plus_seconds(FORGET) <= now {
            forgot = now;
            if let Err(error) = gateway::forget(&app).await {
                tracing::warn!(%error, "revocations that have passed are kept");
            }
        }
        if let Some(name) = name.as_ref().filter(|_| result.is_ok()) {
            told.tell(&app, name, now).await;
        }
        if let Err(error) = &result
            && !was_lost
        {
            tracing::error!(%error, "the database is lost: nothing is granted until it is back");
        }
        if result.is_ok() && was_lost {
            tracing::info!("the database is back");
        }
        was_lost = result.is_err();
    }
}

/// What the database was told of this gateway.
#[derive(Default)]
struct Told {
    position: i64,
    at: Option<Instant>,
}

impl Told {
    /// Tells how far this gateway has come: at once when it has applied something, and now and then that it is there.
    async fn tell(&mut self, app: &App, name: &str, now: Instant) {
        const NOW_AND_THEN: i64 = 10;
        let position = app.gateway.gateway.revoked().position;
        let is_due = self.at.is_none_or(|at| at.plus_seconds(NOW_AND_THEN) <= now);
        if position == self.position && !is_due {
            return;
        }
        let row = GatewayRow { name: name.to_owned(), position, change: gateway::change(app), seen: now };
        match app.engine.store.note_gateway(&row).await {
            Ok(()) => *self = Self { position, at: Some(now) },
            Err(error) => tracing::warn!(%error, "the database could not be told what this gateway has applied"),
        }
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    interval
}

/// What else happens beside requests: writing refusals, sweeping.
async fn chores(app: Shared, mut stopping: watch::Receiver<bool>, keep_hours: u64) {
    let (mut flush, mut count, mut sweep) = (every(FLUSH), every(COUNT), every(SWEEP));
    let mut health = every(HEALTH);
    loop {
        tokio::select! {
            _ = stopping.changed() => break,
            _ = flush.tick() => flush_decisions(&app).await,
            _ = count.tick() => flush_counts(&app).await,
            _ = sweep.tick() => sweep_store(&app, start::now(), keep_hours).await,
            _ = health.tick() => drop(tokio::spawn(look_at_upstreams(app.clone()))),
        }
    }
    flush_decisions(&app).await;
    flush_counts(&app).await;
}

async fn flush_counts(app: &App) {
    if let Err(error) = app.engine.secret_uses.flush(&app.engine.store).await {
        tracing::warn!(%error, "uses of client secrets could not be kept");
    }
}

async fn flush_decisions(app: &App) {
    if let Err(error) = app.engine.decisions.flush(&app.engine.store).await {
        tracing::warn!(%error, "refusals could not be kept");
    }
}

async fn look_at_upstreams(app: Shared) {
    app.gateway.gateway.look(WELL_WITHIN).await;
}

async fn sweep_store(app: &Shared, now: Instant, keep_hours: u64) {
    let hours = i64::try_from(keep_hours).unwrap_or(24);
    if let Err(error) = app.engine.store.sweep(now, now.plus_seconds(-3_600 * hours)).await {
        tracing::warn!(%error, "what has passed could not be swept away");
    }
}

#[cfg(unix)]
pub(super) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}

#[cfg(not(unix))]
pub(super) async fn stop_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

/// Begins to log; what is left is written when the guard goes.
pub(super) fn logging(config: &Config) -> Result<Writing, CliError> {
    use tracing_subscriber::EnvFilter;
    let level = config.log.level.as_str();
    let filter = EnvFilter::try_from_env("GRANTOR_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let (lines, writing) =
        log::to(std::io::stderr()).map_err(|error| CliError::new(format!("logging cannot start: {error}")))?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(std::io::stderr().is_terminal()).with_writer(lines);
    // A logger that is set already belongs to a test.
    let _ = match config.log.format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => builder.try_init(),
    };
    Ok(writing)
}
