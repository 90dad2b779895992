//! K: a team's task API, whose users sign in with a password.

use insta::assert_json_snapshot;
use serde_json::json;

use crate::support::{KAIZTEN, World, endpoint};

const REALM: &str = "kaizten";

async fn alice(world: &World) -> crate::support::Shown {
    let form = [
        ("grant_type", "password"),
        ("client_id", "kaizten-task-api"),
        ("username", "alice"),
        ("password", "Passw0rd!"),
    ];
    world.token(REALM, &form).await.expect(200)
}

#[tokio::test]
async fn k01_discovery_names_the_issuer_and_its_endpoints() {
    let world = World::with(KAIZTEN).await;
    let shown = world.get("/realms/kaizten/.well-known/openid-configuration").await;
    assert_json_snapshot!(shown.whole());
}

#[tokio::test]
async fn k04_k05_k08_password_grant_with_roles_and_whole_answer() {
    let world = World::with(KAIZTEN).await;
    let shown = alice(&world).await;
    let claims = shown.claims("access_token");
    for name in ["iss", "sub", "aud", "exp", "iat"] {
        assert!(!claims[name].is_null(), "{name}");
    }
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
    assert_json_snapshot!(shown.whole());
}

#[tokio::test]
async fn k05_a_user_without_the_role_does_not_carry_it() {
    let world = World::with(KAIZTEN).await;
    let form =
        [("grant_type", "password"), ("client_id", "kaizten-task-api"), ("username", "bob"), ("password", "Passw0rd!")];
    let claims = world.token(REALM, &form).await.expect(200).claims("access_token");
    let roles = claims["realm_access"]["roles"].as_array().unwrap();
    assert!(roles.contains(&json!("user")) && !roles.contains(&json!("admin")), "{roles:?}");
}

#[tokio::test]
async fn k09_a_foreign_host_makes_no_issuer() {
    let world = World::with(KAIZTEN).await;
    let path = "/realms/kaizten/.well-known/openid-configuration";
    assert_json_snapshot!(world.get_with(path, &[("host", "evil.test")]).await.whole());
}

#[tokio::test]
async fn k10_an_unknown_realm() {
    let world = World::with(KAIZTEN).await;
    assert_json_snapshot!(world.token("nosuch", &[("grant_type", "password")]).await.whole());
}

#[tokio::test]
async fn k11_an_unknown_client_and_none() {
    let world = World::with(KAIZTEN).await;
    let form = [("grant_type", "password"), ("client_id", "nope"), ("username", "alice"), ("password", "Passw0rd!")];
    assert_json_snapshot!("k11_unknown_client", world.token(REALM, &form).await.whole());
    let form = [("grant_type", "password"), ("username", "alice"), ("password", "Passw0rd!")];
    assert_json_snapshot!("k11_no_client", world.token(REALM, &form).await.whole());
}

#[tokio::test]
async fn k12_a_client_that_may_not_use_the_grant() {
    let world = World::with(KAIZTEN).await;
    let form = [
        ("grant_type", "password"),
        ("client_id", "kaizten-code-only"),
        ("username", "alice"),
        ("password", "Passw0rd!"),
    ];
    assert_json_snapshot!(world.token(REALM, &form).await.whole());
}

#[tokio::test]
async fn k13_k14_unknown_user_and_wrong_password_are_told_the_same() {
    let world = World::with(KAIZTEN).await;
    let with = |username: &'static str, password: &'static str| {
        [("grant_type", "password"), ("client_id", "kaizten-task-api"), ("username", username), ("password", password)]
    };
    let wrong = world.token(REALM, &with("alice", "bad")).await;
    let unknown = world.token(REALM, &with("nobody", "bad")).await;
    assert_eq!(wrong.whole(), unknown.whole());
    assert_json_snapshot!(wrong.whole());
}

/// What is compared is the work that was done, not the time that it took on this machine.
#[tokio::test]
async fn k13_an_unknown_user_costs_a_hash_as_well() {
    let world = World::with(KAIZTEN).await;
    let mut work = Vec::new();
    for username in ["alice", "carol", "nobody", "service-account-kaizten-bot"] {
        let before = world.app.engine.passwords.hashed();
        let form = [
            ("grant_type", "password"),
            ("client_id", "kaizten-task-api"),
            ("username", username),
            ("password", "bad"),
        ];
        world.token(REALM, &form).await.refused(400, "invalid_grant");
        work.push(world.app.engine.passwords.hashed() - before);
    }
    assert_eq!(work, [1, 1, 1, 1]);
}

#[tokio::test]
async fn k14_a_realm_may_answer_401_for_older_programs() {
    let world = World::with(KAIZTEN).await;
    world.set(REALM, &[("attributes", json!({"grantor.password.invalid.401": "true"}))]).await;
    let form =
        [("grant_type", "password"), ("client_id", "kaizten-task-api"), ("username", "alice"), ("password", "bad")];
    world.token(REALM, &form).await.refused(401, "invalid_grant");
}

#[tokio::test]
async fn k15_both_are_required() {
    let world = World::with(KAIZTEN).await;
    let form = [("grant_type", "password"), ("client_id", "kaizten-task-api"), ("password", "Passw0rd!")];
    assert_json_snapshot!("k15_no_username", world.token(REALM, &form).await.whole());
    let form = [("grant_type", "password"), ("client_id", "kaizten-task-api"), ("username", "alice")];
    assert_json_snapshot!("k15_no_password", world.token(REALM, &form).await.whole());
}

#[tokio::test]
async fn k22_k27_lifespan_is_300_seconds_configurable_and_ends() {
    let world = World::with(KAIZTEN).await;
    let form = [
        ("grant_type", "password"),
        ("client_id", "kaizten-task-api"),
        ("username", "alice"),
        ("password", "Passw0rd!"),
        ("scope", "openid"),
    ];
    let first = world.token(REALM, &form).await.expect(200);
    assert_eq!(first.json()["expires_in"], 300);
    let bearer = format!("Bearer {}", first.text("access_token"));
    let userinfo = endpoint(REALM, "userinfo");
    world.later(299);
    world.get_with(&userinfo, &[("authorization", &bearer)]).await.expect(200);
    world.later(1);
    let expired = world.get_with(&userinfo, &[("authorization", &bearer)]).await.expect(401);
    assert!(expired.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    world.set(REALM, &[("accessTokenLifespan", json!(60))]).await;
    assert_eq!(world.token(REALM, &form).await.expect(200).json()["expires_in"], 60);
}

#[tokio::test]
async fn k23_a_refresh_token_gives_a_new_pair() {
    let world = World::with(KAIZTEN).await;
    let first = alice(&world).await;
    world.later(10);
    let refresh = first.text("refresh_token");
    let form =
        [("grant_type", "refresh_token"), ("client_id", "kaizten-task-api"), ("refresh_token", refresh.as_str())];
    let second = world.token(REALM, &form).await.expect(200);
    assert_ne!(second.claims("access_token")["jti"], first.claims("access_token")["jti"]);
    assert_ne!(second.text("refresh_token"), refresh);
    assert_json_snapshot!(second.whole());
}

#[tokio::test]
async fn k24_a_spent_token_ends_the_session_where_the_realm_rotates() {
    let world = World::with(KAIZTEN).await;
    world.set(REALM, &[("revokeRefreshToken", json!(true))]).await;
    let old = alice(&world).await.text("refresh_token");
    let with = |token: &str, client: &str| {
        let form = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
        form.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    async fn refreshed(world: &World, form: [(String, String); 3]) -> crate::support::Shown {
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        world.token(REALM, &form).await
    }
    refreshed(&world, with(&old, "kaizten-other")).await.refused(400, "invalid_grant");
    let new = refreshed(&world, with(&old, "kaizten-task-api")).await.expect(200).text("refresh_token");
    assert_json_snapshot!("k24_replayed", refreshed(&world, with(&old, "kaizten-task-api")).await.whole());
    assert_json_snapshot!("k24_newest", refreshed(&world, with(&new, "kaizten-task-api")).await.whole());
}

#[tokio::test]
async fn k24_an_expired_token_and_nonsense() {
    let world = World::with(KAIZTEN).await;
    let token = alice(&world).await.text("refresh_token");
    world.later(1_801);
    for (token, text) in [(token.as_str(), "Token is not active"), ("nonsense", "Invalid refresh token")] {
        let form = [("grant_type", "refresh_token"), ("client_id", "kaizten-task-api"), ("refresh_token", token)];
        let shown = world.token(REALM, &form).await.refused(400, "invalid_grant");
        assert_eq!(shown.json()["error_description"], text);
    }
}

#[tokio::test]
async fn k25_a_refresh_token_is_no_access_token() {
    let world = World::with(KAIZTEN).await;
    let bearer = format!("Bearer {}", alice(&world).await.text("refresh_token"));
    assert_json_snapshot!(world.get_with(&endpoint(REALM, "userinfo"), &[("authorization", &bearer)]).await.whole());
}

#[tokio::test]
async fn k26_an_automated_client_gets_no_refresh_token() {
    let world = World::with(KAIZTEN).await;
    let form =
        [("grant_type", "client_credentials"), ("client_id", "kaizten-bot"), ("client_secret", "test-secret-bot")];
    let shown = world.token(REALM, &form).await.expect(200);
    assert!(shown.json().get("refresh_token").is_none());
    assert_json_snapshot!(shown.whole());
}
