//! Client authentication at each endpoint that asks for it.

use crate::support::{LAB, World, basic, endpoint};

const ENDPOINTS: [&str; 4] = ["token", "token/introspect", "revoke", "logout"];

#[tokio::test]
async fn nobody_and_a_stranger_are_refused_everywhere() {
    let world = World::with(LAB).await;
    for name in ENDPOINTS {
        let path = endpoint("lab", name);
        let base = [("grant_type", "client_credentials"), ("token", "x"), ("refresh_token", "x")];
        world.post(&path, &base).await.refused(401, "invalid_client");
        let mut form = base.to_vec();
        form.extend([("client_id", "nobody"), ("client_secret", "x")]);
        world.post(&path, &form).await.refused(401, "invalid_client");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused_everywhere() {
    let world = World::with(LAB).await;
    for (name, code) in
        ENDPOINTS.iter().zip(["unauthorized_client", "invalid_client", "unauthorized_client", "unauthorized_client"])
    {
        let form = [
            ("grant_type", "client_credentials"),
            ("token", "x"),
            ("refresh_token", "x"),
            ("client_id", "app"),
            ("client_secret", "wrong"),
        ];
        world.post(&endpoint("lab", name), &form).await.refused(401, code);
        let header = basic("app", "wrong");
        world.post_with(&endpoint("lab", name), &[("authorization", &header)], &form[..3]).await.refused(401, code);
    }
}

#[tokio::test]
async fn an_origin_that_the_client_does_not_list_gets_nothing() {
    let world = World::with(LAB).await;
    let form = [("grant_type", "client_credentials"), ("client_id", "app"), ("client_secret", "test-secret-app")];
    let path = endpoint("lab", "token");
    let shown =
        world.post_with(&path, &[("origin", "https://evil.example")], &form).await.refused(403, "Invalid origin");
    assert!(shown.header("access-control-allow-origin").is_none());
    let shown = world.post_with(&path, &[("origin", "https://app.example.test")], &form).await.expect(200);
    assert_eq!(shown.header("access-control-allow-origin"), Some("https://app.example.test"));
}

#[tokio::test]
async fn a_secret_in_the_query_is_not_read() {
    let world = World::with(LAB).await;
    let path = endpoint("lab", "token") + "?client_id=app&client_secret=test-secret-app";
    world.post(&path, &[("grant_type", "client_credentials")]).await.refused(401, "invalid_client");
}

/// A token that anybody could use is not what such a client was set up for.
#[tokio::test]
async fn a_client_with_bound_tokens_gets_none_without_a_proof() {
    let world = World::empty().await;
    for (attribute, text) in [
        ("dpop.bound.access.tokens", "DPoP proof is missing"),
        ("tls.client.certificate.bound.access.tokens", "Client Certification missing for MTLS HoK Token Binding"),
    ] {
        let file = serde_json::json!({"realm": "bound", "enabled": true, "clients": [
            {"clientId": "c", "secret": "s", "serviceAccountsEnabled": true, "attributes": {attribute: "true"}},
        ]});
        world.import(&file.to_string()).await;
        let form = [("grant_type", "client_credentials"), ("client_id", "c"), ("client_secret", "s")];
        let shown = world.token("bound", &form).await.refused(400, "invalid_request");
        assert_eq!(shown.json()["error_description"], text);
    }
}

/// Two secrets are good while one is being replaced, and each use is counted.
async fn secrets_rotate_with_overlap(world: World) {
    let ask = async |secret: &str| {
        let form = [("grant_type", "client_credentials"), ("client_id", "reader"), ("client_secret", secret)];
        world.token("lab", &form).await.status
    };
    let realm = world.realm("lab").await;
    let engine = &world.app.engine;
    let facts = async || {
        engine.secret_uses.flush(&engine.store).await.unwrap();
        let all = engine.client_secrets(&realm, "reader", world.now()).await.unwrap();
        all.into_iter().map(|one| (one.old, one.uses, one.last_used)).collect::<Vec<_>>()
    };
    let old = "test-secret-reader";
    assert_eq!((ask(old).await, ask(old).await, ask("wrong").await), (200, 200, 401));
    let begun = world.now().seconds();
    assert_eq!(facts().await, [(false, 2, Some(begun))]);
    let until = begun + 1_000;
    let new = engine.rotate_client_secret(&realm, "reader", Some(until), world.now()).await.unwrap();
    assert_eq!(facts().await, [(false, 0, None), (true, 2, Some(begun))]);
    world.later(10);
    assert_eq!((ask(old).await, ask(&new).await, ask("wrong").await), (200, 200, 401));
    assert_eq!(facts().await, [(false, 1, Some(begun + 10)), (true, 3, Some(begun + 10))]);
    world.later(990);
    assert_eq!((ask(old).await, ask(&new).await), (401, 200), "not a second longer");
    assert_eq!(facts().await, [(false, 2, Some(until))]);
    let present = engine.client_secrets(&realm, "reader", world.now()).await.unwrap().remove(0).id;
    assert!(
        engine.remove_secret(&realm, "reader", &present, world.now()).await.is_err(),
        "the old one does not come back"
    );
    assert_eq!(ask(old).await, 401);
    // A third one: what was kept before goes at once.
    let third = engine.rotate_client_secret(&realm, "reader", Some(until + 1_000), world.now()).await.unwrap();
    assert_eq!((ask(old).await, ask(&new).await, ask(&third).await), (401, 200, 200));
    engine.remove_old_secret(&realm, "reader", world.now()).await.unwrap();
    assert_eq!((ask(&new).await, ask(&third).await), (401, 200));
    assert!(engine.remove_old_secret(&realm, "reader", world.now()).await.is_err(), "there is none");
    let at_once = engine.rotate_client_secret(&realm, "reader", None, world.now()).await.unwrap();
    assert_eq!((ask(&third).await, ask(&at_once).await), (401, 200));
    let (row, _, _) = engine.stored_client(&realm, "reader").await.unwrap();
    for secret in [old, &new, &third, &at_once] {
        assert!(!row.document.contains(secret), "no secret is in the open");
    }
}

#[tokio::test]
async fn secrets_rotate_with_overlap_on_sqlite() {
    secrets_rotate_with_overlap(World::with(LAB).await).await;
}

#[tokio::test]
#[cfg_attr(not(grantor_postgres), ignore = "needs PostgreSQL's programs (Debian: postgresql)")]
async fn secrets_rotate_with_overlap_on_postgres() {
    secrets_rotate_with_overlap(World::on_postgres(LAB).await).await;
}
