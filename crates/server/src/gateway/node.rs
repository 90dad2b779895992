//! A gateway without a database: routes, keys and revocations come from the feed of a Grantor, or routes from a file and
//! keys from any issuer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use grantor_gateway::issuer::{Boxed, Holder, Issuer, SharedIssuer, Signature};
use grantor_gateway::table::{Api, Table};
use grantor_gateway::{Gateway, Sink};
use grantor_model::api::{ApiDocument, IssuerDocument};
use grantor_model::jose::{Parsed, VerifyingKey};
use grantor_model::{Decision, Instant, Secret};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::feed::{Asked, Question, Signer, State, Told};
use super::issuers::{Other, Remote};
use super::routes;
use crate::metrics::Metrics;
use crate::outbound::Outbound;

/// Refusals that wait for the next exchange; what is more is logged only.
const WAITING: usize = 1_000;

/// Seconds after which the log is read again.
const FORGET: i64 = 3_600;

/// Bytes of refusals that one exchange carries.
const LARGEST: usize = 64 * 1024;

/// Bytes of an answer of the feed: routes, keys and names of very many clients.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// The pause after an exchange that failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Where refusals of this gateway go: into the log, and to the server with the next exchange.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) metrics: Arc<Metrics>,
    waiting: Mutex<Vec<Decision>>,
    told: bool,
    /// The way to the keys of other issuers.
    pub(crate) remote: Remote,
}

impl Log {
    pub(crate) fn new(metrics: Arc<Metrics>, told: bool, remote: Remote) -> Self {
        Self { metrics, waiting: Mutex::default(), told, remote }
    }

    /// Refusals for the next exchange, of a bounded size: what the gateway learns must not wait for what it tells.
    fn take(&self) -> Vec<Decision> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = LARGEST;
        let size = |decision: &Decision| serde_json::to_vec(decision).map_or(usize::MAX, |text| text.len());
        let count = waiting.iter().take_while(|decision| {
            let fits = left.checked_sub(size(decision));
            left = fits.unwrap_or(0);
            fits.is_some()
        });
        let count = count.count();
        let taken = waiting.drain(..count).collect();
        if count == 0 {
            // One that never fits is in the log.
            waiting.clear();
        }
        taken
    }
}

impl Sink for Log {
    fn refused(&self, decision: Decision) {
        let failed = decision.checks.last();
        tracing::info!(
            target: "grantor::decision",
            id = decision.id,
            error = decision.error,
            check = failed.map(|check| check.check.as_ref()),
            expected = failed.and_then(|check| check.expected.as_deref()),
            actual = failed.and_then(|check| check.actual.as_deref()),
        );
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.told && waiting.len() < WAITING {
            waiting.push(decision);
        }
    }

    fn answered(&self, api: Option<&str>, status: u16, took: Duration) {
        super::counted(&self.metrics, api, status, took);
    }
}

/// A realm that the feed tells of.
#[derive(Debug)]
struct ToldOf {
    name: String,
    signer: Signer,
    keys: Vec<VerifyingKey>,
    /// Where it can be asked.
    from: Arc<Subscription>,
}

impl Issuer for ToldOf {
    fn name(&self) -> &str {
        &self.name
    }

    fn realm_id(&self) -> Option<&str> {
        Some(&self.signer.id)
    }

    fn url(&self) -> Option<&str> {
        Some(&self.signer.issuer)
    }

    fn is_called(&self, iss: &str) -> bool {
        iss == self.signer.issuer
    }

    fn signature(&self, token: &Parsed<'_>, _: Instant) -> Signature {
        super::issuers::signature(token, &self.keys)
    }

    fn types_its_tokens(&self) -> bool {
        true
    }

    fn not_before(&self) -> i64 {
        self.signer.not_before
    }

    fn holder(&self, client: &str) -> Holder {
        // Clients that are off are not told of.
        self.signer.clients.get(client).map_or(Holder::Gone, |since| Holder::Since(*since))
    }

    fn introspect<'a>(&'a self, token: &'a str, _: Instant) -> Boxed<'a, Result<Option<Map<String, Value>>, String>> {
        Box::pin(async move {
            let question = Question { realm: self.name.clone(), token: token.to_owned() };
            let mut claims: Map<String, Value> = self.from.post("introspect", &question).await?;
            Ok((claims.shift_remove("active") == Some(Value::Bool(true))).then_some(claims))
        })
    }
}

/// Where a gateway learns of routes, keys and revocations.
#[derive(Debug)]
pub(crate) struct Subscription {
    base: String,
    pub(crate) name: String,
    client: Outbound,
    authorization: HeaderValue,
}

impl Subscription {
    /// To the feed of the Grantor at a base URL.
    pub(crate) fn new(base: &str, name: String, id: &str, secret: &Secret) -> Result<Self, String> {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret.expose())));
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {pair}")).map_err(|_| "the client id cannot be sent".to_owned())?;
        authorization.set_sensitive(true);
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            name,
            client: Outbound::unrestricted(Duration::from_secs(10))?.reading(LARGEST_ANSWER),
            authorization,
        })
    }

    /// Reads the whole log again: entries whose tokens have expired are not in it any more.
    async fn again(&self, gateway: &Gateway, asked: &mut Asked) -> Result<(), String> {
        let mut all = Vec::new();
        let (name, position, change) = (asked.name.clone(), asked.position, asked.change);
        let mut page = Asked { name, position, change, since: Some(0), decisions: Vec::new() };
        loop {
            let mut told: Told = self.post("feed", &page).await?;
            all.append(&mut told.revocations);
            page.since = Some(told.position);
            if !told.more {
                gateway.replace_revoked(told.position, &all);
                asked.position = told.position;
                return Ok(());
            }
        }
    }

    /// Says something to one of the endpoints for gateways.
    async fn post<T: DeserializeOwned>(&self, endpoint: &str, said: &impl Serialize) -> Result<T, String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = serde_json::to_vec(said).map_err(|error| error.to_string())?;
        let answer =
            self.client.post(&format!("{}/api/gateway/{endpoint}", self.base), headers, Bytes::from(body)).await?;
        if answer.status != 200 {
            let text =
                String::from_utf8_lossy(&answer.body).chars().filter(|c| !c.is_control()).take(200).collect::<String>();
            return Err(format!("its {endpoint} answers {}: {text}", answer.status));
        }
        serde_json::from_slice(&answer.body).map_err(|error| format!("its {endpoint} cannot be read: {error}"))
    }
}

/// Follows the feed for as long as the process lives. `began` is told once the first answer was applied.
pub(crate) async fn follow(
    gateway: Arc<Gateway>,
    log: Arc<Log>,
    from: Arc<Subscription>,
    began: tokio::sync::oneshot::Sender<()>,
) {
    let mut asked = Asked { name: from.name.clone(), change: i64::MIN, ..Asked::default() };
    let (mut began, mut failing) = (Some(began), false);
    let mut forgot = crate::start::now();
    loop {
        asked.decisions = log.take();
        let sent = crate::start::now();
        let answer = from.post("feed", &asked).await;
        match answer.map(|told| applied(&gateway, &log.remote, &from, told, &mut asked)) {
            // There is more to learn before anything counts as heard.
            Ok(true) => {}
            Ok(false) => {
                gateway.hear(sent);
                if forgot.plus_seconds(FORGET) <= sent {
                    forgot = sent;
                    if let Err(reason) = from.again(&gateway, &mut asked).await {
                        tracing::warn!(reason, "revocations that have passed are kept");
                    }
                }
                if std::mem::take(&mut failing) {
                    tracing::info!("the feed is back");
                }
                if let Some(began) = began.take() {
                    let _ = began.send(());
                }
            }
            Err(reason) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(reason, "the feed is lost: what is known goes on counting as each API says");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Applies an answer: first what was revoked, then routes and keys. Gives whether there is more.
fn applied(gateway: &Gateway, remote: &Remote, from: &Arc<Subscription>, told: Told, asked: &mut Asked) -> bool {
    if told.anew {
        // Another log: what is known of the one before says nothing.
        gateway.replace_revoked(told.position, &told.revocations);
    } else {
        gateway.revoke(&told.revocations);
    }
    asked.position = told.position;
    if let Some(state) = told.state {
        asked.change = state.change;
        gateway.replace(table(gateway, remote, from, state));
    }
    told.more
}

fn table(gateway: &Gateway, remote: &Remote, from: &Arc<Subscription>, state: State) -> Table {
    let before = gateway.table().clone();
    let mut realms: BTreeMap<String, SharedIssuer> = BTreeMap::new();
    for (name, signer) in state.realms {
        let keys = signer.keys.iter().filter_map(|key| VerifyingKey::from_jwk(key).ok()).collect();
        realms.insert(name.clone(), Arc::new(ToldOf { name, signer, keys, from: from.clone() }));
    }
    let epoch = before.epoch.wrapping_add(1);
    let revision = format!("change {}, table {epoch}", state.change);
    let compile = |document: ApiDocument| {
        let mut issuers: Vec<SharedIssuer> =
            document.realm.iter().filter_map(|name| realms.get(name).cloned()).collect();
        for issuer in &document.issuers {
            issuers.push(Arc::new(Other::new(remote.clone(), issuer.clone())?));
        }
        let known = before.named(&document.name).map(Arc::as_ref);
        Api::compile(document, issuers, known)
    };
    let mut apis = Vec::new();
    for document in state.apis {
        match compile(document) {
            Ok(api) => apis.push(Arc::new(api)),
            // The others go on.
            Err(fault) => tracing::error!(fault, "an API of the feed cannot be used"),
        }
    }
    Table::of(apis, epoch, revision).unwrap_or_else(|fault| {
        tracing::error!(fault, "the routes of the feed cannot be used: everything is refused");
        let mut nothing = Table::default();
        nothing.epoch = epoch;
        nothing
    })
}

/// Reads the routes file for as long as the process lives; what it says of issuers counts, and `issuer` where it says
/// nothing.
pub(crate) async fn watch(gateway: Arc<Gateway>, file: routes::File, log: Arc<Log>, issuer: String) {
    loop {
        if file.look() {
            match file.apis().and_then(|apis| written(&gateway, apis, &log.remote, &issuer)) {
                Ok(table) => gateway.replace(table),
                Err(reason) => tracing::error!(reason, "the routes are left as they were"),
            }
        }
        // Nobody tells of revocations here, so there are none to be late with.
        gateway.hear(crate::start::now());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The table of a routes file.
pub(crate) fn written(
    gateway: &Gateway,
    apis: Vec<ApiDocument>,
    remote: &Remote,
    issuer: &str,
) -> Result<Table, String> {
    let before = gateway.table().clone();
    let mut compiled = Vec::new();
    for mut document in apis {
        if document.realm.is_some() {
            return Err(format!("API {:?}: a realm is known where the feed is (--client-id)", document.name));
        }
        if document.issuers.is_empty() {
            document.issuers.push(IssuerDocument { issuer: issuer.to_owned(), ..IssuerDocument::default() });
        }
        let mut issuers: Vec<SharedIssuer> = Vec::new();
        for one in &document.issuers {
            issuers.push(Arc::new(Other::new(remote.clone(), one.clone())?));
        }
        let known = before.named(&document.name).map(Arc::as_ref);
        compiled.push(Arc::new(Api::compile(document, issuers, known)?));
    }
    let epoch = before.epoch.wrapping_add(1);
    Table::of(compiled, epoch, format!("table {epoch}"))
}
