//! What may happen once happens once, also when many ask at the same moment.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::support::{LAB, World};

async fn one_refresh_of_many_wins(world: World) {
    let world = Arc::new(world);
    let form = [
        ("grant_type", "password"),
        ("client_id", "app"),
        ("client_secret", "test-secret-app"),
        ("username", "ada"),
        ("password", "Passw0rd!"),
    ];
    let token = world.token("lab", &form).await.expect(200).text("refresh_token");
    let mut racing = JoinSet::new();
    for _ in 0..32 {
        let (world, token) = (world.clone(), token.clone());
        racing.spawn(async move {
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", "app"),
                ("client_secret", "test-secret-app"),
                ("refresh_token", token.as_str()),
            ];
            world.token("lab", &form).await.status
        });
    }
    let statuses = racing.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 400].contains(status)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_refresh_of_many_wins_on_sqlite() {
    one_refresh_of_many_wins(World::with(LAB).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[cfg_attr(not(grantor_postgres), ignore = "needs PostgreSQL's programs (Debian: postgresql)")]
async fn one_refresh_of_many_wins_on_postgres() {
    one_refresh_of_many_wins(World::on_postgres(LAB).await).await;
}

/// Many callers at a realm that lacks the key of an algorithm get one key.
async fn one_key_is_made(world: World) {
    let world = Arc::new(world);
    world.set("lab", &[("defaultSignatureAlgorithm", serde_json::json!("ES256"))]).await;
    let mut racing = JoinSet::new();
    for _ in 0..16 {
        let world = world.clone();
        racing.spawn(async move {
            let form = [
                ("grant_type", "client_credentials"),
                ("client_id", "reader"),
                ("client_secret", "test-secret-reader"),
            ];
            let token = world.token("lab", &form).await.expect(200).text("access_token");
            grantor_model::jose::parse(&token).unwrap().header().kid.clone().unwrap()
        });
    }
    let kids: std::collections::BTreeSet<String> = racing.join_all().await.into_iter().collect();
    assert_eq!(kids.len(), 1, "{kids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_is_made_on_sqlite() {
    one_key_is_made(World::with(LAB).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[cfg_attr(not(grantor_postgres), ignore = "needs PostgreSQL's programs (Debian: postgresql)")]
async fn one_key_is_made_on_postgres() {
    one_key_is_made(World::on_postgres(LAB).await).await;
}

/// A secret that was reported as new stays the client's secret, whoever switches the client on meanwhile.
async fn no_rotation_is_undone(world: World) {
    let world = Arc::new(world);
    for _ in 0..16 {
        let realm = world.realm("lab").await;
        let (one, other) = (world.clone(), world.clone());
        let (of_one, of_other) = (realm.clone(), realm);
        let rotating =
            tokio::spawn(async move { one.app.engine.rotate_client_secret(&of_one, "reader", None, one.now()).await });
        let enabling =
            tokio::spawn(async move { other.app.engine.enable_client(&of_other, "reader", true, other.now()).await });
        let secret = rotating.await.unwrap().expect("rotated");
        enabling.await.unwrap().expect("enabled");
        let form = [("grant_type", "client_credentials"), ("client_id", "reader"), ("client_secret", secret.as_str())];
        world.token("lab", &form).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_rotation_is_undone_on_sqlite() {
    no_rotation_is_undone(World::with(LAB).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[cfg_attr(not(grantor_postgres), ignore = "needs PostgreSQL's programs (Debian: postgresql)")]
async fn no_rotation_is_undone_on_postgres() {
    no_rotation_is_undone(World::on_postgres(LAB).await).await;
}
