//! Decisions for other gateways.

use grantor_model::api::{ApiDocument, RuleDocument};
use http::Method;
use serde_json::Value;

use crate::support::gate::Gate;
use crate::support::{KAIZTEN, Shown, World, request};

async fn world() -> (World, String) {
    let world = World::with(KAIZTEN).await;
    let rule = |method: &str, path: &str| RuleDocument {
        methods: vec![method.to_owned()],
        path: path.to_owned(),
        ..RuleDocument::default()
    };
    let document = ApiDocument {
        name: "tasks".to_owned(),
        realm: Some("kaizten".to_owned()),
        hosts: vec!["api.test".to_owned()],
        upstreams: vec!["http://127.0.0.1:1".to_owned()],
        rules: vec![
            rule("GET", "/v1/tasks"),
            rule("GET", "/v1/tasks/"),
            RuleDocument { roles: vec!["admin".to_owned()], ..rule("POST", "/v1/tasks") },
            RuleDocument { public: true, ..rule("GET", "/") },
        ],
        ..ApiDocument::default()
    };
    let _gate = Gate::open(&world, std::slice::from_ref(&document)).await;
    let realm = world.realm("kaizten").await;
    world.app.engine.allow_api(&realm, &document, "kaizten-task-api", &[], world.now()).await.unwrap();
    let form =
        [("grant_type", "password"), ("client_id", "kaizten-task-api"), ("username", "bob"), ("password", "Passw0rd!")];
    let token = world.token("kaizten", &form).await.expect(200).text("access_token");
    world.refresh().await;
    (world, token)
}

/// The ways to describe a request.
const WAYS: [(&str, [&str; 3]); 2] = [
    ("/api/authz/forward-auth", ["x-forwarded-method", "x-forwarded-host", "x-forwarded-uri"]),
    ("/api/authz/auth-request", ["x-original-method", "x-original-host", "x-original-uri"]),
];

async fn asked(world: &World, way: usize, call: [&str; 3], token: Option<&str>) -> Shown {
    let (path, names) = WAYS[way];
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers: Vec<(&str, &str)> = names.iter().copied().zip(call).collect();
    headers.extend(bearer.as_ref().map(|bearer| ("authorization", bearer.as_str())));
    world.get_with(path, &headers).await
}

#[tokio::test]
async fn nginx_traefik_and_caddy_get_the_same_decisions() {
    let (world, token) = world().await;
    for way in 0..WAYS.len() {
        let good = asked(&world, way, ["GET", "api.test", "/v1/tasks?x=y"], Some(&token)).await.expect(200);
        assert_eq!(good.header("x-auth-username"), Some("bob"));
        assert_eq!(good.header("x-auth-client"), Some("kaizten-task-api"));
        assert!(good.header("grantor-decision").is_some() && good.body.is_empty());
        let none = asked(&world, way, ["GET", "api.test", "/v1/tasks"], None).await.expect(401);
        assert!(none.header("www-authenticate").unwrap().starts_with("Bearer"));
        asked(&world, way, ["POST", "api.test", "/v1/tasks"], Some(&token)).await.expect(403);
        let public = asked(&world, way, ["GET", "api.test", "/"], None).await.expect(200);
        assert_eq!(public.header("x-auth-username"), None);
        for (call, status) in [
            (["DELETE", "api.test", "/v1/tasks"], 405),
            (["GET", "api.test", "/v1/nothing"], 404),
            (["GET", "other.test", "/v1/tasks"], 404),
            (["GET", "api.test", "/v1/../v1/tasks"], 400),
            (["GET", "api.test", "/v1//tasks"], 400),
            // nginx hands on what a parser would leave out.
            (["GET", "api.test", "/#/../v1/tasks"], 400),
            (["GET", "api.test", "http://api.test/v1/tasks"], 400),
            (["GET", "api.test:x", "/v1/tasks"], 400),
        ] {
            let refused = asked(&world, way, call, Some(&token)).await;
            // nginx takes every status but 401 and 403 for a failure of ours.
            assert_eq!(refused.status, if way == 1 { 403 } else { status }, "{call:?}");
            let decision = world.decision(&refused).await;
            assert_eq!(decision.endpoint, "gateway");
        }
    }
}

#[tokio::test]
async fn a_request_that_is_not_described_is_refused() {
    let (world, token) = world().await;
    let bearer = format!("Bearer {token}");
    for (path, [method, host, uri]) in WAYS {
        for headers in [
            vec![],
            vec![(method, "GET"), (host, "api.test")],
            vec![(method, "GET"), (uri, "/v1/tasks")],
            vec![(host, "api.test"), (uri, "/v1/tasks")],
            vec![(method, "GET"), (host, "api.test"), (uri, "/v1/tasks"), (uri, "/")],
            vec![(method, "G T"), (host, "api.test"), (uri, "/v1/tasks")],
        ] {
            let mut headers = headers;
            headers.push(("authorization", bearer.as_str()));
            world.get_with(path, &headers).await.expect(400);
        }
    }
}

#[tokio::test]
async fn envoy_asks_with_the_request_itself() {
    let (world, token) = world().await;
    let ask = async |method: Method, path: &str, token: Option<&str>| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("host", "api.test")];
        headers.extend(bearer.as_ref().map(|bearer| ("authorization", bearer.as_str())));
        world.send(request(method, &format!("/api/authz/ext-authz{path}"), &headers, "")).await
    };
    let good = ask(Method::GET, "/v1/tasks", Some(&token)).await.expect(200);
    assert_eq!(good.header("x-auth-username"), Some("bob"));
    ask(Method::GET, "/v1/tasks", None).await.expect(401);
    ask(Method::POST, "/v1/tasks", Some(&token)).await.expect(403);
    ask(Method::GET, "/", None).await.expect(200);
    // HTTP/2 has no Host header.
    let request = http::Request::get("http://api.test/api/authz/ext-authz/v1/tasks").version(http::Version::HTTP_2);
    world.send(request.body(axum::body::Body::empty()).unwrap()).await.expect(401);
    // The slash at the end belongs to the request that is judged.
    ask(Method::GET, "/v1/tasks/", Some(&token)).await.expect(200);
    let nothing = ask(Method::GET, "/v1/tasks/x/", Some(&token)).await.expect(404);
    assert_eq!(nothing.json()["error"], Value::from("no_route"));
    ask(Method::GET, "/v1/%2e%2e/v1/tasks", Some(&token)).await.expect(400);
}

/// A field of a message in protobuf's wire format: texts and messages.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 127 {
        out.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend_from_slice(bytes);
    out
}

#[tokio::test]
async fn envoy_asks_over_grpc() {
    let (world, token) = world().await;
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        let mut http = [field(2, method.as_bytes()), field(4, path.as_bytes()), field(5, b"api.test")].concat();
        for (name, value) in headers {
            http.extend(field(3, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat()));
        }
        let message = field(1, &field(4, &field(2, &http)));
        let mut body = vec![0];
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message);
        let path = "/envoy.service.auth.v3.Authorization/Check";
        let request = http::Request::post(path).header("host", "grantor").header("content-type", "application/grpc");
        world.raw(request.body(axum::body::Body::from(body)).unwrap()).await
    };
    let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("x-auth-anything", "forged"), (":path", "/")];
    let (good, trailers) = ask("GET", "/v1/tasks?x=y", &headers).await;
    assert!(has(&good, "x-auth-username") && has(&good, "bob") && has(&good, "grantor-decision"));
    // What only we write, and did not, is taken off.
    assert!(has(&good, "x-auth-anything") && !has(&good, "forged"));
    assert_eq!(trailers.as_deref(), Some("0"));
    // google.rpc.Status: nothing for OK, 16 without a token, 7 for what is forbidden.
    let code = |bytes: &[u8]| bytes[5..9].to_vec();
    assert_eq!(code(&good)[..2], [0x0a, 0]);
    let (none, _) = ask("GET", "/v1/tasks", &[]).await;
    assert_eq!(code(&none), [0x0a, 2, 8, 16]);
    assert!(has(&none, "www-authenticate") && has(&none, "unauthorized"));
    let (forbidden, _) = ask("POST", "/v1/tasks", &headers).await;
    assert_eq!(code(&forbidden), [0x0a, 2, 8, 7]);
    let (twisted, _) = ask("GET", "/v1/../v1/tasks", &headers).await;
    assert_eq!(code(&twisted), [0x0a, 2, 8, 7]);
}
