//! The first start, and the second.

use crate::support::World;
use grantor_flows::admin::bootstrap::{DEMO, DEMO_CLIENT};
use grantor_model::Secret;

#[tokio::test]
async fn it_makes_master_and_demo_once() {
    let world = World::empty().await;
    let first = world.app.engine.first_start(world.now()).await.unwrap().expect("a first start");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", DEMO_CLIENT),
        ("client_secret", first.demo_secret.as_str()),
    ];
    world.token(DEMO, &form).await.expect(200);
    assert!(world.app.engine.first_start(world.now()).await.unwrap().is_none());
    world.token(DEMO, &form).await.expect(200);
    assert!(!world.app.engine.has_administrator(world.now()).await.unwrap(), "no default administrator");
}

#[tokio::test]
async fn an_administrator_has_keycloaks_roles_and_a_lightweight_token() {
    let world = World::empty().await;
    world.app.engine.first_start(world.now()).await.unwrap();
    world.app.engine.add_administrator("root", Secret::new("correct horse"), world.now()).await.unwrap();
    let form =
        [("grant_type", "password"), ("client_id", "admin-cli"), ("username", "root"), ("password", "correct horse")];
    let shown = world.token("master", &form).await.expect(200);
    insta::assert_json_snapshot!(shown.whole());
    let realm = world.realm("master").await;
    let admin = realm.roles.iter().find(|role| role.name == "admin").unwrap();
    let names: Vec<String> = admin
        .members
        .iter()
        .map(|member| &realm.roles[*member])
        .map(|role| format!("{}/{}", role.client.as_deref().unwrap_or("realm"), role.name))
        .collect();
    for name in ["realm/create-realm", "master-realm/manage-users", "demo-realm/manage-realm"] {
        assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
    }
}
