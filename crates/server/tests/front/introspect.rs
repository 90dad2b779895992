//! `POST …/token/introspect`.

use serde_json::json;

use crate::support::{LAB, Shown, World, endpoint};

const ADA: [(&str, &str); 5] = [
    ("grant_type", "password"),
    ("client_id", "app"),
    ("client_secret", "test-secret-app"),
    ("username", "ada"),
    ("password", "Passw0rd!"),
];

async fn asked(world: &World, caller: &str, token: &str) -> Shown {
    let secret = format!("test-secret-{caller}");
    let form = [("client_id", caller), ("client_secret", secret.as_str()), ("token", token)];
    world.post(&endpoint("lab", "token/introspect"), &form).await.expect(200)
}

#[tokio::test]
async fn whoever_a_token_is_for_learns_about_it() {
    let world = World::with(LAB).await;
    let token = world.token("lab", &ADA).await.expect(200).text("access_token");
    insta::assert_json_snapshot!(asked(&world, "reader", &token).await.whole());
    for caller in ["app", "other"] {
        assert_eq!(asked(&world, caller, &token).await.json(), json!({"active": false}), "{caller}");
    }
}

#[tokio::test]
async fn a_realm_may_excuse_everybody_from_the_audience() {
    let world = World::with(LAB).await;
    world.set("lab", &[("attributes", json!({"grantor.introspection.any.audience": "true"}))]).await;
    let token = world.token("lab", &ADA).await.expect(200).text("access_token");
    assert_eq!(asked(&world, "other", &token).await.json()["active"], true);
}

#[tokio::test]
async fn a_token_that_is_dead_is_inactive_without_a_reason() {
    let world = World::with(LAB).await;
    let shown = world.token("lab", &ADA).await.expect(200);
    let token = shown.text("access_token");
    let mut altered = token.clone();
    altered.replace_range(token.len() - 4.., "AAAA");
    for dead in [altered.as_str(), "", "x", "a.b.c", &token[..token.len() - 1], &format!("{token}.x")] {
        assert_eq!(asked(&world, "reader", dead).await.json(), json!({"active": false}), "{dead}");
    }
    world.later(300);
    assert_eq!(asked(&world, "reader", &token).await.json(), json!({"active": false}));
}

#[tokio::test]
async fn a_public_client_may_not_ask() {
    let world = World::with(LAB).await;
    let form = [("client_id", "pub"), ("token", "x")];
    world.post(&endpoint("lab", "token/introspect"), &form).await.refused(403, "invalid_request");
}

#[tokio::test]
async fn a_user_who_is_switched_off_has_no_active_token() {
    let world = World::with(LAB).await;
    let token = world.token("lab", &ADA).await.expect(200).text("access_token");
    let realm = world.realm("lab").await;
    world.app.engine.enable_user(&realm, "ada", false, world.now()).await.unwrap();
    assert_eq!(asked(&world, "reader", &token).await.json(), json!({"active": false}));
    world.token("lab", &ADA).await.refused(400, "invalid_grant");
}
