//! R: a registry that lets outside systems in.

use grantor_flows::admin::clients::NewClient;
use http::Method;
use insta::assert_json_snapshot;
use serde_json::json;

use crate::support::{REGISTRY, Shown, World, basic, endpoint, request};

const REALM: &str = "consent-02-external-system";

const CREDENTIALS: [(&str, &str); 3] =
    [("grant_type", "client_credentials"), ("client_id", "test-ext"), ("client_secret", "test-secret-ext")];

async fn introspected(world: &World, token: &str) -> Shown {
    let form = [("client_id", "gateway"), ("client_secret", "test-secret-gateway"), ("token", token)];
    world.post(&endpoint(REALM, "token/introspect"), &form).await.expect(200)
}

#[tokio::test]
async fn r03_both_paths_give_one_issuer() {
    let world = World::with(REGISTRY).await;
    let new = world.token(REALM, &CREDENTIALS).await.expect(200);
    let old = world.post(&format!("/auth{}", endpoint(REALM, "token")), &CREDENTIALS).await.expect(200);
    assert_eq!(new.claims("access_token")["iss"], old.claims("access_token")["iss"]);
}

#[tokio::test]
async fn r04_only_post() {
    let world = World::with(REGISTRY).await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD] {
        let shown = world.send(request(method.clone(), &endpoint(REALM, "token"), &[], "")).await.expect(405);
        let allow = shown.header("allow").unwrap_or_default();
        assert!(allow.contains("POST") && allow.contains("OPTIONS"), "{method}: {allow}");
    }
    assert_json_snapshot!(world.get(&endpoint(REALM, "token")).await.whole());
}

#[tokio::test]
async fn r05_an_unknown_host_gets_no_token() {
    let world = World::with(REGISTRY).await;
    let shown = world.post_with(&endpoint(REALM, "token"), &[("host", "other.example")], &CREDENTIALS).await;
    shown.refused(421, "misdirected_request");
}

#[tokio::test]
async fn r07_a_flat_json_object_is_read_like_a_form() {
    let world = World::with(REGISTRY).await;
    let send = |body: &'static str| {
        world.send(request(Method::POST, &endpoint(REALM, "token"), &[("content-type", "application/json")], body))
    };
    let good = r#"{"grant_type": "client_credentials", "client_id": "test-ext", "client_secret": "test-secret-ext"}"#;
    send(good).await.expect(200);
    for bad in [
        r#"{"grant_type": "client_credentials", "client_id": {"a": "test-ext"}, "client_secret": "test-secret-ext"}"#,
        r#"{"grant_type": "client_credentials", "client_id": "test-ext", "client_id": "test-ext", "client_secret": "test-secret-ext"}"#,
        r#"{"grant_type": "client_credentials", "client_id": 7}"#,
        r#"["client_credentials"]"#,
        r#""client_credentials""#,
        r#"{"grant_type": "client_credentials""#,
        "",
    ] {
        send(bad).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn r08_form_or_basic() {
    let world = World::with(REGISTRY).await;
    world.token(REALM, &CREDENTIALS).await.expect(200);
    let header = basic("test-ext", "test-secret-ext");
    let form = [("grant_type", "client_credentials")];
    world.post_with(&endpoint(REALM, "token"), &[("authorization", &header)], &form).await.expect(200);
}

#[tokio::test]
async fn r09_grant_type_missing_and_unknown() {
    let world = World::with(REGISTRY).await;
    assert_json_snapshot!("r09_missing", world.token(REALM, &CREDENTIALS[1..]).await.whole());
    let form = [("grant_type", "foo"), CREDENTIALS[1], CREDENTIALS[2]];
    assert_json_snapshot!("r09_unknown", world.token(REALM, &form).await.whole());
}

#[tokio::test]
async fn r10_r17_r18_r20_to_r25_r27_r30_the_whole_answer() {
    let world = World::with(REGISTRY).await;
    let shown = world.token(REALM, &CREDENTIALS).await.expect(200);
    let claims = shown.claims("access_token");
    assert_eq!(claims["realm_access"]["roles"], json!(["trembita-invoker"]));
    assert_eq!((&claims["azp"], &claims["clientId"]), (&json!("test-ext"), &json!("test-ext")));
    let again = world.token(REALM, &CREDENTIALS).await.expect(200).claims("access_token");
    assert_eq!(claims["sub"], again["sub"]);
    assert_ne!(claims["jti"], again["jti"]);
    assert_json_snapshot!(shown.whole());
}

#[tokio::test]
async fn r11_secret_wrong_empty_or_absent() {
    let world = World::with(REGISTRY).await;
    let mut answers = Vec::new();
    for secret in [Some("wrong"), Some(""), None] {
        let mut form = CREDENTIALS[..2].to_vec();
        form.extend(secret.map(|secret| ("client_secret", secret)));
        answers.push(world.token(REALM, &form).await.whole());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_json_snapshot!(answers[0]);
}

/// The external system's entry is a client; its name is taken once.
#[tokio::test]
async fn r12_r14_a_new_system_gets_a_secret_of_its_own() {
    let world = World::with(REGISTRY).await;
    let new = |name: &str| NewClient { client_id: name.to_owned(), service_account: true, ..NewClient::default() };
    let mut secrets = Vec::new();
    for name in ["new-ext", "newer-ext"] {
        let realm = world.realm(REALM).await;
        let secret = world.app.engine.add_client(&realm, new(name), world.now()).await.unwrap().unwrap();
        assert!(secret.len() >= 43, "256 bits");
        let form = [("grant_type", "client_credentials"), ("client_id", name), ("client_secret", secret.as_str())];
        world.token(REALM, &form).await.expect(200);
        secrets.push(secret);
    }
    assert_ne!(secrets[0], secrets[1]);
    let realm = world.realm(REALM).await;
    let taken = world.app.engine.add_client(&realm, new("new-ext"), world.now()).await.unwrap_err();
    assert!(taken.problem.contains("has a client \"new-ext\" already"), "{taken}");
}

#[tokio::test]
async fn r13_an_unknown_system_is_told_what_a_wrong_secret_is_told() {
    let world = World::with(REGISTRY).await;
    let form = [("grant_type", "client_credentials"), ("client_id", "nope"), ("client_secret", "x")];
    let unknown = world.token(REALM, &form).await;
    let form = [CREDENTIALS[0], CREDENTIALS[1], ("client_secret", "x")];
    let wrong = world.token(REALM, &form).await;
    assert_eq!(unknown.json()["error_description"], wrong.json()["error_description"]);
    assert_json_snapshot!(unknown.whole());
}

#[tokio::test]
async fn r15_a_new_secret_ends_the_old_one() {
    let world = World::with(REGISTRY).await;
    let realm = world.realm(REALM).await;
    let secret = world.app.engine.rotate_client_secret(&realm, "test-ext", None, world.now()).await.unwrap();
    world.token(REALM, &CREDENTIALS).await.refused(401, "unauthorized_client");
    let form = [CREDENTIALS[0], CREDENTIALS[1], ("client_secret", secret.as_str())];
    world.token(REALM, &form).await.expect(200);
}

#[tokio::test]
async fn r16_a_blocked_system_gets_nothing_and_its_tokens_are_dead() {
    let world = World::with(REGISTRY).await;
    let token = world.token(REALM, &CREDENTIALS).await.expect(200).text("access_token");
    assert_eq!(introspected(&world, &token).await.json()["active"], true);
    let realm = world.realm(REALM).await;
    world.app.engine.enable_client(&realm, "test-ext", false, world.now()).await.unwrap();
    world.token(REALM, &CREDENTIALS).await.refused(401, "invalid_client");
    assert_eq!(introspected(&world, &token).await.json(), json!({"active": false}));
    let realm = world.realm(REALM).await;
    world.app.engine.enable_client(&realm, "test-ext", true, world.now()).await.unwrap();
    world.token(REALM, &CREDENTIALS).await.expect(200);
}

#[tokio::test]
async fn r19_one_client_at_a_time() {
    let world = World::with(REGISTRY).await;
    let mut form = CREDENTIALS.to_vec();
    form.push(("client_id", "norole-ext"));
    assert_json_snapshot!("r19_twice", world.token(REALM, &form).await.whole());
    let header = basic("test-ext", "test-secret-ext");
    let form = [("grant_type", "client_credentials"), ("client_id", "norole-ext")];
    let shown = world.post_with(&endpoint(REALM, "token"), &[("authorization", &header)], &form).await;
    assert_json_snapshot!("r19_basic_and_another", shown.whole());
}

#[tokio::test]
async fn r20_the_key_is_published_without_its_private_part() {
    let world = World::with(REGISTRY).await;
    let token = world.token(REALM, &CREDENTIALS).await.expect(200).text("access_token");
    let kid = grantor_model::jose::parse(&token).unwrap().header().kid.clone().unwrap();
    let keys = world.get(&format!("/auth{}", endpoint(REALM, "certs"))).await.expect(200).json();
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid.as_str()).unwrap();
    assert_eq!((&key["kty"], &key["use"]), (&json!("RSA"), &json!("sig")));
    for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
        assert!(key.get(private).is_none(), "{private}");
    }
}

#[tokio::test]
async fn r23_the_lifespan_is_the_realms() {
    let world = World::with(REGISTRY).await;
    assert_eq!(world.token(REALM, &CREDENTIALS).await.json()["expires_in"], 300);
    world.set(REALM, &[("accessTokenLifespan", json!(60))]).await;
    assert_eq!(world.token(REALM, &CREDENTIALS).await.json()["expires_in"], 60);
}

#[tokio::test]
async fn r26_not_before_shows_and_ends_older_tokens() {
    let world = World::with(REGISTRY).await;
    let shown = world.token(REALM, &CREDENTIALS).await;
    assert_eq!(shown.json()["not-before-policy"], 0);
    let token = shown.text("access_token");
    world.later(10);
    let now = world.now().seconds();
    world.set(REALM, &[("notBefore", json!(now))]).await;
    assert_eq!(world.token(REALM, &CREDENTIALS).await.json()["not-before-policy"], now);
    assert_eq!(introspected(&world, &token).await.json(), json!({"active": false}));
}

#[tokio::test]
async fn r27_openid_brings_an_id_token() {
    let world = World::with(REGISTRY).await;
    assert!(world.token(REALM, &CREDENTIALS).await.json().get("id_token").is_none());
    let mut form = CREDENTIALS.to_vec();
    form.push(("scope", "openid"));
    assert_json_snapshot!(world.token(REALM, &form).await.whole());
}

#[tokio::test]
async fn r31_a_system_without_a_role_carries_none() {
    let world = World::with(REGISTRY).await;
    let form =
        [("grant_type", "client_credentials"), ("client_id", "norole-ext"), ("client_secret", "test-secret-norole")];
    assert_json_snapshot!(world.token(REALM, &form).await.whole());
}
