//! `GET` and `POST …/userinfo`.

use crate::support::{LAB, World, endpoint};

async fn access_token(world: &World, scope: &str) -> String {
    let form = [
        ("grant_type", "password"),
        ("client_id", "app"),
        ("client_secret", "test-secret-app"),
        ("username", "ada"),
        ("password", "Passw0rd!"),
        ("scope", scope),
    ];
    world.token("lab", &form).await.expect(200).text("access_token")
}

#[tokio::test]
async fn by_header_and_by_form() {
    let world = World::with(LAB).await;
    let token = access_token(&world, "openid").await;
    let bearer = format!("Bearer {token}");
    let path = endpoint("lab", "userinfo");
    let shown = world.get_with(&path, &[("authorization", &bearer)]).await.expect(200);
    insta::assert_json_snapshot!(shown.whole());
    let by_form = world.post(&path, &[("access_token", &token)]).await.expect(200);
    assert_eq!(by_form.json(), shown.json());
    world.post_with(&path, &[("authorization", &bearer)], &[("access_token", &token)]).await.expect(400);
    world.get(&format!("{path}?access_token={token}")).await.expect(401);
}

#[tokio::test]
async fn without_openid_it_is_forbidden() {
    let world = World::with(LAB).await;
    let bearer = format!("Bearer {}", access_token(&world, "email").await);
    let shown = world.get_with(&endpoint("lab", "userinfo"), &[("authorization", &bearer)]).await.expect(403);
    assert!(shown.header("www-authenticate").unwrap().contains("insufficient_scope"));
}

#[tokio::test]
async fn other_schemes_and_broken_headers_are_nobody() {
    let world = World::with(LAB).await;
    let token = access_token(&world, "openid").await;
    for header in
        [format!("Token {token}"), token.clone(), "Bearer".to_owned(), "Bearer ".to_owned(), format!("Basic {token}")]
    {
        let shown = world.get_with(&endpoint("lab", "userinfo"), &[("authorization", &header)]).await.expect(401);
        assert_eq!(shown.header("www-authenticate"), Some("Bearer realm=\"lab\""), "{header}");
    }
    for header in [format!("Bearer {token} x"), format!("Bearer {token}x"), "Bearer a.b.c".to_owned()] {
        world.get_with(&endpoint("lab", "userinfo"), &[("authorization", &header)]).await.expect(401);
    }
}
