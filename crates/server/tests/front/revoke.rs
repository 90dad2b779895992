//! `POST …/revoke`.

use crate::support::{LAB, Shown, World, endpoint};

async fn login(world: &World) -> Shown {
    let form = [
        ("grant_type", "password"),
        ("client_id", "app"),
        ("client_secret", "test-secret-app"),
        ("username", "ada"),
        ("password", "Passw0rd!"),
        ("scope", "openid"),
    ];
    world.token("lab", &form).await.expect(200)
}

async fn revoked(world: &World, client: &str, token: &str) -> Shown {
    let secret = format!("test-secret-{client}");
    let form = [("client_id", client), ("client_secret", secret.as_str()), ("token", token)];
    world.post(&endpoint("lab", "revoke"), &form).await
}

async fn userinfo(world: &World, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    world.get_with(&endpoint("lab", "userinfo"), &[("authorization", &bearer)]).await.status
}

#[tokio::test]
async fn an_access_token_ends_alone() {
    let world = World::with(LAB).await;
    let shown = login(&world).await;
    let access = shown.text("access_token");
    assert_eq!(userinfo(&world, &access).await, 200);
    let done = revoked(&world, "app", &access).await.expect(200);
    assert!(done.body.is_empty());
    assert_eq!(userinfo(&world, &access).await, 401);
    let refresh = shown.text("refresh_token");
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", "app"),
        ("client_secret", "test-secret-app"),
        ("refresh_token", refresh.as_str()),
    ];
    world.token("lab", &form).await.expect(200);
}

#[tokio::test]
async fn a_refresh_token_takes_its_access_tokens_along() {
    let world = World::with(LAB).await;
    let shown = login(&world).await;
    revoked(&world, "app", &shown.text("refresh_token")).await.expect(200);
    assert_eq!(userinfo(&world, &shown.text("access_token")).await, 401);
    let again = revoked(&world, "app", &shown.text("refresh_token")).await.expect(200);
    assert_eq!(again.json()["error"], "invalid_token");
}

#[tokio::test]
async fn another_clients_token_is_not_ended() {
    let world = World::with(LAB).await;
    let access = login(&world).await.text("access_token");
    revoked(&world, "other", &access).await.refused(400, "invalid_request");
    assert_eq!(userinfo(&world, &access).await, 200);
}
