//! The feed: how a gateway without a database learns of routes, keys and revocations, and says what it has applied.
//!
//! A gateway asks with the position that it has applied and the change that it uses; the answer waits a little for
//! something new. Asking is acknowledging. What the gateway refused since it asked last comes along, so that
//! `grantor explain` knows it.

use std::collections::BTreeMap;
use std::time::Duration;

use grantor_flows::decisions::About;
use grantor_flows::token;
use grantor_flows::{Parameters, Realm};
use grantor_model::api::ApiDocument;
use grantor_model::jose::Jwk;
use grantor_model::revocation::Revocation;
use grantor_model::{Code, Decision, Error, Kind, Refused, Trail};
use grantor_store::revocations::GatewayRow;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::app::Shared;
use crate::http::answer::Answer;
use crate::http::{Inbound, error};

/// The client attribute that lets a client of realm master read the feed.
pub(crate) const FEED: &str = "grantor.gateway.feed";

/// How long an answer waits for something new, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// Entries of one answer, and decisions of one question.
const AT_ONCE: usize = 1_000;

/// What a gateway says.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// What it is called.
    pub(crate) name: String,
    /// The last revocation that it has applied.
    pub(crate) position: i64,
    /// The change that its routes and keys are of; less than any when it has none.
    pub(crate) change: i64,
    /// Where it wants to read the log again from, without waiting: what has passed is not in it any more.
    #[serde(default)]
    pub(crate) since: Option<i64>,
    /// What it refused.
    #[serde(default)]
    pub(crate) decisions: Vec<Decision>,
}

/// What it is told.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The position that all entries up to are in the answer, or were asked for.
    pub(crate) position: i64,
    /// What was revoked after the position that it asked with, in order.
    pub(crate) revocations: Vec<Revocation>,
    /// Whether there are more after these.
    #[serde(default)]
    pub(crate) more: bool,
    /// Whether these are all that count, and what the gateway had is of another log.
    #[serde(default)]
    pub(crate) anew: bool,
    /// Routes and keys, when they are others than it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<State>,
}

/// Routes and keys.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// The change that they are of.
    pub(crate) change: i64,
    /// The APIs.
    pub(crate) apis: Vec<ApiDocument>,
    /// The realms whose tokens they take, by name.
    pub(crate) realms: BTreeMap<String, Signer>,
}

/// A realm as a gateway needs to know it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Signer {
    /// Its key in revocations.
    pub(crate) id: String,
    /// Its `iss`.
    pub(crate) issuer: String,
    /// The keys that verify; none of a realm that is off.
    pub(crate) keys: Vec<Jwk>,
    /// Tokens given out before this second are dead.
    pub(crate) not_before: i64,
    /// Clients that are on, each with the second before which its tokens are dead.
    pub(crate) clients: BTreeMap<String, i64>,
}

impl Signer {
    fn of(realm: &Realm, base: &str, now: grantor_model::Instant) -> Self {
        let on = realm.clients.values().filter(|client| client.document.enabled);
        let published = realm.keys.published(now).filter(|key| key.key_use.as_deref() != Some("enc"));
        Self {
            id: realm.id.clone(),
            issuer: realm.issuer(base),
            keys: if realm.settings.enabled { published.cloned().collect() } else { Vec::new() },
            not_before: realm.settings.not_before,
            clients: on.map(|client| (client.client_id().to_owned(), client.document.not_before)).collect(),
        }
    }
}

/// `POST /api/gateway/feed`.
pub(crate) async fn post(app: Shared, mut inbound: Inbound) -> Answer {
    let asked = match asked(&app, &mut inbound).await {
        Ok(asked) => asked,
        Err(refused) => {
            let about = About { realm: "master".to_owned(), endpoint: "gateway feed", ..About::default() };
            let answer = error::json(refused.error()).no_store();
            return inbound.refusal(&app, &about, &refused, answer);
        }
    };
    match told(&app, &inbound, asked).await {
        Ok(told) => Answer::json(StatusCode::OK, &told).no_store(),
        Err(error) => error::json(&error).no_store(),
    }
}

/// What a gateway asks about a token of a realm.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    pub(crate) realm: String,
    pub(crate) token: String,
}

/// `POST /api/gateway/introspect`: the claims of an access token that is good now, or `{"active":false}`. For opaque
/// tokens, and while the feed is lost for APIs that want it so.
pub(crate) async fn introspect(app: Shared, mut inbound: Inbound) -> Answer {
    let about = About { realm: "master".to_owned(), endpoint: "gateway introspect", ..About::default() };
    let mut trail = Trail::new();
    let question = match said::<Question>(&app, &mut inbound, "realm and token", &mut trail).await {
        Ok(question) => question,
        Err(refused) => {
            let answer = error::json(refused.error()).no_store();
            return inbound.refusal(&app, &about, &refused, answer);
        }
    };
    match claims_of(&app, &inbound, &question).await {
        Ok(claims) => {
            let mut body = claims.unwrap_or_default();
            let active = !body.is_empty();
            body.insert("active".to_owned(), Value::from(active));
            Answer::json(StatusCode::OK, &body).no_store()
        }
        Err(error) => error::json(&error).no_store(),
    }
}

async fn claims_of(app: &Shared, inbound: &Inbound, asked: &Question) -> Result<Option<Map<String, Value>>, Error> {
    let call = inbound.call();
    let Some(realm) = app.engine.realm(&asked.realm, call.now).await? else { return Ok(None) };
    grantor_flows::introspect::for_gateway(&app.engine, &call, &realm, &asked.token).await
}

/// Reads what a gateway says, once it has shown that it may.
async fn said<T: DeserializeOwned>(
    app: &Shared,
    inbound: &mut Inbound,
    wanted: &'static str,
    trail: &mut Trail,
) -> Result<T, Refused> {
    let now = inbound.context.now;
    let master = app.engine.realm("master", now).await.map_err(|error| trail.fail(error))?;
    let Some(master) = master else {
        let error = Error::new(Kind::Unauthenticated, Code::InvalidClient, "Client authentication failed.");
        return Err(trail.refuse("realm", "master", "none", error));
    };
    let (call, mut seen) = (inbound.call(), token::Seen::default());
    let none = Parameters::new([]);
    let client = token::authenticated(&app.engine, &call, &master, &none, &mut seen, trail).await?;
    if client.document.is_public() || client.document.attribute(FEED) != Some("true") {
        let error = Error::new(Kind::Forbidden, Code::AccessDenied, "This client may not read the feed");
        return Err(trail.refuse("client", "one that was added with --gateway", client.client_id(), error));
    }
    let body = inbound.object().await.map_err(|error| trail.fail(error))?;
    serde_json::from_value(body.into()).map_err(|error| {
        let told = Error::request("The body is not what a gateway says").because(error.to_string());
        trail.refuse("body", wanted, &error.to_string(), told)
    })
}

/// Reads what a gateway has applied.
async fn asked(app: &Shared, inbound: &mut Inbound) -> Result<Asked, Refused> {
    let mut asked: Asked = said(app, inbound, "name, position and change", &mut Trail::new()).await?;
    asked.name = asked.name.chars().filter(|c| !c.is_control()).take(100).collect();
    asked.decisions.truncate(AT_ONCE);
    Ok(asked)
}

/// Waits for something new, and tells it.
async fn told(app: &Shared, inbound: &Inbound, asked: Asked) -> Result<Told, Error> {
    let store = &app.engine.store;
    let unavailable = |error: grantor_store::StoreError| Error::unavailable(error.to_string());
    let gateway = &app.gateway.gateway;
    let row =
        GatewayRow { name: asked.name, position: asked.position, change: asked.change, seen: inbound.context.now };
    store.note_gateway(&row).await.map_err(unavailable)?;
    for decision in asked.decisions {
        app.engine.decisions.keep(decision);
    }
    let is_new = || gateway.revoked().position != asked.position || super::change(app) != asked.change;
    let mut waited = Duration::ZERO;
    while asked.since.is_none() && !is_new() && waited < PATIENCE {
        tokio::time::sleep(LOOK).await;
        waited += LOOK;
    }
    if app.engine.realms.is_lost() {
        return Err(Error::unavailable("the database is lost"));
    }
    let change = super::change(app);
    // The end of the log first: what comes after it comes with the next answer.
    let end = store.revocation_position().await.map_err(unavailable)?;
    let anew = asked.position > end;
    let after = if anew { i64::MIN } else { asked.since.unwrap_or(asked.position) };
    let most = i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
    let revocations = store.revocations_after(after, most).await.map_err(unavailable)?;
    let more = revocations.len() >= AT_ONCE;
    let last = revocations.last().map(|last| last.position);
    let position = if more { last.unwrap_or(end) } else { end.max(last.unwrap_or(end)) };
    let state = if change == asked.change { None } else { Some(state(app, inbound, change).await?) };
    Ok(Told { position, revocations, more, anew, state })
}

async fn state(app: &Shared, inbound: &Inbound, change: i64) -> Result<State, Error> {
    let now = inbound.context.now;
    let table = app.gateway.gateway.table().clone();
    let (mut apis, mut realms) = (BTreeMap::new(), BTreeMap::new());
    for api in table.apis() {
        apis.insert(api.name.clone(), api.document.clone());
        let Some(name) = api.document.realm.as_ref().filter(|name| !realms.contains_key(*name)) else { continue };
        if let Some(realm) = app.engine.realm(name, now).await? {
            let realm = app.engine.with_standard_keys(&realm, true, now).await?;
            realms.insert(name.clone(), Signer::of(&realm, &inbound.context.base, now));
        }
    }
    Ok(State { change, apis: apis.into_values().collect(), realms })
}
