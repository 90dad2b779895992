//! A realm's password policy acts wherever a password is set, and when one has grown too old.

use grantor_flows::admin::users::NewUser;
use grantor_model::Secret;
use serde_json::json;

use crate::support::{Shown, World};

async fn world(policy: &str) -> World {
    World::with(&realm(policy, json!([]))).await
}

fn realm(policy: &str, users: serde_json::Value) -> String {
    json!({"realm": "acme", "enabled": true, "passwordPolicy": policy, "users": users, "clients": [
        {"clientId": "app", "publicClient": true, "directAccessGrantsEnabled": true, "protocol": "openid-connect"}]})
    .to_string()
}

async fn add(world: &World, name: &str, password: &str) -> Result<(), String> {
    let realm = world.app.engine.required_realm("acme", world.now()).await.unwrap();
    let user = NewUser {
        username: name.to_owned(),
        email: Some(format!("{name}@acme.example")),
        first_name: Some("First".to_owned()),
        last_name: Some("Last".to_owned()),
        password: Some(Secret::new(password)),
        ..NewUser::default()
    };
    world.app.engine.add_user(&realm, user, world.now()).await.map(drop).map_err(|error| error.problem)
}

async fn set(world: &World, name: &str, password: &str) -> Result<(), String> {
    let realm = world.app.engine.required_realm("acme", world.now()).await.unwrap();
    let set = world.app.engine.set_password(&realm, name, Secret::new(password), world.now()).await;
    // Which of two passwords came first is told by their times.
    world.later(1);
    set.map_err(|error| error.problem)
}

async fn login(world: &World, name: &str, password: &str) -> Shown {
    let form = [("grant_type", "password"), ("client_id", "app"), ("username", name), ("password", password)];
    world.token("acme", &form).await
}

#[tokio::test]
async fn a_password_that_breaks_a_rule_is_set_nowhere() {
    let world = world("length(6) and digits(1) and notUsername(undefined) and notEmail(undefined)").await;
    for (password, why) in [
        ("a1", "minimum length 6"),
        ("abcdef", "at least 1 numerical digits"),
        ("OLENA-1", "equal to the username"),
        ("olena-1@acme.example", "equal to the email"),
        ("", "empty"),
    ] {
        let told = add(&world, "olena-1", password).await.unwrap_err();
        assert!(told.contains(why), "{told}");
    }
    login(&world, "olena-1", "abcdef").await.refused(400, "invalid_grant");
    add(&world, "olena-1", "abcde1").await.unwrap();
    assert!(set(&world, "olena-1", "short").await.unwrap_err().contains("minimum length 6"));
    login(&world, "olena-1", "abcde1").await.expect(200);
    set(&world, "olena-1", "fghij2").await.unwrap();
    login(&world, "olena-1", "abcde1").await.refused(400, "invalid_grant");
    login(&world, "olena-1", "fghij2").await.expect(200);
}

/// The order of what is taken and refused was asked of a Keycloak 26.7.
#[tokio::test]
async fn the_last_passwords_do_not_come_again() {
    let world = world("passwordHistory(2)").await;
    add(&world, "olena", "first").await.unwrap();
    for (password, taken) in [
        ("A1", true),
        ("A1", false),
        ("B1", true),
        ("A1", false),
        ("C1", true),
        ("A1", true),
        ("B1", true),
        ("D1", true),
        ("A1", true),
        ("B1", true),
    ] {
        assert_eq!(set(&world, "olena", password).await.is_ok(), taken, "{password}");
    }
    let user = world.app.engine.store.user_by_name(&world.realm_id("acme").await, "olena").await.unwrap().unwrap();
    let kinds: Vec<String> =
        world.app.engine.store.credentials(&user.id).await.unwrap().into_iter().map(|row| row.kind).collect();
    assert_eq!(kinds, ["password", "password-history"], "one of the last is kept, and no more");
}

#[tokio::test]
async fn a_password_does_not_come_again_for_days() {
    let world = world("passwordAge(1)").await;
    add(&world, "olena", "A1").await.unwrap();
    assert!(set(&world, "olena", "A1").await.is_err());
    for password in ["B1", "C1"] {
        set(&world, "olena", password).await.unwrap();
    }
    assert!(set(&world, "olena", "A1").await.is_err());
    world.later(86_400);
    set(&world, "olena", "A1").await.unwrap();
    assert!(set(&world, "olena", "A1").await.is_err(), "the present one never");
}

#[tokio::test]
async fn without_a_rule_nothing_is_remembered() {
    let world = world("").await;
    add(&world, "olena", "A1").await.unwrap();
    set(&world, "olena", "A1").await.unwrap();
    let user = world.app.engine.store.user_by_name(&world.realm_id("acme").await, "olena").await.unwrap().unwrap();
    assert_eq!(world.app.engine.store.credentials(&user.id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn common_passwords_are_refused_by_the_list_that_the_policy_names() {
    let world = world("passwordBlacklist(common.txt)").await;
    let told = add(&world, "olena", "anything").await.unwrap_err();
    assert!(told.contains("common.txt cannot be read"), "without the list nothing is good enough: {told}");
    let folder = world.database_file().parent().unwrap().join("password-blacklists");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("common.txt"), "123456\r\nQwerty\nпароль").unwrap();
    for password in ["123456", "QWERTY", "Пароль"] {
        assert!(add(&world, "olena", password).await.unwrap_err().contains("too common"), "{password}");
    }
    add(&world, "olena", "qwerty1").await.unwrap();
}

#[tokio::test]
async fn a_rule_that_is_not_known_lets_nothing_through() {
    let world = world("sparkles(3)").await;
    assert!(add(&world, "olena", "a-very-long-password-1").await.unwrap_err().contains("not known: sparkles"));
}

/// As a Keycloak 26.7 answers: only who knows the password learns that it has expired.
#[tokio::test]
async fn a_password_that_is_too_old_has_to_be_replaced() {
    let hash = json!({"type": "password", "credentialData": r#"{"hashIterations":5000,"algorithm":"pbkdf2-sha256","additionalParameters":{}}"#,
        "secretData": r#"{"value":"K8JjypgGfbginC1v6nYfIpxOpTDR4YaAuVegTfhvzzQ=","salt":"MDEyMzQ1Njc4OWFiY2RlZg=="}"#});
    let user = |name: &str, made: Option<i64>| {
        let mut hash = hash.clone();
        hash["createdDate"] = json!(made);
        json!({"username": name, "email": format!("{name}@acme.example"), "firstName": "F", "lastName": "L",
               "enabled": true, "credentials": [hash]})
    };
    let now = crate::support::BEGINNING * 1000;
    let users = json!([
        user("old", Some(1000)),
        user("edge", Some(now - 2 * 86_400_000 - 5_000)),
        user("young", Some(now - 86_400_000)),
        user("unknown", None)
    ]);
    let world = World::with(&realm("forceExpiredPasswordChange(2)", users)).await;
    let password = "Raw-pbkdf2-sha256-32";
    for (name, said) in [
        ("old", Some("Account is not fully set up")),
        ("edge", Some("Account is not fully set up")),
        ("young", None),
        ("unknown", None),
    ] {
        let wrong = login(&world, name, "wrong").await;
        assert_eq!(wrong.json()["error_description"], "Invalid user credentials", "{name}");
        world.later(2);
        let answer = login(&world, name, password).await;
        assert_eq!(answer.json().get("error_description").and_then(|text| text.as_str()), said, "{name}");
        world.later(2);
    }
    set(&world, "old", "another-1").await.unwrap();
    login(&world, "old", "another-1").await.expect(200);
    world.later(2 * 86_400 + 60);
    login(&world, "young", password).await.refused(400, "invalid_grant");
}

/// Who came with a password for once needs no other after an administrator set one.
#[tokio::test]
async fn a_new_password_is_what_was_asked_for() {
    let users = json!([{"username": "olena", "email": "o@acme.example", "firstName": "O", "lastName": "K", "enabled": true,
        "requiredActions": ["UPDATE_PASSWORD"], "credentials": [{"type": "password", "value": "once"}]},
        {"username": "taras", "email": "t@acme.example", "firstName": "T", "lastName": "S", "enabled": true,
        "requiredActions": ["VERIFY_EMAIL", "UPDATE_PASSWORD"], "credentials": [{"type": "password", "value": "once"}]}]);
    let world = World::with(&realm("length(1)", users)).await;
    for name in ["olena", "taras"] {
        login(&world, name, "once").await.refused(400, "invalid_grant");
        set(&world, name, "new").await.unwrap();
    }
    login(&world, "olena", "new").await.expect(200);
    let answer = login(&world, "taras", "new").await;
    assert_eq!(answer.json()["error_description"], "Account is not fully set up", "the address is still to be proved");
}
