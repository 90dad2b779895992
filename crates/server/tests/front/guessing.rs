//! Guessing passwords: Keycloak's brute force settings at the token endpoint and at plain login.

use grantor_model::realm::Lock;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Shown, World, request};

const REALM: &str = "bank";

/// A realm that locks after three failures for a minute each, with these settings changed.
fn realm(more: &Value) -> String {
    let user = |name: &str, credentials: Value| {
        json!({"username": name, "enabled": true, "email": format!("{name}@example.test"), "firstName": name,
               "lastName": "X", "credentials": credentials})
    };
    let password = json!([{"type": "password", "value": "right"}]);
    let with_code = json!([{"type": "password", "value": "right"}, {"type": "otp",
        "secretData": "{\"value\":\"test-otp-secret-00001\"}",
        "credentialData": "{\"subType\":\"totp\",\"digits\":6,\"counter\":0,\"period\":30,\"algorithm\":\"HmacSHA1\"}"}]);
    let mut realm = json!({
        "realm": REALM, "enabled": true, "bruteForceProtected": true, "failureFactor": 3, "waitIncrementSeconds": 60,
        "quickLoginCheckMilliSeconds": 0,
        "clients": [{"clientId": "app", "publicClient": true, "directAccessGrantsEnabled": true,
                     "attributes": {"grantor.login": "body"}}],
        "users": [user("alice", password.clone()), user("bob", password), user("otto", with_code)],
    });
    realm.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    realm.to_string()
}

async fn world(more: Value) -> World {
    World::with(&realm(&more)).await
}

async fn token(world: &World, name: &str, password: &str) -> Shown {
    let form =
        [("grant_type", "password"), ("client_id", "app"), ("username", name), ("password", password), ("totp", "1")];
    world.token(REALM, &form).await
}

async fn login(world: &World, name: &str, password: &str) -> Shown {
    let body = json!({"username": name, "password": password}).to_string();
    let path = format!("/realms/{REALM}/login");
    world.send(request(Method::POST, &path, &[("content-type", "application/json")], &body)).await
}

async fn wrong(world: &World, name: &str, times: usize) {
    for _ in 0..times {
        token(world, name, "wrong").await.refused(400, "invalid_grant");
    }
}

async fn failures(world: &World, name: &str) -> Option<(i64, Option<Lock>)> {
    let realm = world.realm(REALM).await;
    let failed = world.app.engine.failed_logins(&realm, world.now()).await.unwrap();
    failed.into_iter().find(|one| one.username == name).map(|one| (one.failures, one.lock))
}

/// G-10: the right password does not end a lock, and the lock does not show who exists.
#[tokio::test]
async fn g10_twenty_guesses_are_enough() {
    let world = world(json!({"failureFactor": 20})).await;
    for name in ["alice", "nobody"] {
        for _ in 0..20 {
            login(&world, name, "wrong").await.refused(401, "invalid_grant");
        }
    }
    let told = |shown: Shown| (shown.header("retry-after").map(str::to_owned), shown.json());
    let right = told(login(&world, "alice", "right").await.expect(429));
    assert_eq!(right.0.as_deref(), Some("60"));
    let text =
        json!({"error": "temporarily_unavailable", "error_description": "Too many failed logins, try again later"});
    assert_eq!(right.1, text);
    assert_eq!(told(login(&world, " Nobody", "right").await.expect(429)), right);
    // Locked as well, but nothing says that name and address are one user's, or that there is one.
    for address in ["ALICE@example.test", "nobody@example.test"] {
        login(&world, address, "right").await.refused(401, "invalid_grant");
    }
    login(&world, "bob", "right").await.expect(200);
    world.later(59);
    login(&world, "alice", "right").await.expect(429);
    world.later(1);
    login(&world, "alice", "right").await.expect(200);
    assert_eq!(failures(&world, "alice").await, None);
}

#[tokio::test]
async fn at_the_token_endpoint_a_lock_looks_like_a_wrong_password() {
    let world = world(json!({})).await;
    wrong(&world, "alice", 2).await;
    token(&world, "alice", "right").await.expect(200);
    wrong(&world, "alice", 3).await;
    let locked = token(&world, "alice", "right").await.refused(400, "invalid_grant");
    assert_eq!(locked.text("error_description"), "Invalid user credentials");
    assert_eq!(locked.header("retry-after"), None);
    let decision = world.decision(&locked).await;
    let last = decision.checks.last().unwrap();
    assert_eq!((last.check.as_ref(), last.actual.as_deref()), ("failed logins", Some("3, locked for 60 s more")));
    // What is not heard is not counted.
    wrong(&world, "alice", 5).await;
    assert_eq!(failures(&world, "alice").await.unwrap().0, 3);
    world.later(60);
    wrong(&world, "alice", 1).await;
    token(&world, "alice", "right").await.refused(400, "invalid_grant");
    // An old lock is not forgotten for a success of another.
    token(&world, "bob", "right").await.expect(200);
    world.later(43_201);
    wrong(&world, "alice", 1).await;
    token(&world, "alice", "right").await.expect(200);
}

#[tokio::test]
async fn haste_locks_before_the_third_failure() {
    let world = world(json!({"quickLoginCheckMilliSeconds": 1000, "failureFactor": 30})).await;
    wrong(&world, "alice", 1).await;
    world.later(1);
    wrong(&world, "alice", 2).await;
    login(&world, "alice", "right").await.expect(429);
    world.later(60);
    login(&world, "alice", "right").await.expect(200);
}

#[tokio::test]
async fn who_is_locked_for_good_is_off_until_an_administrator_says_otherwise() {
    let world = world(json!({"permanentLockout": true})).await;
    let realm = world.realm(REALM).await;
    wrong(&world, "alice", 3).await;
    wrong(&world, "nobody", 3).await;
    for later in [0, 400 * 86_400] {
        world.later(later);
        token(&world, "alice", "right").await.refused(400, "invalid_grant");
        // Nothing to wait for, and nothing that shows who exists.
        let known = login(&world, "alice", "right").await.refused(401, "invalid_grant");
        assert_eq!(known.body, login(&world, "nobody", "right").await.refused(401, "invalid_grant").body);
    }
    assert_eq!(failures(&world, "alice").await, Some((3, Some(Lock::ForGood))));
    assert!(!world.app.engine.stored_user(&realm, "alice").await.unwrap().enabled);
    let unlocked = world.app.engine.unlock_user(&realm, "Alice", world.now()).await.unwrap().unwrap();
    assert_eq!((unlocked.failures, unlocked.lock), (3, Some(Lock::ForGood)));
    token(&world, "alice", "right").await.expect(200);
    assert!(world.app.engine.unlock_user(&realm, "alice", world.now()).await.unwrap().is_none());
    assert!(world.app.engine.unlock_user(&realm, "nobody", world.now()).await.is_err());
    // `user enable` ends such a lock as well, and `user disable` is none.
    wrong(&world, "bob", 3).await;
    world.app.engine.enable_user(&realm, "bob", true, world.now()).await.unwrap();
    token(&world, "bob", "right").await.expect(200);
    world.app.engine.enable_user(&realm, "bob", false, world.now()).await.unwrap();
    let off = token(&world, "bob", "right").await.refused(400, "invalid_grant");
    assert_eq!(off.text("error_description"), "Account disabled");
    assert!(world.app.engine.unlock_user(&realm, "bob", world.now()).await.unwrap().is_none());
}

#[tokio::test]
async fn wrong_codes_count_as_well() {
    let world = world(json!({"maxSecondaryAuthFailures": 1, "failureFactor": 30})).await;
    token(&world, "otto", "right").await.refused(400, "invalid_grant");
    assert_eq!(failures(&world, "otto").await, Some((1, None)));
    token(&world, "otto", "right").await.refused(400, "invalid_grant");
    assert_eq!(failures(&world, "otto").await, Some((2, Some(Lock::ForGood))));
}

#[tokio::test]
async fn a_realm_that_counts_nothing_locks_nobody() {
    let world = world(json!({"bruteForceProtected": false})).await;
    wrong(&world, "alice", 10).await;
    token(&world, "alice", "right").await.expect(200);
    assert_eq!(failures(&world, "alice").await, None);
}

#[tokio::test]
async fn a_new_realm_of_ours_protects_its_users() {
    let world = world(json!({})).await;
    world.app.engine.add_realm("new", world.now()).await.unwrap();
    let settings = &world.realm("new").await.settings.brute_force;
    assert!(settings.brute_force_protected && settings.failure_factor == 20);
}

#[tokio::test]
async fn settings_of_a_wrong_type_are_refused() {
    let world = world(json!({})).await;
    for (name, value) in [("failureFactor", json!("three")), ("bruteForceStrategy", json!("SQUARE"))] {
        let mut file: serde_json::Map<String, Value> = serde_json::from_str(&realm(&json!({"realm": "bad"}))).unwrap();
        file.insert(name.to_owned(), value);
        let imported = world.app.engine.import_realm(file, grantor_flows::admin::import::IfExists::Fail, world.now());
        assert!(imported.await.unwrap_err().problem.starts_with("realm settings"), "{name}");
    }
}

async fn locks_are_swept(world: World) {
    wrong(&world, "alice", 3).await;
    wrong(&world, "nobody", 3).await;
    login(&world, "alice", "right").await.expect(429);
    login(&world, "nobody", "right").await.expect(429);
    // The sweep leaves what still counts, and nothing of the rest.
    let sweep = async |seconds: i64| {
        let at = world.now().plus_seconds(seconds);
        world.app.engine.store.sweep(at, at).await.unwrap();
        failures(&world, "alice").await.map(|(count, _)| count)
    };
    assert_eq!(sweep(43_200).await, Some(3));
    assert_eq!(sweep(43_201).await, None);
}

#[tokio::test]
async fn locks_outlive_a_restart() {
    let world = world(json!({})).await;
    wrong(&world, "alice", 3).await;
    wrong(&world, "nobody", 3).await;
    let world = world.restarted().await;
    login(&world, "alice", "right").await.expect(429);
    login(&world, "nobody", "right").await.expect(429);
}

#[tokio::test]
async fn locks_are_forgotten_in_time() {
    locks_are_swept(world(json!({})).await).await;
}

#[tokio::test]
#[cfg_attr(not(grantor_postgres), ignore = "needs PostgreSQL's programs (Debian: postgresql)")]
async fn locks_are_forgotten_in_time_on_postgresql() {
    locks_are_swept(World::on_postgres(&realm(&json!({}))).await).await;
}

/// As many guesses at once as one likes are worth no more than one after the other.
async fn a_crowd_of_guesses(world: World) {
    let world = std::sync::Arc::new(world);
    let crowd = (0..40).map(|_| {
        let world = world.clone();
        tokio::spawn(async move { login(&world, "alice", "wrong").await.status })
    });
    for one in crowd.collect::<Vec<_>>() {
        let status = one.await.unwrap();
        assert!(status == 401 || status == 429, "{status}");
    }
    assert_eq!(failures(&world, "alice").await.unwrap().0, 3);
    login(&world, "alice", "right").await.expect(429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_no_more_guesses() {
    a_crowd_of_guesses(world(json!({})).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(grantor_postgres), ignore = "needs PostgreSQL's programs (Debian: postgresql)")]
async fn a_crowd_gets_no_more_guesses_on_postgresql() {
    a_crowd_of_guesses(World::on_postgres(&realm(&json!({}))).await).await;
}
