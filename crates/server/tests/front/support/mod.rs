//! The world of a test: a server on a store of its own, with a clock that the test moves.

pub mod gate;
pub mod partner;
#[path = "../../../../store/tests/support/postgres.rs"]
#[cfg(grantor_postgres)]
mod postgres;
mod shown;

pub use shown::Shown;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use axum::body::Body;
use grantor::app::{App, Clock, Shared};
use grantor::config::{self, Overrides};
use grantor::edge::Edge;
use grantor::listen::Peer;
use grantor::start;
use grantor_flows::admin::import::IfExists;
use grantor_model::Instant;
use http::{Method, Request, header};
use serde_json::{Map, Value};

/// The moment at which every world begins: 2027-01-15T08:00:00Z.
pub const BEGINNING: i64 = 1_800_000_000;

pub const KAIZTEN: &str = include_str!("../realms/kaizten.json");
pub const REGISTRY: &str = include_str!("../realms/registry.json");
pub const LAB: &str = include_str!("../realms/lab.json");

/// A server in process.
pub struct World {
    pub app: Shared,
    edge: Edge,
    clock: Arc<AtomicI64>,
    folder: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl World {
    /// A world on SQLite with one realm.
    pub async fn with(realm: &str) -> Self {
        let world = Self::empty().await;
        world.import(realm).await;
        world
    }

    /// A world on SQLite without a realm.
    pub async fn empty() -> Self {
        Self::on(None).await
    }

    /// A world on PostgreSQL with one realm.
    #[cfg(grantor_postgres)]
    pub async fn on_postgres(realm: &str) -> Self {
        let world = Self::on(Some(postgres::fresh_database())).await;
        world.import(realm).await;
        world
    }

    /// Without the programs the tests that call this are ignored.
    #[cfg(not(grantor_postgres))]
    pub async fn on_postgres(_: &str) -> Self {
        panic!("PostgreSQL is missing")
    }

    /// A world on SQLite with one realm that may fetch from this machine.
    pub async fn with_neighbours(realm: &str) -> Self {
        let world = Self::configured(None, &[("GRANTOR_OUTBOUND_ALLOW_PRIVATE", "127.0.0.0/8")]).await;
        world.import(realm).await;
        world
    }

    /// A world on SQLite with one realm, under settings of the environment.
    pub async fn with_settings(realm: &str, environment: &[(&str, &str)]) -> Self {
        let world = Self::configured(None, environment).await;
        world.import(realm).await;
        world
    }

    /// The file that the store is in.
    pub fn database_file(&self) -> PathBuf {
        self.folder.join("grantor.db")
    }

    async fn on(database: Option<String>) -> Self {
        Self::configured(database, &[]).await
    }

    async fn configured(database: Option<String>, environment: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("grantor-front-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let data = folder.to_str().map(str::to_owned);
        let overrides = Overrides { data, database, ..Overrides::default() };
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = config::load(None, environment, &overrides).expect("a configuration");
        let clock = Arc::new(AtomicI64::new(BEGINNING * 1000));
        let shown = clock.clone();
        let engine = start::engine(&config).await.expect("an engine");
        let clock_of_app = Clock(Box::new(move || Instant::from_millis(shown.load(Ordering::Relaxed))));
        let app = App::new(engine, &config, clock_of_app).expect("a gateway");
        Self { edge: Edge::new(app.clone()), app, clock, folder }
    }

    /// Takes the database away, as a lost disk would.
    pub fn lose_database(&self) {
        std::fs::rename(self.folder.join("grantor.db"), self.folder.join("gone.db")).expect("a database");
    }

    /// Gives the database back.
    pub fn find_database(&self) {
        std::fs::rename(self.folder.join("gone.db"), self.folder.join("grantor.db")).expect("a database");
    }

    /// The key of a realm.
    pub async fn realm_id(&self, realm: &str) -> String {
        self.app.engine.required_realm(realm, self.now()).await.expect("a realm").id.clone()
    }

    /// The moment that the world is at.
    pub fn now(&self) -> Instant {
        Instant::from_millis(self.clock.load(Ordering::Relaxed))
    }

    /// Moves the clock on.
    pub fn later(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    /// The same store under a process that has just begun.
    pub async fn restarted(mut self) -> Self {
        let fetch = self.app.engine.fetch.clone();
        let overrides = Overrides { data: self.folder.to_str().map(str::to_owned), ..Overrides::default() };
        let config = config::load(None, [], &overrides).expect("a configuration");
        let mut engine = start::engine(&config).await.expect("an engine");
        engine.fetch = fetch;
        let shown = self.clock.clone();
        let clock = Clock(Box::new(move || Instant::from_millis(shown.load(Ordering::Relaxed))));
        self.app = App::new(engine, &config, clock).expect("a gateway");
        self.edge = Edge::new(self.app.clone());
        self
    }

    /// The decision behind a refusal, as it is kept.
    pub async fn decision(&self, shown: &Shown) -> grantor_model::Decision {
        let id = shown.header("grantor-decision").expect("a decision");
        self.app.engine.decisions.flush(&self.app.engine.store).await.expect("a store");
        self.app.engine.store.decision(id).await.expect("a store").expect("a decision that is kept")
    }

    pub async fn import(&self, realm: &str) {
        let file: Map<String, Value> = serde_json::from_str(realm).expect("a realm file");
        self.app.engine.import_realm(file, IfExists::Overwrite, self.now()).await.expect("an import");
    }

    /// A realm that is there.
    pub async fn realm(&self, name: &str) -> Arc<grantor_flows::Realm> {
        self.app.engine.realm(name, self.now()).await.expect("a store").expect("a realm")
    }

    /// Changes settings of a realm, as an administrator would.
    pub async fn set(&self, realm: &str, settings: &[(&str, Value)]) {
        let row = self.app.engine.store.realm(realm).await.expect("a store").expect("a realm");
        let mut document: Map<String, Value> = serde_json::from_str(&row.document).expect("JSON");
        document.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let text = serde_json::to_string(&document).expect("JSON");
        let mut statements = vec![grantor_store::realms::update_document(&row.id, &text)];
        statements.extend(grantor_store::realms::changed(&row.id));
        self.app.engine.store.apply(statements).await.expect("a change");
        self.app.engine.reload(realm, self.now()).await.expect("a reload");
    }

    pub async fn send(&self, request: Request<Body>) -> Shown {
        let response =
            self.edge.handle(Peer { address: SocketAddr::from(([127, 0, 0, 1], 0)), tls: false }, request).await;
        Shown::of(response, self).await
    }

    /// The bytes of an answer and its gRPC status.
    pub async fn raw(&self, request: Request<Body>) -> (Vec<u8>, Option<String>) {
        use http_body_util::BodyExt as _;
        let peer = Peer { address: SocketAddr::from(([127, 0, 0, 1], 0)), tls: false };
        let body = self.edge.handle(peer, request).await.into_body().collect().await.expect("a body");
        let status =
            body.trailers().and_then(|trailers| trailers.get("grpc-status")).and_then(|value| value.to_str().ok());
        let status = status.map(str::to_owned);
        (body.to_bytes().to_vec(), status)
    }

    pub async fn get(&self, path: &str) -> Shown {
        self.send(request(Method::GET, path, &[], "")).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Shown {
        self.send(request(Method::GET, path, headers, "")).await
    }

    /// A form, with further headers.
    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], form: &[(&str, &str)]) -> Shown {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.send(request(Method::POST, path, &all, &body)).await
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Shown {
        self.post_with(path, &[], form).await
    }

    /// A token request to a realm.
    pub async fn token(&self, realm: &str, form: &[(&str, &str)]) -> Shown {
        self.post(&endpoint(realm, "token"), form).await
    }
}

/// A protocol endpoint of a realm.
pub fn endpoint(realm: &str, name: &str) -> String {
    format!("/realms/{realm}/protocol/openid-connect/{name}")
}

/// Any request; the host is the loopback name unless a header says otherwise.
pub fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("host")) {
        request = request.header(header::HOST, "localhost");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).expect("a request")
}

/// `Authorization: Basic` of a client.
pub fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}")))
}
