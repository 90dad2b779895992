//! The feed of gateways without a database: who may read it, and what it holds.

use http::Method;
use serde_json::{Value, json};

use crate::support::gate::{Gate, Upstream};
use crate::support::{KAIZTEN, Shown, World, basic, request};
use grantor_model::api::{ApiDocument, RuleDocument};

async fn world() -> World {
    let world = World::with(KAIZTEN).await;
    let client = |id: &str, attributes: Value| json!({"clientId": id, "secret": format!("test-secret-{id}"), "publicClient": false, "serviceAccountsEnabled": true, "attributes": attributes});
    let master = json!({"realm": "master", "enabled": true, "clients": [
        client("edge", json!({"grantor.gateway.feed": "true"})),
        client("other", json!({})),
        {"clientId": "open", "publicClient": true, "attributes": {"grantor.gateway.feed": "true"}},
    ]});
    world.import(&master.to_string()).await;
    let upstream = Upstream::start().await;
    let document = ApiDocument {
        name: "tasks".to_owned(),
        realm: Some("kaizten".to_owned()),
        upstreams: vec![upstream.url()],
        rules: vec![RuleDocument { path: "/**".to_owned(), ..RuleDocument::default() }],
        ..ApiDocument::default()
    };
    let _gate = Gate::open(&world, &[document]).await;
    world
}

async fn asked(world: &World, headers: &[(&str, &str)], body: &Value) -> Shown {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    world.send(request(Method::POST, "/api/gateway/feed", &all, &body.to_string())).await
}

#[tokio::test]
async fn routes_keys_and_clients_and_no_secret() {
    let world = world().await;
    let edge = basic("edge", "test-secret-edge");
    let told = asked(&world, &[("authorization", &edge)], &json!({"name": "one", "position": 0, "change": -1}))
        .await
        .expect(200);
    assert!(!told.body.contains("test-secret") && !told.body.contains("\"d\""), "{}", told.body);
    let state = &told.json()["state"];
    assert_eq!(state["apis"][0]["name"], "tasks");
    let realm = &state["realms"]["kaizten"];
    assert_eq!(realm["issuer"], "http://localhost/realms/kaizten");
    assert!(realm["keys"].as_array().unwrap().iter().any(|key| key["alg"] == "RS256"));
    assert_eq!(realm["clients"]["kaizten-task-api"], 0);
    // Asking is acknowledging.
    let gateways = world.app.engine.store.gateways().await.unwrap();
    assert_eq!((gateways.len(), gateways[0].name.as_str(), gateways[0].position), (1, "one", 0));
    // A refusal that comes along can be explained.
    let decision = json!({"id": "abc123", "at": 0, "realm": "kaizten", "endpoint": "gateway", "grant": null, "client": null,
        "address": "192.0.2.1", "error": "invalid_token", "description": null, "reason": null, "checks": []});
    world
        .app
        .engine
        .store
        .revoke_token(&world.realm("kaizten").await.id, "jti-1", world.now().plus_seconds(60))
        .await
        .unwrap();
    world.refresh().await;
    let change = grantor::gateway::change(&world.app);
    let body = json!({"name": "one", "position": 0, "change": change, "decisions": [decision]});
    let told = asked(&world, &[("authorization", &edge)], &body).await.expect(200).json();
    assert_eq!((&told["position"], &told["revocations"][0]["subject"]), (&json!(1), &json!("jti-1")));
    assert_eq!(told["state"], Value::Null);
    world.app.engine.decisions.flush(&world.app.engine.store).await.unwrap();
    assert!(world.app.engine.store.decision("abc123").await.unwrap().is_some());
}

#[tokio::test]
async fn only_clients_that_were_made_for_it_read_the_feed() {
    let world = world().await;
    let good = json!({"name": "one", "position": 0, "change": -1});
    for (id, secret, status) in [
        ("edge", "wrong", 401),
        ("other", "test-secret-other", 403),
        ("nobody", "x", 401),
        ("kaizten-bot", "test-secret-bot", 401),
    ] {
        let header = basic(id, secret);
        let refused = asked(&world, &[("authorization", &header)], &good).await.expect(status);
        assert!(refused.header("grantor-decision").is_some(), "{id}");
    }
    asked(&world, &[], &good).await.expect(401);
    assert!(world.app.engine.store.gateways().await.unwrap().is_empty());
    let edge = basic("edge", "test-secret-edge");
    for bad in [
        json!({}),
        json!([]),
        json!({"name": 1, "position": 0, "change": 0}),
        json!({"name": "x", "position": "0", "change": 0}),
    ] {
        asked(&world, &[("authorization", &edge)], &bad).await.expect(400);
    }
}

#[tokio::test]
async fn a_long_log_comes_in_pages_and_another_log_anew() {
    let world = world().await;
    let edge = basic("edge", "test-secret-edge");
    let id = world.realm("kaizten").await.id.clone();
    for number in 0..1_100 {
        let jti = format!("jti-{number}");
        world.app.engine.store.revoke_token(&id, &jti, world.now().plus_seconds(60)).await.unwrap();
    }
    world.refresh().await;
    let change = grantor::gateway::change(&world.app);
    let ask = async |position: i64| {
        let body = json!({"name": "one", "position": position, "change": change});
        asked(&world, &[("authorization", &edge)], &body).await.expect(200).json()
    };
    let first = ask(0).await;
    assert_eq!(
        (first["revocations"].as_array().unwrap().len(), &first["more"], &first["position"]),
        (1_000, &json!(true), &json!(1_000))
    );
    let second = ask(1_000).await;
    assert_eq!(
        (second["revocations"].as_array().unwrap().len(), &second["more"], &second["position"]),
        (100, &json!(false), &json!(1_100))
    );
    // Read again from the beginning, without what has passed, and without waiting.
    let at = world.now().plus_seconds(1_000);
    world.app.engine.store.revoke_token(&id, "lasting", world.now().plus_seconds(5_000)).await.unwrap();
    world.app.engine.store.sweep(at, at).await.unwrap();
    world.refresh().await;
    let body = json!({"name": "one", "position": 1_101, "change": change, "since": 0});
    let again = asked(&world, &[("authorization", &edge)], &body).await.expect(200).json();
    assert_eq!((again["revocations"].as_array().unwrap().len(), &again["position"]), (1, &json!(1_101)));
    // A gateway that is ahead of the log had another one.
    let anew = ask(5_000).await;
    assert_eq!((&anew["anew"], anew["revocations"].as_array().unwrap().len()), (&json!(true), 1));
}

#[tokio::test]
async fn a_gateway_asks_about_tokens() {
    let world = world().await;
    let edge = basic("edge", "test-secret-edge");
    let form = [
        ("grant_type", "password"),
        ("client_id", "kaizten-task-api"),
        ("username", "alice"),
        ("password", "Passw0rd!"),
    ];
    let tokens = world.token("kaizten", &form).await.expect(200);
    let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
    let bot = [("client_id", "kaizten-bot"), ("client_secret", "test-secret-bot")];
    let wso2 = [&[("grant_type", "client_credentials")], &bot[..]].concat();
    let opaque = world.post("/t/kaizten/oauth2/token", &wso2).await.expect(200).text("access_token");
    let ask = async |authorization: &str, body: &Value| {
        let headers = [("content-type", "application/json"), ("authorization", authorization)];
        world.send(request(Method::POST, "/api/gateway/introspect", &headers, &body.to_string())).await
    };
    let about =
        async |realm: &str, token: &str| ask(&edge, &json!({"realm": realm, "token": token})).await.expect(200).json();
    let told = about("kaizten", &access).await;
    assert_eq!(
        (&told["active"], &told["azp"], &told["typ"]),
        (&json!(true), &json!("kaizten-task-api"), &json!("Bearer"))
    );
    let told = about("kaizten", &opaque).await;
    assert_eq!((&told["active"], &told["client_id"]), (&json!(true), &json!("kaizten-bot")));
    // What is no access token of the realm is inactive, and nothing else is said.
    for (realm, token) in [
        ("kaizten", refresh.as_str()),
        ("kaizten", &format!("{access}x")),
        ("kaizten", &format!("{opaque}x")),
        ("kaizten", ""),
        ("kaizten", "."),
        ("master", &access),
        ("nowhere", &access),
        ("nowhere", &opaque),
    ] {
        assert_eq!(about(realm, token).await, json!({"active": false}), "{realm} {token}");
    }
    world
        .post(
            "/realms/kaizten/protocol/openid-connect/revoke",
            &[("token", &access), ("client_id", "kaizten-task-api")],
        )
        .await
        .expect(200);
    assert_eq!(about("kaizten", &access).await, json!({"active": false}));
    world.set("kaizten", &[("enabled", json!(false))]).await;
    assert_eq!(about("kaizten", &opaque).await, json!({"active": false}));
    // Who may not read the feed may not ask either.
    let question = json!({"realm": "kaizten", "token": opaque});
    for (id, secret, status) in [("edge", "wrong", 401), ("other", "test-secret-other", 403)] {
        ask(&basic(id, secret), &question).await.expect(status);
    }
    for bad in [
        json!({}),
        json!({"realm": "kaizten"}),
        json!({"realm": 1, "token": "x"}),
        json!({"realm": "kaizten", "token": "x", "more": 1}),
    ] {
        ask(&edge, &bad).await.expect(400);
    }
}
