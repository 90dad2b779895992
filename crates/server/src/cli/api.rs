//! `grantor api`: what the gateway stands in front of.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use grantor_gateway::{Ask, table::Api};
use grantor_model::api::{ApiDocument, RuleDocument};
use grantor_model::decision::{Check, Outcome};
use grantor_model::{Trail, openapi};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::local::{Local, Where};
use super::output::{CliError, Output};
use crate::app::{App, Clock, Shared};
use crate::gateway;

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The name of the API
    name: String,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The name of the API, and its audience unless --audience says otherwise
    name: String,
    /// The realm whose tokens count
    #[arg(long, value_name = "NAME")]
    realm: String,
    /// OpenAPI 3 document (YAML or JSON) whose security becomes the rules
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
    /// Where the API runs; may be given several times, then they take turns
    #[arg(long, value_name = "URL", required = true)]
    upstream: Vec<String>,
    /// Name in the Host header; may be given several times [default: any]
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Path below which it is reached [default: the path of the first server of the OpenAPI document, or /]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Leave that path out towards the upstream
    #[arg(long)]
    strip_path: bool,
    /// What `aud` of tokens must hold [default: the name]
    #[arg(long, value_name = "AUD")]
    audience: Option<String>,
    /// How the upstream gets the token: authorization, x-access-token or none [default: authorization]
    #[arg(long, value_name = "HOW")]
    pass_token: Option<String>,
    /// Give the upstream a signed JWT with the caller's identity, in X-Auth-JWT ([gateway] identity_key)
    #[arg(long)]
    identity_jwt: bool,
    /// While nobody tells of revocations: accept, accept-short, introspect or refuse [default: accept-short]
    #[arg(long, value_name = "HOW")]
    when_stale: Option<String>,
    /// Path that answers 2xx when an upstream is well
    #[arg(long, value_name = "PATH")]
    health: Option<String>,
    /// Rule, before those of the OpenAPI document; may be given several times
    #[arg(long, value_name = "RULE")]
    rule: Vec<String>,
    /// Replace the API of that name
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Method and path, such as 'GET /orders/7'
    request: String,
    /// File with an access token; - is standard input [default: none]
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// Name in the Host header [default: the first of --api, or of the only API]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// The API that is meant, for its host
    #[arg(long, value_name = "NAME")]
    api: Option<String>,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApiCommand {
    /// Put the gateway in front of an API
    #[command(after_help = "Examples:
  grantor api add orders --realm acme --openapi orders.yaml --upstream http://127.0.0.1:9001
  grantor api add tasks --realm acme --upstream http://127.0.0.1:9002 \\
      --rule 'GET /v1/tasks' --rule 'POST /v1/tasks/{id} scope=tasks:write role=clerk' --rule 'GET /health public'

A rule is: methods (GET or GET,POST or *), a path ({name} or * is one segment, ** the rest), and what is asked for:
public, deny, scope=S (all of them), role=R or client:role (one of them), client=C (one of them), claim:NAME=VALUE.
The first rule that fits decides; what none fits is refused.")]
    Add(Box<AddArgs>),
    /// Let a client call an API: its tokens carry the audience and these scopes
    #[command(after_help = "Example:
  grantor api allow orders --client shop --scope orders:read --scope orders:write")]
    Allow {
        #[command(flatten)]
        named: Named,
        /// The client
        #[arg(long, value_name = "ID")]
        client: String,
        /// Scope that its tokens carry; may be given several times
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<String>,
    },
    /// List the APIs
    List {
        #[command(flatten)]
        place: Where,
    },
    /// Show an API with its rules
    Show(Named),
    /// Take the gateway away from an API: calls to it are refused
    Remove(Named),
    /// Tell what would happen to a call, and why, without making it
    #[command(after_help = "Examples:
  grantor api check 'GET /orders/7' --api orders --token token.jwt
  grantor token … | grantor api check 'POST /orders' --token -")]
    Check(CheckArgs),
}

pub(crate) async fn run(command: ApiCommand, output: &Output) -> Result<(), CliError> {
    match command {
        ApiCommand::Add(args) => add(*args, output).await,
        ApiCommand::Allow { named, client, scope } => allow(&named, &client, &scope, output).await,
        ApiCommand::List { place } => list(&place, output).await,
        ApiCommand::Show(named) => {
            let local = named.place.open().await?;
            let (_, document) = local.engine.stored_api(&named.name).await?;
            let text = toml::to_string(&document).map_err(|error| CliError::new(error.to_string()))?;
            output.show(&document, || text.trim_end().to_owned())
        }
        ApiCommand::Remove(named) => {
            let local = named.place.open().await?;
            local.engine.remove_api(&named.name, local.now).await?;
            local.settle().await;
            output.fields(&[("API", named.name.as_str()), ("state", "removed")])
        }
        ApiCommand::Check(args) => {
            let token = args.token.as_deref().map(text_of).transpose()?;
            let token = token.as_deref().map(str::trim);
            check(&args.request, token, args.host.as_deref(), args.api.as_deref(), &args.place, output).await
        }
    }
}

/// A file's text; `-` is standard input.
pub(super) fn text_of(path: &Path) -> Result<String, CliError> {
    let read = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin().lock())
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|error| CliError::new(format!("{} cannot be read: {error}", path.display())))
}

/// The meaning of a flag's word; the default without one.
fn word<T: Default + DeserializeOwned>(given: Option<&str>, flag: &str, words: &str) -> Result<T, CliError> {
    let Some(given) = given else { return Ok(T::default()) };
    serde_json::from_value(json!(given)).map_err(|_| CliError::new(format!("{flag} {given}: {words}")))
}

/// An app on the local store, as far as judging calls needs one.
async fn app(place: &Where) -> Result<Shared, CliError> {
    let config = place.config()?;
    let Local { engine, now } = place.open().await?;
    let app = App::new(engine, &config, Clock::default())?;
    gateway::refresh(&app, now).await?;
    Ok(app)
}

async fn add(args: AddArgs, output: &Output) -> Result<(), CliError> {
    let mut read = openapi::OpenApi::default();
    if let Some(path) = &args.openapi {
        // YAML is a superset of JSON (YAML 1.2).
        let document: Value = serde_saphyr::from_str(&text_of(path)?)
            .map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
        read = openapi::read(&document).map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
    }
    let mut rules = args.rule.iter().map(|text| rule(text)).collect::<Result<Vec<_>, _>>()?;
    rules.append(&mut read.rules);
    if rules.is_empty() {
        return Err(CliError::new("no rule says who may call it: everything would be refused").with_hint(
            "name an OpenAPI document with --openapi, or rules: --rule 'GET /orders/{id} scope=orders:read'",
        ));
    }
    let pass_token = word(args.pass_token.as_deref(), "--pass-token", "authorization, x-access-token or none")?;
    let when_stale = word(args.when_stale.as_deref(), "--when-stale", "accept, accept-short, introspect or refuse")?;
    let document = ApiDocument {
        name: args.name.clone(),
        pass_token,
        identity_jwt: args.identity_jwt,
        when_stale,
        realm: None,
        audience: args.audience,
        hosts: args.host.iter().map(|host| host.to_ascii_lowercase()).collect(),
        path: args.path.unwrap_or(if read.path.is_empty() { "/".to_owned() } else { read.path }),
        strip_path: args.strip_path,
        upstreams: args.upstream,
        health: args.health,
        rules,
        ..ApiDocument::default()
    };
    let app = app(&args.place).await?;
    let now = (app.clock.0)();
    let realm = app.engine.required_realm(&args.realm, now).await?;
    // Compiled as the gateway would, beside those that are there, so that nothing is stored that it could not use.
    let known = ApiDocument { realm: Some(realm.name.clone()), ..document.clone() };
    compiled(&app, known, &args.name).await?;
    if args.replace && app.engine.store.api(&args.name).await?.is_some() {
        app.engine.replace_api(&realm, &document, now).await?;
    } else {
        app.engine.add_api(&realm, &document, &read.scopes, now).await?;
    }
    Local::settled().await;
    for note in &read.notes {
        output.note(note);
    }
    let scopes: Vec<&str> = read.scopes.keys().map(String::as_str).collect();
    output
        .note(format!("next: grantor api allow {0} --client CLIENT, so that its tokens carry the audience", args.name));
    output.fields(&[
        ("API", args.name.as_str()),
        ("audience", document.audience()),
        ("path", &document.path),
        ("rules", &document.rules.len().to_string()),
        ("scopes", &scopes.join(" ")),
    ])
}

/// Compiles an API together with the others.
async fn compiled(app: &Shared, document: ApiDocument, replaces: &str) -> Result<(), CliError> {
    let before = app.gateway.gateway.table().clone();
    let now = (app.clock.0)();
    let api = gateway::routes::compiled(app, document, &before, now).await?;
    let mut seen = std::collections::HashSet::new();
    let others = before.apis().filter(|one| one.name != replaces && seen.insert(one.name.clone())).cloned();
    let mut all: Vec<std::sync::Arc<Api>> = others.collect();
    all.push(std::sync::Arc::new(api));
    grantor_gateway::table::Table::of(all, 0, String::new())?;
    Ok(())
}

/// Reads a rule: methods, path, and what is asked for.
fn rule(text: &str) -> Result<RuleDocument, CliError> {
    let bad = |why: &str| {
        CliError::new(format!("rule {text:?}: {why}"))
            .with_hint("a rule is: METHODS PATH [public|deny] [scope=S] [role=R] [client=C] [claim:NAME=VALUE]")
    };
    let mut words = text.split_whitespace();
    let (Some(methods), Some(path)) = (words.next(), words.next()) else { return Err(bad("methods and a path")) };
    let mut rule = RuleDocument { path: path.to_owned(), ..RuleDocument::default() };
    if methods != "*" {
        rule.methods = methods.split(',').map(str::to_owned).collect();
    }
    for word in words {
        match word.split_once('=') {
            None if word == "public" => rule.public = true,
            None if word == "deny" => rule.deny = true,
            Some(("scope", value)) => rule.scopes.push(value.to_owned()),
            Some(("role", value)) => rule.roles.push(value.to_owned()),
            Some(("client", value)) => rule.clients.push(value.to_owned()),
            Some((name, value)) if name.starts_with("claim:") => {
                rule.claims.entry(name.trim_start_matches("claim:").to_owned()).or_default().push(value.to_owned());
            }
            _ => return Err(bad(&format!("{word:?} is not understood"))),
        }
    }
    Ok(rule)
}

async fn allow(named: &Named, client: &str, scopes: &[String], output: &Output) -> Result<(), CliError> {
    let local = named.place.open().await?;
    let (row, document) = local.engine.stored_api(&named.name).await?;
    let apis = local.engine.apis().await?;
    let realm = apis.into_iter().find(|api| api.document.name == row.name).map(|api| api.realm).unwrap_or_default();
    let realm = local.realm(&realm).await?;
    local.engine.allow_api(&realm, &document, client, scopes, local.now).await?;
    local.settle().await;
    output.fields(&[
        ("API", named.name.as_str()),
        ("client", client),
        ("audience", document.audience()),
        ("scopes", &scopes.join(" ")),
    ])
}

async fn list(place: &Where, output: &Output) -> Result<(), CliError> {
    let local = place.open().await?;
    let rows: Vec<Vec<String>> = local
        .engine
        .apis()
        .await?
        .into_iter()
        .map(|stored| {
            let document = stored.document;
            let hosts = if document.hosts.is_empty() { "any".to_owned() } else { document.hosts.join(" ") };
            let rules = document.rules.len().to_string();
            vec![document.name, stored.realm, hosts, document.path, document.upstreams.join(" "), rules]
        })
        .collect();
    output.rows(&["API", "realm", "hosts", "path", "upstreams", "rules"], &rows)
}

/// Judges a call without making it, and prints every check.
pub(super) async fn check(
    request: &str,
    token: Option<&str>,
    host: Option<&str>,
    api: Option<&str>,
    place: &Where,
    output: &Output,
) -> Result<(), CliError> {
    let wrong = || CliError::new(format!("{request:?} is not a request")).with_hint("such as 'GET /orders/7'");
    let (method, path) = request.trim().split_once(' ').ok_or_else(wrong)?;
    let method: Method = method.parse().map_err(|_| wrong())?;
    let path = path.trim().split('?').next().unwrap_or_default();
    let app = app(place).await?;
    let table = app.gateway.gateway.table().clone();
    let named = match api {
        Some(name) => Some(table.named(name).ok_or_else(|| CliError::new(format!("there is no API {name:?}")))?),
        None => table.apis().next(),
    };
    let first = named.and_then(|api| api.document.hosts.first()).map(|host| host.replace("*.", "any."));
    let host = host.map(str::to_owned).or(first).unwrap_or_else(|| "localhost".to_owned());
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        headers.insert(AUTHORIZATION, value.map_err(|_| CliError::new("the token cannot stand in a header"))?);
    }
    let address = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let ask = Ask { now: (app.clock.0)(), method: &method, host: &host, path, headers: &headers, address };
    let mut trail = Trail::new();
    let told = match app.gateway.gateway.decide(&ask, &mut trail).await {
        Ok(allowed) => {
            let checks = trail.so_far().to_vec();
            let upstream = allowed.api.document.upstreams.join(", ");
            let mut identity = HeaderMap::new();
            if let Some(known) = &allowed.known {
                known.identity.write(&mut identity);
            }
            let told: Vec<(String, String)> = identity
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect();
            Told { goes: true, answer: format!("goes to {} at {upstream}", allowed.api.name), checks, told }
        }
        Err(denied) => {
            let error = denied.refused.error();
            let status = crate::http::error::status(error.kind);
            let answer = format!("{status}: {}", error.description.as_deref().unwrap_or_default());
            Told { goes: false, answer, checks: denied.refused.checks().to_vec(), told: Vec::new() }
        }
    };
    let goes = told.goes;
    let value = json!({"request": format!("{method} {host}{path}"), "goes_through": told.goes, "answer": told.answer,
                       "checks": told.checks, "headers": told.told});
    output.show(&value, || told.text(&format!("{method} {host}{path}")))?;
    // As programs expect: a call that would be refused is a failure.
    if goes { Ok(()) } else { Err(CliError::new("the call would be refused").with_code(3)) }
}

struct Told {
    goes: bool,
    answer: String,
    checks: Vec<Check>,
    told: Vec<(String, String)>,
}

impl Told {
    fn text(&self, request: &str) -> String {
        let mut text = format!("{request}\n");
        super::explain::checks(&self.checks, &mut text);
        text.push_str(&format!("\n\n  {}", self.answer));
        for (name, value) in &self.told {
            text.push_str(&format!("\n    {name}: {value}"));
        }
        if let Some(fix) =
            self.checks.last().filter(|check| check.outcome == Outcome::Failed).and_then(super::explain::fix)
        {
            text.push_str(&format!("\n  fix:      {fix}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::rule;

    #[test]
    fn rules_are_read() {
        let read = rule("GET,POST /a/{id} scope=x scope=y role=r client=c claim:org=1 claim:org=2").expect("a rule");
        assert_eq!((read.methods.join(","), read.path.as_str()), ("GET,POST".to_owned(), "/a/{id}"));
        assert_eq!((read.scopes.join(","), read.roles.join(",")), ("x,y".to_owned(), "r".to_owned()));
        assert_eq!(read.claims["org"], ["1", "2"]);
        assert!(rule("* /x public").expect("a rule").public);
        for bad in ["", "GET", "GET /x nonsense", "GET /x scopes=x"] {
            assert!(rule(bad).is_err(), "{bad}");
        }
    }
}
