//! What is revoked stops working at the gateway, exactly and at once.

use std::time::Duration;

use grantor_model::api::{ApiDocument, RuleDocument, WhenStale};
use grantor_model::revocation::What;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::gate::{Gate, Upstream};
use crate::support::{KAIZTEN, World, endpoint};

const HOST: &str = "api.test";

struct Setup {
    world: World,
    gate: Gate,
    upstream: Upstream,
}

impl Setup {
    async fn new() -> Self {
        Self::on(World::with(KAIZTEN).await, WhenStale::AcceptShort).await
    }

    async fn on(world: World, when_stale: WhenStale) -> Self {
        Self::before(Upstream::start().await, world, when_stale).await
    }

    async fn before(upstream: Upstream, world: World, when_stale: WhenStale) -> Self {
        let document = ApiDocument {
            name: "tasks".to_owned(),
            realm: Some("kaizten".to_owned()),
            hosts: vec![HOST.to_owned()],
            upstreams: vec![upstream.url()],
            when_stale,
            rules: vec![RuleDocument { path: "/**".to_owned(), ..RuleDocument::default() }],
            ..ApiDocument::default()
        };
        let gate = Gate::open(&world, std::slice::from_ref(&document)).await;
        let realm = world.realm("kaizten").await;
        for client in ["kaizten-task-api", "kaizten-bot"] {
            world.app.engine.allow_api(&realm, &document, client, &[], world.now()).await.unwrap();
        }
        world.refresh().await;
        Self { world, gate, upstream }
    }

    async fn login(&self, user: &str) -> (String, String) {
        let form = [
            ("grant_type", "password"),
            ("client_id", "kaizten-task-api"),
            ("username", user),
            ("password", "Passw0rd!"),
        ];
        let tokens = self.world.token("kaizten", &form).await.expect(200);
        (tokens.text("access_token"), tokens.text("refresh_token"))
    }

    async fn bot(&self) -> String {
        let form =
            [("grant_type", "client_credentials"), ("client_id", "kaizten-bot"), ("client_secret", "test-secret-bot")];
        self.world.token("kaizten", &form).await.expect(200).text("access_token")
    }

    async fn status(&self, token: &str) -> u16 {
        self.gate.get(HOST, "/x", token).await.status
    }

    /// Revokes by the protocol.
    async fn revoke(&self, token: &str) {
        let form = [("token", token), ("client_id", "kaizten-task-api")];
        self.world.post(&endpoint("kaizten", "revoke"), &form).await.expect(200);
    }

    async fn what(&self) -> Vec<What> {
        let entries = self.world.app.engine.store.revocations_after(0, 100).await.unwrap();
        entries.into_iter().map(|entry| entry.what).collect()
    }
}

async fn one_token_ends_alone(setup: Setup) {
    let ((one, _), (other, _)) = (setup.login("alice").await, setup.login("alice").await);
    assert_eq!([setup.status(&one).await, setup.status(&other).await], [200, 200]);
    setup.revoke(&one).await;
    setup.world.refresh().await;
    assert_eq!([setup.status(&one).await, setup.status(&other).await], [401, 200]);
    assert_eq!(setup.what().await, [What::Token]);
    // The entry goes when the token has expired, and not before.
    let sweep = async |seconds: i64| {
        let at = setup.world.now().plus_seconds(seconds);
        setup.world.app.engine.store.sweep(at, at).await.unwrap();
        grantor::gateway::forget(&setup.world.app).await.unwrap();
        (setup.what().await.len(), setup.status(&one).await)
    };
    assert_eq!(sweep(305).await, (1, 401));
    assert_eq!(sweep(400).await.0, 0);
}

#[tokio::test]
async fn a_revoked_token_ends_alone() {
    one_token_ends_alone(Setup::new().await).await;
}

#[tokio::test]
#[cfg_attr(not(grantor_postgres), ignore = "needs PostgreSQL's programs (Debian: postgresql)")]
async fn a_revoked_token_ends_alone_on_postgresql() {
    one_token_ends_alone(Setup::on(World::on_postgres(KAIZTEN).await, WhenStale::AcceptShort).await).await;
}

#[tokio::test]
async fn a_session_ends_with_all_its_tokens() {
    let setup = Setup::new().await;
    let ((one, refresh), (other, kept)) = (setup.login("alice").await, setup.login("alice").await);
    let form = [("client_id", "kaizten-task-api"), ("refresh_token", refresh.as_str())];
    setup.world.post(&endpoint("kaizten", "logout"), &form).await.expect(204);
    setup.world.refresh().await;
    assert_eq!([setup.status(&one).await, setup.status(&other).await], [401, 200]);
    // Revoking a refresh token ends its client's part of the session.
    setup.revoke(&kept).await;
    setup.world.refresh().await;
    assert_eq!(setup.status(&other).await, 401);
    let (again, _) = setup.login("alice").await;
    assert_eq!(setup.status(&again).await, 200);
    assert_eq!(setup.what().await, [What::Session, What::Session]);
}

#[tokio::test]
async fn x24_a_user_who_is_off_is_off_here_and_back_when_back() {
    let setup = Setup::new().await;
    let ((alice, _), (bob, _)) = (setup.login("alice").await, setup.login("bob").await);
    let realm = setup.world.realm("kaizten").await;
    let switch = async |on: bool| {
        setup.world.app.engine.enable_user(&realm, "alice", on, setup.world.now()).await.unwrap();
        setup.world.refresh().await;
        [setup.status(&alice).await, setup.status(&bob).await]
    };
    assert_eq!(switch(false).await, [401, 200]);
    assert_eq!(switch(true).await, [200, 200]);
}

#[tokio::test]
async fn r16_a_client_that_is_off_or_gone_has_no_tokens() {
    let setup = Setup::new().await;
    let (bot, (alice, _)) = (setup.bot().await, setup.login("alice").await);
    let realm = setup.world.realm("kaizten").await;
    let engine = &setup.world.app.engine;
    assert_eq!(setup.status(&bot).await, 200);
    engine.enable_client(&realm, "kaizten-bot", false, setup.world.now()).await.unwrap();
    setup.world.refresh().await;
    assert_eq!([setup.status(&bot).await, setup.status(&alice).await], [401, 200]);
    engine.enable_client(&realm, "kaizten-bot", true, setup.world.now()).await.unwrap();
    setup.world.refresh().await;
    assert_eq!(setup.status(&bot).await, 200);
    engine.remove_client(&realm, "kaizten-bot", setup.world.now()).await.unwrap();
    setup.world.refresh().await;
    assert_eq!([setup.status(&bot).await, setup.status(&alice).await], [401, 200]);
}

#[tokio::test]
async fn r26_not_before_ends_all_of_a_realm() {
    let setup = Setup::new().await;
    let (alice, _) = setup.login("alice").await;
    assert_eq!(setup.status(&alice).await, 200);
    setup.world.set("kaizten", &[("notBefore", json!(setup.world.now().seconds() + 1))]).await;
    setup.world.refresh().await;
    assert_eq!(setup.status(&alice).await, 401);
    setup.world.later(1);
    let (alice, _) = setup.login("alice").await;
    setup.world.refresh().await;
    assert_eq!(setup.status(&alice).await, 200);
}

#[tokio::test]
async fn a_realm_that_is_off_lets_nobody_through() {
    let setup = Setup::new().await;
    let (alice, _) = setup.login("alice").await;
    assert_eq!(setup.status(&alice).await, 200);
    setup.world.set("kaizten", &[("enabled", json!(false))]).await;
    setup.world.refresh().await;
    assert_eq!(setup.status(&alice).await, 401);
}

#[tokio::test]
async fn without_news_the_api_decides() {
    for (when_stale, short, long) in [
        (WhenStale::Accept, 200, 200),
        (WhenStale::AcceptShort, 200, 503),
        (WhenStale::Introspect, 200, 200),
        (WhenStale::Refuse, 503, 503),
    ] {
        let setup = Setup::on(World::with(KAIZTEN).await, when_stale).await;
        let (alice, _) = setup.login("alice").await;
        setup.world.set("kaizten", &[("accessTokenLifespan", json!(3_600))]).await;
        let (lasting, _) = setup.login("alice").await;
        setup.world.refresh().await;
        assert_eq!([setup.status(&alice).await, setup.status(&lasting).await], [200, 200]);
        setup.world.later(11);
        assert_eq!([setup.status(&alice).await, setup.status(&lasting).await], [short, long], "{when_stale:?}");
        setup.world.refresh().await;
        assert_eq!([setup.status(&alice).await, setup.status(&lasting).await], [200, 200]);
    }
}

#[tokio::test]
async fn without_news_the_issuer_is_asked_about_each_token() {
    let setup = Setup::on(World::with(KAIZTEN).await, WhenStale::Introspect).await;
    let ((alice, _), bot) = (setup.login("alice").await, setup.bot().await);
    setup.world.later(11);
    assert_eq!([setup.status(&alice).await, setup.status(&bot).await], [200, 200]);
    // Revoked, and no news of it.
    setup.revoke(&alice).await;
    setup.world.later(2);
    assert_eq!([setup.status(&alice).await, setup.status(&bot).await], [401, 200]);
    setup.world.later(2);
    setup.world.lose_database();
    assert!(setup.world.app.engine.refresh_realms(setup.world.now()).await.is_err());
    assert_eq!([setup.status(&alice).await, setup.status(&bot).await], [503, 503]);
}

/// What was opened by a token ends with it, and with nothing else.
#[tokio::test]
async fn a_lasting_answer_ends_when_its_token_is_revoked() {
    let upstream = Upstream::saying(|got| match got["path"].as_str() {
        Some("/ws") => "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n".to_owned(),
        _ => "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n".to_owned(),
    })
    .await;
    let setup = Setup::before(upstream, World::with(KAIZTEN).await, WhenStale::AcceptShort).await;
    let ((alice, _), bot) = (setup.login("alice").await, setup.bot().await);
    let open = async |path: &str, token: &str| {
        let mut stream = TcpStream::connect(setup.gate.address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {token}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = vec![0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert!(
            head.starts_with(b"HTTP/1.1 101") || head.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        stream
    };
    let hers = [open("/ws", &alice).await, open("/events", &alice).await];
    let its = [open("/ws", &bot).await, open("/events", &bot).await];
    // Whether the other side closes within a second and a half.
    let ends = async |mut stream: TcpStream| {
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_millis(1_500), stream.read_to_end(&mut rest)).await.is_ok()
    };
    setup.revoke(&alice).await;
    setup.world.refresh().await;
    let [a, b] = hers;
    assert_eq!(tokio::join!(ends(a), ends(b)), (true, true));
    let [a, b] = its;
    assert_eq!(tokio::join!(ends(a), ends(b)), (false, false));
}

/// A crowd calls while the token is revoked: after the gateway has applied it, nobody gets through.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_accepted_after_the_revocation_was_applied() {
    let setup = std::sync::Arc::new(Setup::new().await);
    let (token, _) = setup.login("alice").await;
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (setup, token) = (setup.clone(), token.clone());
            tokio::spawn(async move { while setup.status(&token).await == 200 {} })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    setup.revoke(&token).await;
    setup.world.refresh().await;
    for caller in callers {
        caller.await.unwrap();
    }
    let count = setup.upstream.count();
    for _ in 0..20 {
        assert_eq!(setup.status(&token).await, 401);
    }
    assert_eq!(setup.upstream.count(), count);
}

#[tokio::test]
async fn a_client_of_a_name_that_was_used_before_does_not_bring_its_tokens_back() {
    let setup = Setup::new().await;
    let engine = &setup.world.app.engine;
    let realm = setup.world.realm("kaizten").await;
    let grant = async || {
        let realm = setup.world.realm("kaizten").await;
        let claims = std::collections::BTreeMap::new();
        let apis = ["tasks".to_owned()];
        let secret =
            engine.grant_external_system(&realm, "bank", "partner", &claims, &apis, setup.world.now()).await.unwrap();
        let form = [("grant_type", "client_credentials"), ("client_id", "bank"), ("client_secret", secret.as_str())];
        let token = setup.world.token("kaizten", &form).await.expect(200).text("access_token");
        setup.world.refresh().await;
        token
    };
    let old = grant().await;
    assert_eq!(setup.status(&old).await, 200);
    engine.remove_client(&realm, "bank", setup.world.now()).await.unwrap();
    setup.world.later(1);
    let new = grant().await;
    assert_eq!([setup.status(&old).await, setup.status(&new).await], [401, 200]);
}

/// A database that was put back to an earlier state has a shorter log.
#[tokio::test]
async fn a_log_that_was_set_back_counts_from_its_beginning() {
    let setup = Setup::new().await;
    let (alice, _) = setup.login("alice").await;
    let (lost, _) = setup.login("bob").await;
    setup.revoke(&lost).await;
    setup.revoke(&alice).await;
    setup.world.refresh().await;
    assert_eq!([setup.status(&alice).await, setup.status(&lost).await], [401, 401]);
    let back = [
        grantor_store::Statement::new("DELETE FROM revocations", []),
        grantor_store::Statement::new("UPDATE revocation_log SET position = 0 WHERE one = 1", []),
    ];
    setup.world.app.engine.store.apply(back.to_vec()).await.unwrap();
    setup.world.refresh().await;
    assert_eq!(setup.status(&lost).await, 200);
    setup.revoke(&lost).await;
    setup.world.refresh().await;
    assert_eq!(setup.status(&lost).await, 401);
}
