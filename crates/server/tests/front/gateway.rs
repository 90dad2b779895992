//! The gateway: which calls go through, which do not, and what is said about it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grantor_model::api::{ApiDocument, PassToken, RateBy, RateDocument, RuleDocument};
use grantor_model::jose::{self, Algorithm};
use serde_json::{Value, json};

use crate::support::gate::{Gate, Got, Upstream};
use crate::support::{KAIZTEN, World};

pub(crate) const HOST: &str = "api.test";

pub(crate) fn rule(method: &str, path: &str) -> RuleDocument {
    RuleDocument { methods: vec![method.to_owned()], path: path.to_owned(), ..RuleDocument::default() }
}

fn api(upstream: &Upstream) -> ApiDocument {
    ApiDocument {
        name: "tasks".to_owned(),
        realm: Some("kaizten".to_owned()),
        hosts: vec![HOST.to_owned()],
        upstreams: vec![upstream.url()],
        rules: vec![
            rule("GET", "/v1/tasks"),
            RuleDocument { roles: vec!["admin".to_owned()], ..rule("GET", "/v1/admin") },
            RuleDocument { scopes: vec!["tasks:write".to_owned()], ..rule("POST", "/v1/tasks") },
            RuleDocument { clients: vec!["kaizten-bot".to_owned()], ..rule("GET", "/v1/bot") },
            RuleDocument {
                claims: BTreeMap::from([("azp".to_owned(), vec!["other".to_owned()])]),
                ..rule("GET", "/v1/claim")
            },
            RuleDocument { deny: true, ..rule("GET", "/v1/closed") },
            RuleDocument { public: true, ..rule("GET", "/health") },
        ],
        ..ApiDocument::default()
    }
}

pub(crate) struct Setup {
    pub(crate) world: World,
    pub(crate) upstream: Upstream,
    pub(crate) gate: Gate,
}

impl Setup {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl Fn(&mut ApiDocument)) -> Self {
        Self::on(World::with(KAIZTEN).await, change).await
    }

    pub(crate) async fn on(world: World, change: impl Fn(&mut ApiDocument)) -> Self {
        let upstream = Upstream::start().await;
        let mut document = api(&upstream);
        change(&mut document);
        let gate = Gate::open(&world, std::slice::from_ref(&document)).await;
        let realm = world.realm("kaizten").await;
        for client in ["kaizten-task-api", "kaizten-bot"] {
            world.app.engine.allow_api(&realm, &document, client, &[], world.now()).await.unwrap();
        }
        world.refresh().await;
        Self { world, upstream, gate }
    }

    pub(crate) async fn token(&self, user: &str) -> String {
        let form = [
            ("grant_type", "password"),
            ("client_id", "kaizten-task-api"),
            ("username", user),
            ("password", "Passw0rd!"),
        ];
        self.world.token("kaizten", &form).await.expect(200).text("access_token")
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Got {
        self.gate.get(HOST, path, token).await
    }

    /// The check that a decision ended with.
    pub(crate) async fn failed(&self, got: &Got) -> String {
        let id = got.header("grantor-decision").expect("a decision");
        self.world.app.engine.decisions.flush(&self.world.app.engine.store).await.unwrap();
        let decision = self.world.app.engine.store.decision(id).await.unwrap().expect("a decision that is kept");
        assert_eq!(decision.endpoint, "gateway");
        decision.checks.last().unwrap().check.to_string()
    }

    /// A token with other claims or another header, signed by the realm's own key.
    pub(crate) async fn forged(&self, token: &str, change: Value, header: Value) -> String {
        let realm = self.world.realm("kaizten").await;
        let signer = realm.keys.signer(Algorithm::RS256).expect("a key");
        let mut claims = claims(token);
        merge(&mut claims, &change);
        let mut head = json!({"alg": "RS256", "typ": "JWT", "kid": signer.key.kid()});
        merge(&mut head, &header);
        jose::sign_compact(&head.to_string(), claims.to_string().as_bytes(), &signer.key).unwrap()
    }
}

/// Members that are null are taken out.
pub(crate) fn merge(into: &mut Value, change: &Value) {
    let into = into.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => drop(into.remove(name)),
            value => drop(into.insert(name.clone(), value.clone())),
        }
    }
}

pub(crate) fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn k02_a_token_opens_the_api_and_the_upstream_learns_who_calls() {
    let setup = Setup::new().await;
    let token = setup.token("alice").await;
    let got = setup.get("/v1/tasks?x=%2F&y", &token).await.expect(200);
    assert!(got.header("grantor-decision").is_some());
    let seen = got.json();
    assert_eq!((&seen["method"], &seen["path"]), (&json!("GET"), &json!("/v1/tasks?x=%2F&y")));
    let claims = claims(&token);
    for (name, value) in [
        ("x-auth-subject", claims["sub"].clone()),
        ("x-auth-username", json!("alice")),
        ("x-auth-client", json!("kaizten-task-api")),
        ("x-auth-issuer", claims["iss"].clone()),
        ("x-forwarded-host", json!(HOST)),
        ("x-forwarded-proto", json!("http")),
        ("x-forwarded-for", json!("127.0.0.1")),
        ("host", json!(HOST)),
        ("authorization", json!(format!("Bearer {token}"))),
    ] {
        assert_eq!(seen["headers"][name], json!([value]), "{name}");
    }
    assert!(seen["headers"]["x-auth-roles"][0].as_str().unwrap().split(',').any(|role| role == "admin"));
    assert!(seen["headers"]["traceparent"][0].as_str().unwrap().starts_with("00-"));
    // The second call is let through from memory, and sees the same.
    let again = setup.get("/v1/tasks?x=%2F&y", &token).await.expect(200).json();
    assert_eq!(again["headers"]["x-auth-roles"], seen["headers"]["x-auth-roles"]);
}

#[tokio::test]
async fn k03_k17_g15_without_a_token_nothing_comes_through() {
    let setup = Setup::new().await;
    for path in ["/v1/tasks", "/v1/nothing", "/v1/closed"] {
        let got = setup.gate.call("GET", HOST, path, &[]).await.expect(401);
        let challenge = got.header("www-authenticate").unwrap();
        let metadata = "Bearer resource_metadata=\"http://api.test/.well-known/oauth-protected-resource\"";
        assert_eq!(challenge, metadata, "RFC 6750 section 3.1: no error code without a token");
        assert_eq!(got.json()["error"], "unauthorized");
        assert_eq!(got.json()["decision"].as_str(), got.header("grantor-decision"));
        assert_eq!(setup.failed(&got).await, "Authorization");
    }
    assert_eq!(setup.upstream.count(), 0);
}

#[tokio::test]
async fn g16_g24_r33_only_one_bearer_token_counts() {
    let setup = Setup::new().await;
    let token = setup.token("alice").await;
    for value in [
        format!("JWT {token}"),
        format!("Token {token}"),
        format!("Bearer {token} x"),
        format!("Bearer  {token}"),
        format!("Bearer {token},{token}"),
        token.clone(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Basic YWxpY2U6UGFzc3cwcmQh".to_owned(),
        format!("DPoP {token}"),
    ] {
        let got = setup.gate.call("GET", HOST, "/v1/tasks", &[("authorization", &value)]).await.expect(401);
        assert_eq!(setup.failed(&got).await, "Authorization", "{value}");
    }
    let bearer = format!("Bearer {token}");
    let two = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
    setup.gate.call("GET", HOST, "/v1/tasks", &two).await.expect(400);
    setup.gate.call("GET", HOST, &format!("/v1/tasks?access_token={token}"), &[]).await.expect(401);
    assert_eq!(setup.upstream.count(), 0);
    setup.gate.call("GET", HOST, "/v1/tasks", &[("authorization", &format!("bEARER {token}"))]).await.expect(200);
}

#[tokio::test]
async fn k22_k27_a_token_ends_when_it_says() {
    let setup = Setup::new().await;
    let token = setup.token("alice").await;
    setup.get("/v1/tasks", &token).await.expect(200);
    setup.world.later(304);
    setup.world.refresh().await;
    setup.get("/v1/tasks", &token).await.expect(200);
    setup.world.later(1);
    let got = setup.get("/v1/tasks", &token).await.expect(401);
    assert!(got.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    assert_eq!(setup.failed(&got).await, "exp");
}

#[tokio::test]
async fn k25_a_refresh_token_and_an_id_token_open_nothing() {
    let setup = Setup::new().await;
    let form = [
        ("grant_type", "password"),
        ("client_id", "kaizten-task-api"),
        ("username", "alice"),
        ("password", "Passw0rd!"),
        ("scope", "openid"),
    ];
    let tokens = setup.world.token("kaizten", &form).await.expect(200);
    for name in ["refresh_token", "id_token"] {
        setup.get("/v1/tasks", &tokens.text(name)).await.expect(401);
    }
    setup.get("/v1/tasks", &tokens.text("access_token")).await.expect(200);
}

#[tokio::test]
async fn g21_rules_ask_for_roles_scopes_clients_and_claims() {
    let setup = Setup::new().await;
    let (alice, bob) = (setup.token("alice").await, setup.token("bob").await);
    setup.get("/v1/admin", &alice).await.expect(200);
    let got = setup.get("/v1/admin", &bob).await.expect(403);
    assert_eq!((got.json()["error"].as_str(), setup.failed(&got).await.as_str()), (Some("access_denied"), "role"));
    let bearer = format!("Bearer {alice}");
    let got = setup.gate.call("POST", HOST, "/v1/tasks", &[("authorization", &bearer)]).await.expect(403);
    let challenge = got.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer error=\"insufficient_scope\", scope=\"tasks:write\","), "{challenge}");
    for (path, check) in [("/v1/bot", "client"), ("/v1/claim", "claim"), ("/v1/closed", "rule")] {
        let got = setup.get(path, &alice).await.expect(403);
        assert_eq!(setup.failed(&got).await, check);
    }
    let count = setup.upstream.count();
    let got = setup.get("/v1/nothing", &alice).await.expect(404);
    assert_eq!(got.json()["error"], "no_route");
    let got = setup.gate.call("DELETE", HOST, "/v1/tasks", &[("authorization", &bearer)]).await.expect(405);
    assert_eq!(got.header("allow"), Some("GET, HEAD, POST"));
    setup.gate.call("GET", "other.test", "/v1/tasks", &[("authorization", &bearer)]).await.expect(404);
    assert_eq!(setup.upstream.count(), count);
    // With the scope, the same call goes through.
    let realm = setup.world.realm("kaizten").await;
    let (_, document) = setup.world.app.engine.stored_api("tasks").await.unwrap();
    let scopes = ["tasks:write".to_owned()];
    setup.world.app.engine.allow_api(&realm, &document, "kaizten-task-api", &scopes, setup.world.now()).await.unwrap();
    let token = setup.token("bob").await;
    let body =
        setup.gate.send("POST", HOST, "/v1/tasks", &[("authorization", &format!("Bearer {token}"))], Some("{}")).await;
    assert_eq!(body.expect(200).json()["body"], "{}");
}

#[tokio::test]
async fn a_public_path_needs_no_token_and_gets_no_identity() {
    let setup = Setup::new().await;
    let forged = [
        ("x-auth-subject", "root"),
        ("X_Auth_Roles", "admin"),
        ("x-userinfo", "e30="),
        ("authorization", "Basic eDp5"),
    ];
    let seen = setup.gate.call("GET", HOST, "/health", &forged).await.expect(200).json();
    for name in ["x-auth-subject", "x_auth_roles", "x-userinfo"] {
        assert_eq!(seen["headers"][name], Value::Null, "{name}");
    }
    assert_eq!(seen["headers"]["authorization"], json!(["Basic eDp5"]));
}

#[tokio::test]
async fn forged_headers_are_taken_off() {
    let setup = Setup::with(|api| api.pass_token = PassToken::XAccessToken).await;
    let token = setup.token("alice").await;
    let headers = [
        ("authorization", format!("Bearer {token}")),
        ("x-access-token", "forged".to_owned()),
        ("x-auth-subject", "forged".to_owned()),
        ("x-auth-anything", "forged".to_owned()),
        ("x-forwarded-for", "6.6.6.6".to_owned()),
        ("x-forwarded-user", "forged".to_owned()),
        ("forwarded", "for=forged".to_owned()),
        ("x-original-url", "/forged".to_owned()),
        ("x-http-method-override", "DELETE".to_owned()),
        ("grantor-decision", "forged".to_owned()),
        ("connection", "x-secret".to_owned()),
        ("x-secret", "forged".to_owned()),
        ("keep-alive", "forged".to_owned()),
        ("te", "gzip".to_owned()),
        ("x-kept", "kept".to_owned()),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    ];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let seen = setup.gate.call("GET", HOST, "/v1/tasks", &headers).await.expect(200).json();
    assert!(!seen["headers"].to_string().contains("forged"), "{seen}");
    assert_eq!(seen["headers"]["x-access-token"], json!([token]));
    assert_eq!(seen["headers"]["authorization"], Value::Null);
    assert_eq!(seen["headers"]["x-kept"], json!(["kept"]));
    assert_eq!(seen["headers"]["te"], Value::Null);
    assert_eq!(seen["headers"]["traceparent"], json!(["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]));
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused() {
    let setup = Setup::new().await;
    let token = setup.token("alice").await;
    for path in [
        "/v1/../v1/tasks",
        "/v1/%2e%2e/x",
        "//v1/tasks",
        "/v1//tasks",
        "/v1%2ftasks",
        "/v1/tasks;a=b",
        "/v1/tasks%00",
        "/v1/%252e",
    ] {
        let got = setup.get(path, &token).await.expect(400);
        assert_eq!(setup.failed(&got).await, "path", "{path}");
    }
    let bearer = format!("authorization: Bearer {token}\r\n");
    for text in [
        format!("GET http://api.test/v1/tasks HTTP/1.1\r\nhost: api.test\r\n{bearer}\r\n"),
        format!("GET /v1/tasks HTTP/1.1\r\nhost: api.test\r\nhost: other.test\r\n{bearer}\r\n"),
        format!(
            "POST /v1/tasks HTTP/1.1\r\nhost: api.test\r\ncontent-length: 1\r\ncontent-length: 2\r\n{bearer}\r\nxx"
        ),
        format!("GET /v1/tasks HTTP/1.1\r\nhost: api.test\r\nx-a: b\r\n c\r\n{bearer}\r\n"),
        format!("GET /v1/tasks HTTP/1.1\r\nhost: api.test\r\nbad name: x\r\n{bearer}\r\n"),
        format!("GET /v1/tasks HTTP/1.1\r\nhost: api.test\r\nconnection: authorization\r\n{bearer}\r\n"),
    ] {
        assert_eq!(setup.gate.raw(&text).await.status, 400, "{text}");
    }
    assert_eq!(setup.upstream.count(), 0);
}

#[tokio::test]
async fn g22_answers_come_back_unchanged() {
    let world = World::with(KAIZTEN).await;
    let upstream = Upstream::saying(|_| {
        "HTTP/1.1 418 I'm a teapot\r\ncontent-length: 3\r\nset-cookie: a=b\r\nset-cookie: c=d\r\nx-y: z\r\ngrantor-decision: forged\r\nkeep-alive: x\r\n\r\ntea".to_owned()
    })
    .await;
    let gate = Gate::open(&world, &[api(&upstream)]).await;
    let got = gate.call("GET", HOST, "/health", &[]).await.expect(418);
    assert_eq!((got.body.as_str(), got.header("x-y"), got.header("keep-alive")), ("tea", Some("z"), None));
    assert_ne!(got.header("grantor-decision"), Some("forged"));
}

#[tokio::test]
async fn r38_x18_an_upstream_that_fails_is_told_apart() {
    let setup = Setup::with(|api| {
        api.upstreams = vec!["http://127.0.0.1:1".to_owned()];
        api.timeout_seconds = 1;
    })
    .await;
    let got = setup.gate.call("GET", HOST, "/health", &[]).await.expect(502);
    assert!(!got.body.contains("127.0.0.1"), "{}", got.body);
    assert_eq!(
        (got.json()["error"].as_str(), setup.failed(&got).await.as_str()),
        (Some("upstream_failed"), "upstream")
    );
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let slow = Setup::with(move |api| {
        api.upstreams = vec![url.clone()];
        api.timeout_seconds = 1;
    })
    .await;
    slow.gate.call("GET", HOST, "/health", &[]).await.expect(504);
}

#[tokio::test]
async fn a_dead_address_is_left_out() {
    let setup = Setup::with(|api| api.upstreams.insert(0, "http://127.0.0.1:1".to_owned())).await;
    for _ in 0..6 {
        setup.gate.call("GET", HOST, "/health", &[]).await.expect(200);
    }
    assert_eq!(setup.upstream.count(), 6);
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let setup = Setup::with(|api| {
        api.body_bytes = 10;
        api.rules.push(RuleDocument { public: true, ..rule("POST", "/upload") });
    })
    .await;
    setup.gate.send("POST", HOST, "/upload", &[], Some("0123456789")).await.expect(200);
    setup.gate.send("POST", HOST, "/upload", &[], Some("0123456789x")).await.expect(413);
    let chunked = "POST /upload HTTP/1.1\r\nhost: api.test\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n6\r\n012345\r\n6\r\n012345\r\n0\r\n\r\n";
    assert_eq!(setup.gate.raw(chunked).await.status, 413);
}

#[tokio::test]
async fn x15_limits_count_each_client_for_itself() {
    let rate = RateDocument { requests: 3, seconds: 60, by: RateBy::User };
    let setup = Setup::with(move |api| api.rate = Some(rate.clone())).await;
    let (alice, bob) = (setup.token("alice").await, setup.token("bob").await);
    for left in ["2", "1", "0"] {
        let got = setup.get("/v1/tasks", &alice).await.expect(200);
        assert_eq!((got.header("ratelimit-limit"), got.header("ratelimit-remaining")), (Some("3"), Some(left)));
    }
    let got = setup.get("/v1/tasks", &alice).await.expect(429);
    assert_eq!((got.header("retry-after"), got.header("ratelimit-remaining")), (Some("20"), Some("0")));
    assert_eq!(got.json()["message"], "API rate limit exceeded");
    setup.get("/v1/tasks", &bob).await.expect(200);
    setup.world.later(20);
    setup.world.refresh().await;
    setup.get("/v1/tasks", &alice).await.expect(200);
}

#[tokio::test]
async fn rfc9728_the_api_says_where_tokens_are_to_be_had() {
    let setup = Setup::with(|api| api.path = "/base".to_owned()).await;
    let got = setup.gate.call("GET", HOST, "/base/v1/tasks", &[]).await.expect(401);
    let challenge = got.header("www-authenticate").unwrap();
    assert_eq!(challenge, "Bearer resource_metadata=\"http://api.test/.well-known/oauth-protected-resource/base\"");
    let metadata =
        setup.gate.call("GET", HOST, "/.well-known/oauth-protected-resource/base", &[]).await.expect(200).json();
    assert_eq!(
        metadata,
        json!({"resource": "http://api.test/base", "resource_name": "tasks", "authorization_servers": [],
               "scopes_supported": ["tasks:write"], "bearer_methods_supported": ["header"]})
    );
}

#[tokio::test]
async fn a_client_reads_why_its_own_token_was_refused_and_nobody_elses() {
    let setup = Setup::new().await;
    let (alice, bob) = (setup.token("alice").await, setup.token("bob").await);
    let form =
        [("grant_type", "client_credentials"), ("client_id", "kaizten-bot"), ("client_secret", "test-secret-bot")];
    let bot = setup.world.token("kaizten", &form).await.expect(200).text("access_token");
    let refused = setup.get("/v1/admin", &bob).await.expect(403);
    let path = format!("/api/decisions/{}", refused.header("grantor-decision").unwrap());
    let flush = async || setup.world.app.engine.decisions.flush(&setup.world.app.engine.store).await.unwrap();
    flush().await;
    let read = async |token: &str| {
        let bearer = format!("Bearer {token}");
        setup.world.get_with(&path, &[("authorization", &bearer)]).await
    };
    let decision = read(&alice).await.expect(200).json();
    assert_eq!((&decision["client"], &decision["endpoint"]), (&json!("kaizten-task-api"), &json!("gateway")));
    let names: Vec<&str> =
        decision["checks"].as_array().unwrap().iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["request", "routes", "API"]);
    assert_eq!(names[names.len() - 3..], ["key", "the token by this clock", "role"]);
    read(&bot).await.expect(404);
    read("x.y.z").await.expect(404);
    setup.world.get(&path).await.expect(401);
    let nothing = setup.world.get_with("/api/decisions/nosuch", &[("authorization", &format!("Bearer {alice}"))]).await;
    assert_eq!(nothing.expect(404).json(), read(&bot).await.json());
    // Nobody's call is nobody's to read but an administrator's.
    let anonymous = setup.gate.call("GET", HOST, "/v1/tasks", &[]).await.expect(401);
    flush().await;
    let path = format!("/api/decisions/{}", anonymous.header("grantor-decision").unwrap());
    setup.world.get_with(&path, &[("authorization", &format!("Bearer {alice}"))]).await.expect(404);
}

#[tokio::test]
async fn a_host_is_judged_in_its_one_spelling() {
    let setup = Setup::new().await;
    let realm = setup.world.realm("kaizten").await;
    let open = ApiDocument {
        name: "open".to_owned(),
        upstreams: vec![setup.upstream.url()],
        rules: vec![RuleDocument { public: true, path: "/**".to_owned(), ..RuleDocument::default() }],
        ..ApiDocument::default()
    };
    setup.world.app.engine.add_api(&realm, &open, &BTreeMap::new(), setup.world.now()).await.unwrap();
    setup.world.refresh().await;
    setup.gate.call("GET", "other.test", "/v1/tasks", &[]).await.expect(200);
    for host in ["api.test", "API.test", "api.test:", "api.test.", "api.test:8000", "Api.Test.:80"] {
        setup.gate.call("GET", host, "/v1/tasks", &[]).await.expect(401);
    }
    for host in ["a@api.test", "api.test:80:80", "api.test:x", "", "api..test", "api.test/x"] {
        setup.gate.call("GET", host, "/v1/tasks", &[]).await.expect(400);
    }
    let seen = setup.gate.call("GET", "OTHER.test.:80", "/", &[]).await.expect(200).json();
    assert_eq!(seen["headers"]["host"], json!(["other.test:80"]));
}

#[tokio::test]
async fn a_slash_at_the_end_opens_nothing() {
    let setup = Setup::with(|api| {
        api.rules.push(RuleDocument { path: "/**".to_owned(), ..RuleDocument::default() });
    })
    .await;
    let bob = setup.token("bob").await;
    setup.get("/v1/other/", &bob).await.expect(200);
    for path in ["/v1/admin", "/v1/admin/", "/v1/%61dmin/"] {
        setup.get(path, &bob).await.expect(403);
    }
}

#[tokio::test]
async fn trailers_and_upgrades_say_nothing_that_only_the_gateway_says() {
    let setup = Setup::with(|api| api.rules.push(RuleDocument { public: true, ..rule("POST", "/upload") })).await;
    let chunked = "POST /upload HTTP/1.1\r\nhost: api.test\r\ntransfer-encoding: chunked\r\ntrailer: x-auth-roles, x-sum\r\nconnection: close\r\n\r\n2\r\nhi\r\n0\r\nx-auth-roles: admin\r\nx_auth_roles: admin\r\nauthorization: Bearer x\r\nx-sum: 42\r\n\r\n";
    let seen = setup.gate.raw(chunked).await.expect(200).json();
    let body = seen["body"].as_str().unwrap();
    assert!(!body.contains("admin") && !body.contains("Bearer"), "{body}");
    for value in ["websocket, h2c", "h2c, websocket", "H2C", "h2", "tls"] {
        let headers =
            [("connection", "upgrade, http2-settings"), ("upgrade", value), ("http2-settings", "AAMAAABkAAQAAP__")];
        let seen = setup.gate.call("GET", HOST, "/health", &headers).await.expect(200).json();
        assert_eq!(
            (&seen["headers"]["upgrade"], &seen["headers"]["http2-settings"]),
            (&Value::Null, &Value::Null),
            "{value}"
        );
    }
}

#[tokio::test]
async fn ids_of_decisions_do_not_follow_from_one_another() {
    let setup = Setup::new().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        let got = setup.gate.call("GET", HOST, "/v1/tasks", &[]).await.expect(401);
        ids.push(u64::from_str_radix(got.header("grantor-decision").unwrap(), 16).unwrap());
    }
    let steps: std::collections::HashSet<u64> = ids.windows(2).map(|two| two[1].wrapping_sub(two[0])).collect();
    assert_eq!(steps.len(), 3, "{ids:x?}");
}

#[tokio::test]
async fn a_file_with_a_mistake_keeps_the_routes_and_nothing_else_back() {
    let folder = std::env::temp_dir().join(format!("grantor-routes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("routes.toml");
    let upstream = Upstream::start().await;
    let write = |host: &str, more: &str| {
        let text = format!(
            "[[api]]\nname = \"filed\"\nrealm = \"kaizten\"\nhosts = [\"{host}\"]\nwithout_audience = true\naudience = \"account\"\nupstreams = [\"{}\"]\n[[api.rules]]\npath = \"/**\"\n{more}",
            upstream.url()
        );
        std::fs::write(&file, text).unwrap();
    };
    write("one.test", "");
    let world = World::with_settings(KAIZTEN, &[("GRANTOR_GATEWAY_ROUTES", file.to_str().unwrap())]).await;
    let gate = Gate::open(&world, &[]).await;
    let form =
        [("grant_type", "client_credentials"), ("client_id", "kaizten-bot"), ("client_secret", "test-secret-bot")];
    let token = world.token("kaizten", &form).await.expect(200).text("access_token");
    let status = async |host: &str| gate.get(host, "/x", &token).await.status;
    world.refresh().await;
    assert_eq!([status("one.test").await, status("two.test").await], [200, 404]);
    assert!(grantor::gateway::faults(&world.app).is_empty());
    write("two.test", "nonsense = [");
    world.refresh().await;
    assert_eq!([status("one.test").await, status("two.test").await], [200, 404]);
    assert_eq!(grantor::gateway::faults(&world.app).len(), 1);
    // What is said of clients goes on counting.
    let realm = world.realm("kaizten").await;
    world.app.engine.enable_client(&realm, "kaizten-bot", false, world.now()).await.unwrap();
    world.refresh().await;
    assert_eq!(status("one.test").await, 401);
    world.app.engine.enable_client(&realm, "kaizten-bot", true, world.now()).await.unwrap();
    write("two.test", "");
    world.refresh().await;
    assert_eq!([status("one.test").await, status("two.test").await], [404, 200]);
    assert!(grantor::gateway::faults(&world.app).is_empty());
    let _ = std::fs::remove_dir_all(&folder);
}
