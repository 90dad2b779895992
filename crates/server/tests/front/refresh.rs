//! The refresh token grant, with rotation.

use serde_json::json;

use crate::support::{LAB, Shown, World};

async fn login(world: &World, scope: &str) -> Shown {
    let form = [
        ("grant_type", "password"),
        ("client_id", "app"),
        ("client_secret", "test-secret-app"),
        ("username", "ada"),
        ("password", "Passw0rd!"),
        ("scope", scope),
    ];
    world.token("lab", &form).await.expect(200)
}

async fn refreshed(world: &World, token: &str) -> Shown {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", "app"),
        ("client_secret", "test-secret-app"),
        ("refresh_token", token),
    ];
    world.token("lab", &form).await
}

#[tokio::test]
async fn a_chain_goes_on_as_long_as_the_session() {
    let world = World::with(LAB).await;
    let mut token = login(&world, "openid").await.text("refresh_token");
    let mut chain = None;
    for _ in 0..4 {
        world.later(1_200);
        let shown = refreshed(&world, &token).await.expect(200);
        let id = shown.claims("refresh_token")["reuse_id"].clone();
        assert!(chain.is_none_or(|before| before == id), "one chain");
        chain = Some(id);
        token = shown.text("refresh_token");
    }
    world.later(36_000);
    refreshed(&world, &token).await.refused(400, "invalid_grant");
}

/// An ancestor replayed in the very second of the latest use is refused as well: Keycloak, which compares seconds,
/// accepts it.
#[tokio::test]
async fn an_ancestor_is_stale_in_the_same_second() {
    let world = World::with(LAB).await;
    let first = login(&world, "openid").await.text("refresh_token");
    let second = refreshed(&world, &first).await.expect(200).text("refresh_token");
    let third = refreshed(&world, &second).await.expect(200).text("refresh_token");
    assert_eq!(
        refreshed(&world, &first).await.refused(400, "invalid_grant").json()["error_description"],
        "Stale token"
    );
    let ended = refreshed(&world, &third).await.refused(400, "invalid_grant");
    assert_eq!(ended.json()["error_description"], "Session doesn't have required client");
}

#[tokio::test]
async fn a_lost_answer_is_given_again_where_the_realm_allows_it() {
    let world = World::with(LAB).await;
    world.set("lab", &[("attributes", json!({"grantor.refresh.repeat.lost.answer": "true"}))]).await;
    let first = login(&world, "openid").await.text("refresh_token");
    let lost = refreshed(&world, &first).await.expect(200).text("refresh_token");
    world.later(5);
    let again = refreshed(&world, &first).await.expect(200).text("refresh_token");
    assert_eq!(again, lost, "the very same successor");
    let third = refreshed(&world, &again).await.expect(200).text("refresh_token");
    // Once the successor was used, the answer had not got lost: somebody has a copy.
    refreshed(&world, &first).await.refused(400, "invalid_grant");
    refreshed(&world, &third).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn reuse_as_often_as_the_realm_allows() {
    let world = World::with(LAB).await;
    world.set("lab", &[("refreshTokenMaxReuse", json!(2))]).await;
    let first = login(&world, "openid").await.text("refresh_token");
    let mut last = String::new();
    for _ in 0..3 {
        last = refreshed(&world, &first).await.expect(200).text("refresh_token");
    }
    refreshed(&world, &last).await.expect(200);
    refreshed(&world, &first).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn tokens_of_before_the_realm_rotated_begin_a_chain() {
    let world = World::with(LAB).await;
    world.set("lab", &[("revokeRefreshToken", json!(false))]).await;
    let first = login(&world, "openid").await.text("refresh_token");
    refreshed(&world, &first).await.expect(200);
    world.set("lab", &[("revokeRefreshToken", json!(true))]).await;
    refreshed(&world, &first).await.expect(200);
    refreshed(&world, &first).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn an_offline_token_outlives_its_session_and_a_rotated_key() {
    let world = World::with(LAB).await;
    let token = login(&world, "openid offline_access").await;
    assert_eq!(token.json()["refresh_expires_in"], 0);
    assert_eq!(token.claims("refresh_token")["typ"], "Offline");
    let mut token = token.text("refresh_token");
    world.later(86_400);
    token = refreshed(&world, &token).await.expect(200).text("refresh_token");
    let realm = world.realm("lab").await;
    world.app.engine.rotate_key(&realm, grantor_model::jose::Algorithm::HS512, world.now()).await.unwrap();
    world.later(86_400);
    refreshed(&world, &token).await.expect(200);
}
