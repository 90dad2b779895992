//! A registry as external systems see it: business processes that can be started, and search conditions that can be
//! read, over SQLite or PostgreSQL. What there is stands in a YAML file.
//!
//! It verifies no token. The gateway in front of it has, and hands the token on in `X-Access-Token`, from which the
//! roles and claims of the caller are read; it listens on the loopback interface, so that nobody comes past the
//! gateway. Nothing may be done that the file does not allow.
//!
//! Settings are variables: `LISTEN` (127.0.0.1:9101), `DATABASE` (`sqlite:registry.db`, or `postgres://…`), `MODEL`
//! (`registry.yaml`).

mod model;
mod search;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grantor_store::{Database, Statement, Value as Sql, connect};
use serde_json::{Map, Value, json};

use model::{Condition, Model, Process, Source};
use search::{Failed, Given, Texts, folded};

struct App {
    model: Source,
    database: Arc<dyn Database>,
    texts: Texts,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let variable = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let database = connect(&variable("DATABASE", "sqlite:registry.db")).await?;
    let tables = include_str!("../schema.sql").split(";\n").map(str::trim).filter(|text| !text.is_empty());
    database.write(tables.map(|text| Statement::new(text, [])).collect()).await?;
    let model = Source::open(variable("MODEL", "registry.yaml").into())?;
    let router = Router::new()
        .route("/health", get(|| async { "well" }))
        .route("/api/gateway/business-process/api/start-bp", post(start))
        .route("/api/gateway/data-factory/{condition}", get(searched))
        .route("/api/gateway/data-factory/search/{condition}", get(searched).post(searched_by_body))
        .with_state(Arc::new(App { model, database, texts: Texts::default() }));
    let listener = tokio::net::TcpListener::bind(variable("LISTEN", "127.0.0.1:9101")).await?;
    tracing::info!(address = %listener.local_addr()?, "the registry listens");
    axum::serve(listener, router).await?;
    Ok(())
}

/// Who calls, and the call itself.
struct Caller {
    claims: Map<String, Value>,
    trace: String,
}

impl Caller {
    /// The claims of the token that the gateway has verified.
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let payload = text("x-access-token").and_then(|token| token.split('.').nth(1));
        let bytes = payload.and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok()).unwrap_or_default();
        let trace = text("grantor-decision").map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned);
        Self { claims: serde_json::from_slice(&bytes).unwrap_or_default(), trace }
    }

    fn text(&self, name: &str) -> &str {
        self.claims.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether the caller has one of these roles. No role at all lets nobody in.
    fn may(&self, roles: &[String]) -> bool {
        let own = self.claims.get("realm_access").and_then(|access| access.get("roles")).and_then(Value::as_array);
        let has = |role: &String| own.into_iter().flatten().any(|own| own.as_str() == Some(role));
        let is_known = !self.text("sub").is_empty();
        roles.iter().any(|role| (role == "isAuthenticated" && is_known) || has(role))
    }
}

impl App {
    /// One row for each call; what was refused is a security event.
    async fn audit(&self, caller: &Caller, name: &str, status: StatusCode) {
        let kind = if matches!(status.as_u16(), 401 | 403 | 412) { "SECURITY_EVENT" } else { "USER_ACTION" };
        let id = uuid::Uuid::now_v7();
        let (seconds, _) = id.get_timestamp().map_or((0, 0), |time| time.to_unix());
        let insert = Statement::new(
            "INSERT INTO audit_event (id, happened, request_id, kind, name, user_id, user_name, user_drfo, result) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            [
                Sql::from(id.to_string()),
                Sql::from(i64::try_from(seconds).unwrap_or_default()),
                Sql::from(caller.trace.as_str()),
                Sql::from(kind),
                Sql::from(name),
                Sql::from(caller.text("sub")),
                Sql::from(caller.text("fullName")),
                Sql::from(caller.text("drfo")),
                Sql::from(i64::from(status.as_u16())),
            ],
        );
        if let Err(error) = self.database.write(vec![insert]).await {
            tracing::error!(%error, "a call could not be written down");
        }
    }
}

/// An error of business processes.
fn system_error(caller: &Caller, status: StatusCode, message: &str) -> Response {
    let body = json!({"traceId": caller.trace, "code": status.as_str(), "message": message, "localizedMessage": null});
    (status, Json(body)).into_response()
}

/// An error of search conditions.
fn detailed(caller: &Caller, status: StatusCode, code: &str, details: Option<Value>) -> Response {
    let mut body = json!({"traceId": caller.trace, "code": code});
    if let (Some(details), Some(body)) = (details, body.as_object_mut()) {
        body.insert("details".to_owned(), details);
    }
    (status, Json(body)).into_response()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// A JSON object of at most 256 KiB.
async fn object(request: Request) -> Result<Map<String, Value>, StatusCode> {
    let body =
        axum::body::to_bytes(request.into_body(), 256 * 1024).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)
}

async fn start(State(app): State<Arc<App>>, headers: HeaderMap, request: Request) -> Response {
    let caller = Caller::of(&headers);
    let answer = started(&app, &caller, &headers, request).await;
    app.audit(&caller, "HTTP request. Method: startBp", answer.status()).await;
    answer
}

async fn started(app: &App, caller: &Caller, headers: &HeaderMap, request: Request) -> Response {
    if !is_json(headers) {
        return system_error(caller, StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json is needed");
    }
    let body = match object(request).await {
        Ok(body) => body,
        Err(status) => return system_error(caller, status, "The body is no JSON object"),
    };
    let model = app.model.now();
    let every: Vec<String> = model.processes.values().flat_map(|process| process.roles.iter().cloned()).collect();
    if !caller.may(&every) {
        return system_error(caller, StatusCode::FORBIDDEN, "Access is denied");
    }
    let key = body.get("businessProcessDefinitionKey").and_then(Value::as_str).unwrap_or_default();
    let Some(process) = model.processes.get(key) else {
        let message = format!("No such business process {key} is defined in trembita.process_definitions");
        return system_error(caller, StatusCode::UNPROCESSABLE_ENTITY, &message);
    };
    if !caller.may(&process.roles) {
        return system_error(caller, StatusCode::FORBIDDEN, "Access is denied");
    }
    let none = Map::new();
    let given = body.get("startVariables").and_then(Value::as_object).unwrap_or(&none);
    if let Some(missing) = process.start_vars.iter().find(|name| !given.contains_key(*name)) {
        let message = format!("No such input param {missing} is defined in request for {key}");
        return system_error(caller, StatusCode::UNPROCESSABLE_ENTITY, &message);
    }
    match run(app, caller, key, process, given).await {
        Ok(results) => Json(json!({"resultVariables": results})).into_response(),
        Err(error) => {
            tracing::error!(error, "a process could not be started");
            system_error(caller, StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
        }
    }
}

/// Starts a process: its declared variables become a case, and only declared results go back, as texts or null.
async fn run(
    app: &App,
    caller: &Caller,
    key: &str,
    process: &Process,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let variables: BTreeMap<&String, &Value> =
        process.start_vars.iter().filter_map(|name| Some((name, given.get(name)?))).collect();
    let id = uuid::Uuid::now_v7();
    let (seconds, _) = id.get_timestamp().map_or((0, 0), |time| time.to_unix());
    let text = serde_json::to_string(&variables).map_err(|error| error.to_string())?;
    let insert = Statement::new(
        "INSERT INTO cases (id, process, variables, started, started_by) VALUES ($1, $2, $3, $4, $5)",
        [
            Sql::from(id.to_string()),
            Sql::from(key),
            Sql::from(text),
            Sql::from(i64::try_from(seconds).unwrap_or_default()),
            Sql::from(caller.text("azp")),
        ],
    );
    app.database.write(vec![insert]).await.map_err(|error| error.to_string())?;
    let outcome = BTreeMap::from([("code", id.to_string())]);
    let result = |name: &String| {
        (name.clone(), outcome.get(name.as_str()).map_or(Value::Null, |text| Value::from(text.as_str())))
    };
    Ok(process.return_vars.iter().map(result).collect())
}

async fn searched(
    State(app): State<Arc<App>>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let caller = Caller::of(&headers);
    let answer = match given_of(query.as_deref().unwrap_or_default()) {
        Some(given) => found(&app, &caller, &path, given).await,
        None => detailed(&caller, StatusCode::BAD_REQUEST, "CLIENT_ERROR", None),
    };
    app.audit(&caller, "HTTP request. Method: searchGet", answer.status()).await;
    answer
}

async fn searched_by_body(
    State(app): State<Arc<App>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let caller = Caller::of(&headers);
    let answer = if !is_json(&headers) {
        detailed(&caller, StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", None)
    } else {
        match object(request).await {
            Err(StatusCode::PAYLOAD_TOO_LARGE) => {
                detailed(&caller, StatusCode::PAYLOAD_TOO_LARGE, "CLIENT_ERROR", None)
            }
            Err(_) => detailed(&caller, StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR", None),
            Ok(body) => {
                let text = |value: &Value| match value {
                    Value::String(text) => text.clone(),
                    Value::Array(all) => all
                        .iter()
                        .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
                        .collect::<Vec<_>>()
                        .join(","),
                    other => other.to_string(),
                };
                let given =
                    body.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (folded(name), text(value)));
                found(&app, &caller, &path, given.collect()).await
            }
        }
    };
    // It reads, whatever its method.
    app.audit(&caller, "HTTP request. Method: searchPost", answer.status()).await;
    answer
}

/// The parameters of a URL; the last of a name counts. `None` where an escape is no UTF-8.
fn given_of(query: &str) -> Option<Given> {
    let decoded = |text: &str| -> Option<String> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            match first {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let (digits, after) = rest.split_at_checked(2)?;
                    bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                    rest = after;
                }
                other => bytes.push(*other),
            }
        }
        String::from_utf8(bytes).ok()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| Some((folded(&decoded(name)?), decoded(value)?))).collect()
}

async fn found(app: &App, caller: &Caller, path: &str, given: Given) -> Response {
    let model: Arc<Model> = app.model.now();
    // What is not exposed is told apart from what is not there by nobody.
    let Some((_, condition)) = model.at(path) else {
        return detailed(caller, StatusCode::NOT_FOUND, "NOT_FOUND", None);
    };
    if !caller.may(&condition.roles) {
        return detailed(caller, StatusCode::FORBIDDEN, "FORBIDDEN_OPERATION", None);
    }
    let own = of_caller(condition, caller);
    match search::rows(app.database.as_ref(), &app.texts, condition, &given, own.as_deref()).await {
        Ok(rows) => Json(rows).into_response(),
        Err(Failed::Parameters(bad)) => {
            let errors: Vec<Value> = bad
                .into_iter()
                .map(|one| json!({"value": one.value, "field": one.field, "message": one.message}))
                .collect();
            detailed(caller, StatusCode::BAD_REQUEST, "CLIENT_ERROR", Some(json!({"errors": errors})))
        }
        Err(Failed::Database(error)) => {
            tracing::error!(error, "a search failed");
            detailed(caller, StatusCode::INTERNAL_SERVER_ERROR, "RUNTIME_ERROR", None)
        }
    }
}

/// The value that rows must have for this caller.
fn of_caller(condition: &Condition, caller: &Caller) -> Option<String> {
    let claim = condition.rows.as_ref().map(|rows| caller.text(&rows.claim))?;
    Some(claim.to_owned()).filter(|claim| !claim.is_empty())
}
