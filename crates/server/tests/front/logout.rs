//! `POST …/logout` with a refresh token.

use crate::support::{LAB, World, endpoint};

const ADA: [(&str, &str); 5] = [
    ("grant_type", "password"),
    ("client_id", "app"),
    ("client_secret", "test-secret-app"),
    ("username", "ada"),
    ("password", "Passw0rd!"),
];

#[tokio::test]
async fn the_session_ends_and_ending_it_again_is_fine() {
    let world = World::with(LAB).await;
    let mut form = ADA.to_vec();
    form.push(("scope", "openid"));
    let shown = world.token("lab", &form).await.expect(200);
    let (refresh, access) = (shown.text("refresh_token"), shown.text("access_token"));
    let out = [ADA[1], ADA[2], ("refresh_token", refresh.as_str())];
    let done = world.post(&endpoint("lab", "logout"), &out).await.expect(204);
    assert!(done.body.is_empty());
    world.post(&endpoint("lab", "logout"), &out).await.expect(204);
    let form = [("grant_type", "refresh_token"), ADA[1], ADA[2], ("refresh_token", refresh.as_str())];
    world.token("lab", &form).await.refused(400, "invalid_grant");
    let bearer = format!("Bearer {access}");
    world.get_with(&endpoint("lab", "userinfo"), &[("authorization", &bearer)]).await.expect(401);
}

#[tokio::test]
async fn another_clients_token_and_nonsense_end_nothing() {
    let world = World::with(LAB).await;
    let refresh = world.token("lab", &ADA).await.expect(200).text("refresh_token");
    let other = [("client_id", "other"), ("client_secret", "test-secret-other"), ("refresh_token", refresh.as_str())];
    world.post(&endpoint("lab", "logout"), &other).await.refused(400, "invalid_grant");
    let nonsense = [ADA[1], ADA[2], ("refresh_token", "nonsense")];
    world.post(&endpoint("lab", "logout"), &nonsense).await.refused(400, "invalid_grant");
    world.post(&endpoint("lab", "logout"), &[ADA[1], ADA[2]]).await.refused(400, "invalid_request");
    let form = [("grant_type", "refresh_token"), ADA[1], ADA[2], ("refresh_token", refresh.as_str())];
    world.token("lab", &form).await.expect(200);
}
