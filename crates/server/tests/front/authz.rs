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
    // The slash at the end belongs to the request that is judged.
    ask(Method::GET, "/v1/tasks/", Some(&token)).await.expect(200);
    let nothing = ask(Method::GET, "/v1/tasks/x/", Some(&token)).await.expect(404);
    assert_eq!(nothing.json()["error"], Value::from("no_route"));
    ask(Method::GET, "/v1/%2e%2e/v1/tasks", Some(&token)).await.expect(400);
}
