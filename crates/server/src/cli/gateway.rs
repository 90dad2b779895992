//! `grantor gateway`: a gateway without a database.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use clap::Args;
use grantor_gateway::Gateway;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::sync::{oneshot, watch};

use super::output::{CliError, Output};
use super::shown::secret_from;
use crate::app::Clock;
use crate::config::{self, Overrides};
use crate::edge::Reach;
use crate::gateway::issuers::Remote;
use crate::gateway::node::{self, Log, Subscription};
use crate::gateway::routes::File;
use crate::gateway::{self, Front};
use crate::listen::{self, Room, TlsSource};
use crate::metrics::Metrics;
use crate::outbound::Outbound;

/// Start a gateway without a database, in front of this or any issuer
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  grantor client add edge --realm master --gateway          at the server: prints the secret
  GRANTOR_CLIENT_SECRET=… grantor gateway --issuer https://id.example.org --client-id edge
      routes, keys and revocations come from the server's feed
  grantor gateway --issuer https://keycloak.example.org/realms/acme --routes routes.toml
      routes from a file, keys from any issuer")]
pub(crate) struct GatewayArgs {
    /// Base URL of a Grantor (with --client-id), or an issuer
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// Client of realm master that may read the feed
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// File that holds its secret [default: GRANTOR_CLIENT_SECRET, or asked for]
    #[arg(long, value_name = "FILE", requires = "client_id")]
    client_secret_file: Option<PathBuf>,
    /// File with the APIs, where there is no feed
    #[arg(long, value_name = "FILE", conflicts_with = "client_id", required_unless_present = "client_id")]
    routes: Option<PathBuf>,
    /// What this gateway is called [default: machine and port]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Configuration file [default: ./grantor.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where it listens
    #[arg(long, value_name = "ADDR:PORT")]
    gateway_listen: Option<String>,
    /// Where health and metrics are, or off
    #[arg(long, value_name = "ADDR:PORT")]
    ops_listen: Option<String>,
}

pub(crate) async fn run(args: GatewayArgs, output: &Output) -> Result<(), CliError> {
    let overrides = Overrides {
        gateway_listen: args.gateway_listen,
        ops_listen: args.ops_listen,
        listen: Some("off".to_owned()),
        ..Overrides::default()
    };
    let config = config::load(args.config.as_deref(), config::process_environment(), &overrides);
    let config = config.map_err(|error| CliError::new(error.to_string()))?;
    let Some(address) = config.server.gateway_listen.address() else {
        return Err(CliError::new("the gateway's listener is off").with_hint("--gateway-listen ADDR:PORT"));
    };
    let _writing = super::serve::logging(&config)?;
    let told = |error: String| CliError::new(error);
    let listener = listen::bind(address, "--gateway-listen").await.map_err(|error| CliError::new(error.to_string()))?;
    let metrics = Arc::new(Metrics::default());
    let timeout = Duration::from_millis(config.outbound.timeout_ms);
    let outbound = Outbound::new(config.outbound.allow_private.clone(), timeout).map_err(told)?;
    let remote = Remote::without_store(Arc::new(outbound));
    let log = Arc::new(Log::new(metrics.clone(), args.client_id.is_some(), remote));
    let seed = grantor_flows::entropy::Entropy::new().bytes().map(u64::from_ne_bytes).unwrap_or_default();
    let gateway = Arc::new(Gateway::new(gateway::settings(&config).map_err(told)?, log.clone(), seed).map_err(told)?);
    let (ready, is_ready) = watch::channel(false);
    if let Some(id) = &args.client_id {
        let secret = secret_from(
            args.client_secret_file.as_ref(),
            "GRANTOR_CLIENT_SECRET",
            "Client secret: ",
            "--client-secret-file FILE",
        )?;
        let name = args.name.unwrap_or_else(|| gateway::name(address));
        let from = Arc::new(Subscription::new(&args.issuer, name, id, &secret).map_err(told)?);
        let (began, has_begun) = oneshot::channel();
        tokio::spawn(node::follow(gateway.clone(), log, from, began));
        tokio::spawn(async move {
            if has_begun.await.is_ok() {
                let _ = ready.send(true);
            }
        });
    } else {
        let file = File::new(args.routes);
        // A mistake in the file is told before anything listens.
        let table = node::written(&gateway, file.apis().map_err(told)?, &log.remote, &args.issuer).map_err(told)?;
        gateway.replace(table);
        tokio::spawn(node::watch(gateway.clone(), file, log, args.issuer.clone()));
        let _ = ready.send(true);
    }
    let tls = config.tls_files().map(|(certificate, key)| TlsSource::load(certificate, key)).transpose();
    let tls = tls.map_err(|error| CliError::new(error.to_string()))?;
    let (stop, stopping) = watch::channel(false);
    let room = Room::of_process();
    let mut running = tokio::task::JoinSet::new();
    let front = Front::new(gateway.clone(), Arc::new(Reach::new(&config)), Arc::new(Clock::default()));
    running.spawn(listen::serve("gateway", listener, tls, front, room.strangers, stopping.clone()));
    if let Some(address) = config.server.ops_listen.address() {
        let ops = listen::bind(address, "--ops-listen").await.map_err(|error| CliError::new(error.to_string()))?;
        running.spawn(listen::serve(
            "ops",
            ops,
            None,
            operations(metrics, gateway.clone(), is_ready),
            room.operators,
            stopping.clone(),
        ));
    }
    output.line(format!("Grantor {} gateway on {address}, in front of {}", env!("CARGO_PKG_VERSION"), args.issuer))?;
    let looking = tokio::spawn(health(gateway));
    super::serve::stop_signal().await;
    tracing::info!("stopping: no new connections, what runs is finished");
    looking.abort();
    let _ = stop.send(true);
    while running.join_next().await.is_some() {}
    Ok(())
}

async fn health(gateway: Arc<Gateway>) {
    loop {
        gateway.look(Duration::from_secs(2)).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// Health and metrics: ready once routes and keys are known.
fn operations(metrics: Arc<Metrics>, gateway: Arc<Gateway>, is_ready: watch::Receiver<bool>) -> Router {
    let ready = move || {
        let up = *is_ready.borrow();
        let status = if up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = serde_json::json!({"status": if up { "UP" } else { "DOWN" }, "checks": []});
        async move { (status, [(CONTENT_TYPE, "application/json")], body.to_string()) }
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let counted = move || {
        metrics.applied(gateway.revoked().position);
        let text = metrics.calls_text();
        async move { ([(CONTENT_TYPE, kind)], text) }
    };
    Router::new()
        .route("/health", any(ready.clone()))
        .route("/health/ready", any(ready))
        .route("/health/live", any(|| async { "" }))
        .route("/metrics", any(counted))
}
