//! What others change arrives, whole, and what cannot be loaded is refused rather than served as it was.

use grantor_store::Statement;
use serde_json::json;

use crate::support::{KAIZTEN, LAB, World};

const BOT: [(&str, &str); 3] =
    [("grant_type", "client_credentials"), ("client_id", "kaizten-bot"), ("client_secret", "test-secret-bot")];

/// What another process would do: a change that this server's snapshots do not know of.
async fn damage(world: &World, realm: &str, document: &str) {
    let id = world.realm(realm).await.id.clone();
    let sql = "UPDATE realms SET document = $2 WHERE id = $1";
    let mut statements = vec![Statement::new(sql, [id.as_str().into(), document.into()])];
    statements.extend(grantor_store::realms::changed(&id));
    world.app.engine.store.apply(statements).await.expect("changed");
}

#[tokio::test]
async fn a_realm_that_cannot_be_loaded_refuses_and_the_others_go_on() {
    let world = World::with(KAIZTEN).await;
    world.import(LAB).await;
    world.token("kaizten", &BOT).await.expect(200);
    let lab = world.realm("lab").await;
    damage(&world, "kaizten", "{").await;
    let secret = world.app.engine.rotate_client_secret(&lab, "reader", None, world.now()).await.expect("rotated");
    for _ in 0..2 {
        world.app.engine.refresh_realms(world.now()).await.expect("the database is there");
        world.token("kaizten", &BOT).await.refused(500, "server_error");
    }
    let form = [("grant_type", "client_credentials"), ("client_id", "reader"), ("client_secret", secret.as_str())];
    world.token("lab", &form).await.expect(200);
    let settings = json!({"realm": "kaizten", "enabled": true}).to_string();
    damage_back(&world, &settings).await;
    world.app.engine.refresh_realms(world.now()).await.expect("the database is there");
    world.token("kaizten", &BOT).await.expect(200);
}

/// The realm cannot be loaded, so its key comes from the table.
async fn damage_back(world: &World, document: &str) {
    let sql = "UPDATE realms SET document = $1, version = 0 WHERE name = 'kaizten'";
    world.app.engine.store.apply(vec![Statement::new(sql, [document.into()])]).await.expect("changed");
}

#[tokio::test]
async fn a_realm_that_replaces_another_is_newer_than_all_changes_before() {
    let world = World::with(KAIZTEN).await;
    let old = world.realm("kaizten").await;
    for on in [false, true, false, true] {
        world.app.engine.enable_client(&old, "kaizten-bot", on, world.now()).await.expect("switched");
    }
    let before = world.realm("kaizten").await.version;
    world.import(KAIZTEN).await;
    let after = world.realm("kaizten").await;
    assert!(after.version > before, "{} after {before}", after.version);
    world.token("kaizten", &BOT).await.expect(200);
}

#[tokio::test]
async fn a_new_realm_master_still_administers_the_others() {
    let world = World::with(KAIZTEN).await;
    world.app.engine.make_master(world.now()).await.expect("made");
    world.import(&json!({"realm": "master", "enabled": true}).to_string()).await;
    let master = world.realm("master").await;
    assert!(master.clients.contains_key("kaizten-realm"), "{:?}", master.clients.keys());
}

#[tokio::test]
async fn what_is_not_understood_is_named_and_not_readable_in_the_database() {
    let world = World::empty().await;
    let file = json!({"realm": "r", "enabled": true,
        "clients": [{"clientId": "c", "registrationAccessToken": "hunter2", "surrogateAuthRequired": false}],
        "users": [{"username": "u", "clientConsents": [{"clientId": "x", "note": "hunter2"}]}]});
    let file = file.as_object().cloned().expect("an object");
    let imported = world.app.engine.import_realm(file, grantor_flows::admin::import::IfExists::Fail, world.now()).await;
    assert_eq!(imported.expect("imported").kept, ["clients[].registrationAccessToken", "users[].clientConsents"]);
    let realm = world.realm("r").await;
    let (row, _, _) = world.app.engine.stored_client(&realm, "c").await.expect("there");
    let user = world.app.engine.stored_user(&realm, "u").await.expect("there");
    assert!(!row.document.contains("hunter2") && !user.document.contains("hunter2"), "{row:?} {user:?}");
}

/// Of two imports of one large realm that run at once, the one that began later wins whole, and the other says so.
#[tokio::test]
async fn two_imports_at_once_do_not_mix() {
    use grantor_flows::admin::import::{AT_ONCE, Begun, IfExists, Importing};
    use grantor_model::realm::UserDocument;
    async fn begun(world: &World) -> Box<Importing<'_>> {
        let file = serde_json::json!({"realm": "large", "id": "large", "enabled": true});
        let file = file.as_object().cloned().unwrap();
        let accounts = std::collections::HashSet::new();
        match world.app.engine.begin_import(file, &accounts, IfExists::Fail, false, world.now()).await.unwrap() {
            Begun::Importing(importing) => importing,
            Begun::Skipped(_) => panic!("it is not there"),
        }
    }
    async fn fill(importing: &mut Importing<'_>, name: &str) {
        for number in 0..AT_ONCE {
            let user = UserDocument { username: format!("{name}-{number}"), ..UserDocument::default() };
            importing.user(user).await.unwrap();
        }
    }
    let world = World::empty().await;
    let mut first = begun(&world).await;
    fill(&mut first, "first").await;
    let mut second = begun(&world).await;
    fill(&mut second, "second").await;
    let refused = first.finish().await.unwrap_err();
    assert!(refused.problem.contains("imported by another command"), "{refused:?}");
    assert!(world.app.engine.realm("large", world.now()).await.unwrap().is_none());
    assert_eq!(second.finish().await.unwrap().users, AT_ONCE);
    let users = world.app.engine.store.user_count("large").await.unwrap();
    assert_eq!(usize::try_from(users).unwrap(), AT_ONCE, "nobody of the first");
}
