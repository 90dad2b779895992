//! Issuers as the gateway sees them: realms of this server, by pointer, and others, by their key sets.

use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use grantor_flows::fetch::Fetch;
use grantor_flows::key_sets::{KeySet, KeySets};
use grantor_flows::{Call, Realm};
use grantor_gateway::issuer::{Boxed, Holder, Issuer, Signature};
use grantor_model::Instant;
use grantor_model::api::IssuerDocument;
use grantor_model::jose::{self, Algorithm, Parsed, VerifyingKey};
use grantor_store::Store;
use serde_json::{Map, Value};

use crate::app::Shared;

/// A realm of this server.
pub(super) struct Own {
    app: Shared,
    name: String,
    id: String,
    realm: ArcSwap<Realm>,
    /// Its `iss`, where that does not depend on the request.
    url: Option<String>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "realm {}", self.name)
    }
}

impl Own {
    pub(super) fn new(app: Shared, realm: Arc<Realm>) -> Self {
        let public = app.reach.public().map(|base| realm.issuer(base));
        let url = realm.frontend().map(|_| realm.issuer("")).or(public);
        Self { app, name: realm.name.clone(), id: realm.id.clone(), realm: ArcSwap::new(realm), url }
    }
}

impl Issuer for Own {
    fn name(&self) -> &str {
        &self.name
    }

    fn realm_id(&self) -> Option<&str> {
        Some(&self.id)
    }

    fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    fn is_called(&self, iss: &str) -> bool {
        if let Some(url) = &self.url {
            return iss == url;
        }
        let base = iss.split_once("/realms/").map_or("", |(base, _)| base);
        self.app.reach.is_base(base) && self.realm.load().issuer(base) == iss
    }

    fn signature(&self, token: &Parsed<'_>, now: Instant) -> Signature {
        let realm = self.realm.load();
        if !realm.settings.enabled {
            return Signature::NoKey;
        }
        let header = token.header();
        let Some(algorithm) = Algorithm::parse(&header.alg) else { return Signature::Algorithm };
        if let Some(key) = realm.keys.verifier(header.kid.as_deref(), algorithm, now) {
            return if token.verify(key).is_ok() { Signature::Good } else { Signature::Bad };
        }
        let mut kids = realm.keys.iter().map(|key| Some(key.kid.as_str()));
        if kids.any(|kid| kid == header.kid.as_deref()) { Signature::Algorithm } else { Signature::NoKey }
    }

    /// A realm makes its keys when they are first needed: a token may be here before the table is made anew.
    fn learn<'a>(&'a self, _: Option<&'a str>, now: Instant) -> Boxed<'a, Result<(), String>> {
        Box::pin(async move {
            let newest = self.app.engine.realm(&self.name, now).await.map_err(|error| error.to_string())?;
            if let Some(newest) = newest.filter(|newest| newest.id == self.id) {
                self.realm.store(newest);
            }
            Ok(())
        })
    }

    fn types_its_tokens(&self) -> bool {
        true
    }

    fn not_before(&self) -> i64 {
        self.realm.load().settings.not_before
    }

    fn introspect<'a>(&'a self, token: &'a str, now: Instant) -> Boxed<'a, Result<Option<Map<String, Value>>, String>> {
        Box::pin(async move {
            if self.app.engine.realms.is_lost() {
                return Err("the database is lost".to_owned());
            }
            let realm = self.realm.load_full();
            let iss = jose::parse(token).ok().and_then(|parsed| parsed.claims_of_access_token().ok());
            let iss = iss.as_ref().and_then(|claims| claims.get("iss")?.as_str()).unwrap_or_default();
            // An opaque token names no issuer, and is of none but this realm if the realm has it.
            let base = iss.split_once("/realms/").map_or("", |(base, _)| base);
            let address = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
            let call = Call { now, address, secure: true, base, origin: None, authorization: None };
            let claims = grantor_flows::introspect::for_gateway(&self.app.engine, &call, &realm, token).await;
            claims.map_err(|error| error.to_string())
        })
    }

    /// Asking the own database is cheap, and what was revoked shows at once.
    fn introspection_lasts(&self) -> i64 {
        1
    }

    fn holder(&self, client: &str) -> Holder {
        match self.realm.load().clients.get(client) {
            None => Holder::Gone,
            Some(client) if !client.document.enabled => Holder::Off,
            Some(client) => Holder::Since(client.document.not_before),
        }
    }
}

/// Whether one of these keys signed a token.
pub(super) fn signature(token: &Parsed<'_>, keys: &[VerifyingKey]) -> Signature {
    let header = token.header();
    let Some(algorithm) = Algorithm::parse(&header.alg) else { return Signature::Algorithm };
    let kid = header.kid.as_deref();
    let mut named = keys.iter().filter(|key| kid.is_none() || key.kid() == kid).peekable();
    if named.peek().is_none() {
        return Signature::NoKey;
    }
    let mut fitting = named.filter(|key| key.fits(algorithm)).peekable();
    if fitting.peek().is_none() {
        return Signature::Algorithm;
    }
    if fitting.any(|key| token.verify(key).is_ok()) { Signature::Good } else { Signature::Bad }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Remote")
    }
}

/// The way to the key sets of others.
#[derive(Clone)]
pub(crate) struct Remote {
    fetch: Arc<dyn Fetch>,
    key_sets: Arc<KeySets>,
    /// Where they are remembered over a restart.
    store: Option<Store>,
}

impl Remote {
    /// That of a server.
    pub(crate) fn of(app: &Shared) -> Self {
        let engine = &app.engine;
        Self { fetch: engine.fetch.clone(), key_sets: engine.key_sets.clone(), store: Some(engine.store.clone()) }
    }

    /// That of a gateway without a database.
    pub(crate) fn without_store(fetch: Arc<dyn Fetch>) -> Self {
        Self { fetch, key_sets: Arc::default(), store: None }
    }
}

/// Algorithms of others where nothing is said: no shared secrets, and nothing with SHA-1.
const USUAL: [Algorithm; 4] = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];

/// Somebody else's server.
pub(super) struct Other {
    remote: Remote,
    document: IssuerDocument,
    algorithms: Vec<Algorithm>,
    /// The last key set, and where it is.
    known: RwLock<(Option<Arc<KeySet>>, Option<String>)>,
}

impl std::fmt::Debug for Other {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "issuer {}", self.document.issuer)
    }
}

impl Other {
    pub(super) fn new(remote: Remote, document: IssuerDocument) -> Result<Self, String> {
        let named = |name: &String| {
            let algorithm = Algorithm::parse(name).filter(|algorithm| !algorithm.is_hmac());
            algorithm.ok_or_else(|| {
                format!("issuer {}: {name:?} is no algorithm that others can sign with", document.issuer)
            })
        };
        let mut algorithms = document.algorithms.iter().map(named).collect::<Result<Vec<_>, _>>()?;
        if algorithms.is_empty() {
            algorithms = USUAL.to_vec();
        }
        if !document.issuer.starts_with("https://") && !document.issuer.starts_with("http://") {
            return Err(format!("issuer {:?}: it is a URL", document.issuer));
        }
        let url = document.jwks_url.clone();
        Ok(Self { remote, document, algorithms, known: RwLock::new((None, url)) })
    }

    fn set(&self) -> Option<Arc<KeySet>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Where the key set is: as written, or as the issuer's metadata say.
    async fn place(&self) -> Result<String, String> {
        if let Some(url) = self.known.read().unwrap_or_else(PoisonError::into_inner).1.clone() {
            return Ok(url);
        }
        let url = format!("{}/.well-known/openid-configuration", self.document.issuer.trim_end_matches('/'));
        let answer = self.remote.fetch.get(&url).await?;
        let metadata: Value = serde_json::from_slice(&answer.body).map_err(|error| format!("{url}: {error}"))?;
        if metadata.get("issuer").and_then(Value::as_str) != Some(&self.document.issuer) {
            return Err(format!("{url}: it speaks of another issuer"));
        }
        let found = metadata.get("jwks_uri").and_then(Value::as_str).ok_or_else(|| format!("{url}: no jwks_uri"))?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).1 = Some(found.to_owned());
        Ok(found.to_owned())
    }
}

impl Issuer for Other {
    fn name(&self) -> &str {
        &self.document.issuer
    }

    fn url(&self) -> Option<&str> {
        Some(&self.document.issuer)
    }

    fn is_called(&self, iss: &str) -> bool {
        iss == self.document.issuer
    }

    fn signature(&self, token: &Parsed<'_>, _: Instant) -> Signature {
        let header = token.header();
        if !Algorithm::parse(&header.alg).is_some_and(|one| self.algorithms.contains(&one)) {
            return Signature::Algorithm;
        }
        self.set().map_or(Signature::NoKey, |set| signature(token, &set.keys))
    }

    fn introspect<'a>(&'a self, token: &'a str, now: Instant) -> Boxed<'a, Result<Option<Map<String, Value>>, String>> {
        Box::pin(async move {
            let Some(asked) = &self.document.introspection else { return Ok(None) };
            // Read at each question: a secret is replaced by replacing the file.
            let secret = std::fs::read_to_string(&asked.client_secret_file)
                .map_err(|error| format!("{}: {error}", asked.client_secret_file))?;
            let form = form_urlencoded::Serializer::new(String::new()).append_pair("token", token).finish();
            let client = (asked.client_id.as_str(), secret.trim());
            let body = self.remote.fetch.post_as(&asked.url, client, form).await?;
            let mut claims: Map<String, Value> =
                serde_json::from_slice(&body).map_err(|error| format!("its answer is no JSON object: {error}"))?;
            if claims.get("active") != Some(&Value::Bool(true)) {
                return Ok(None);
            }
            // Whoever says nothing of the time is asked again soon.
            claims
                .entry("exp")
                .or_insert_with(|| Value::from(now.seconds().saturating_add(self.introspection_lasts())));
            Ok(Some(claims))
        })
    }

    fn still_has(&self, kid: Option<&str>) -> bool {
        // Of an opaque token, nobody signed anything.
        kid.is_none() || self.set().is_some_and(|set| set.keys.iter().any(|key| key.kid() == kid))
    }

    fn is_stale(&self, now: Instant) -> bool {
        self.set().is_none_or(|set| !set.is_fresh(now))
    }

    fn learn<'a>(&'a self, kid: Option<&'a str>, now: Instant) -> Boxed<'a, Result<(), String>> {
        Box::pin(async move {
            let url = self.place().await?;
            let Remote { fetch, key_sets, store } = &self.remote;
            let set = key_sets.get(store.as_ref(), fetch, &url, kid, now).await?;
            self.known.write().unwrap_or_else(PoisonError::into_inner).0 = Some(set);
            Ok(())
        })
    }
}
