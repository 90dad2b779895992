//! The password grant.

use grantor_model::Secret;
use serde_json::json;

use crate::support::{LAB, World};

fn form<'a>(username: &'a str, password: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "password"),
        ("client_id", "app"),
        ("client_secret", "test-secret-app"),
        ("username", username),
        ("password", password),
    ]
}

#[tokio::test]
async fn a_one_time_code_is_good_once() {
    let world = World::with(LAB).await;
    // The code of step 60000000 (the world's beginning) for the key "test-otp-secret-00001", by RFC 6238.
    let code = code(b"test-otp-secret-00001", 1_800_000_000 / 30);
    let with = |code: &str| {
        let mut form: Vec<(String, String)> =
            form("otto", "Passw0rd!").into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        form.push(("totp".to_owned(), code.to_owned()));
        form
    };
    async fn sent(world: &World, form: Vec<(String, String)>) -> crate::support::Shown {
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        world.token("lab", &form).await
    }
    world.token("lab", &form("otto", "Passw0rd!")).await.refused(400, "invalid_grant");
    sent(&world, with("000000")).await.refused(400, "invalid_grant");
    sent(&world, with(&code)).await.expect(200);
    sent(&world, with(&code)).await.refused(400, "invalid_grant");
}

fn code(key: &[u8], step: i64) -> String {
    use aws_lc_rs::hmac;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key), &step.to_be_bytes());
    let bytes = tag.as_ref();
    let at = usize::from(bytes[19] & 15);
    let word = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", word % 1_000_000)
}

#[tokio::test]
async fn a_hash_of_another_kind_is_renewed_at_the_next_login() {
    let world = World::with(LAB).await;
    let hash = |credentials: &[grantor_store::users::CredentialRow]| credentials[0].document.clone();
    let id = "00000000-0000-4000-8000-000000000011";
    world.set("lab", &[("passwordPolicy", json!("hashAlgorithm(pbkdf2-sha256) and hashIterations(1000)"))]).await;
    world.token("lab", &form("ada", "Passw0rd!")).await.expect(200);
    let renewed = hash(&world.app.engine.store.credentials(id).await.unwrap());
    assert!(renewed.contains("pbkdf2-sha256") && renewed.contains("1000"), "{renewed}");
    world.token("lab", &form("ada", "Passw0rd!")).await.expect(200);
    assert_eq!(hash(&world.app.engine.store.credentials(id).await.unwrap()), renewed);
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one() {
    let world = World::with(LAB).await;
    let realm = world.realm("lab").await;
    world.app.engine.set_password(&realm, "Ada", Secret::new("пароль"), world.now()).await.unwrap();
    world.token("lab", &form("ada", "Passw0rd!")).await.refused(400, "invalid_grant");
    world.token("lab", &form("ADA", "пароль")).await.expect(200);
}

#[tokio::test]
async fn names_that_are_no_names_find_nobody() {
    let world = World::with(LAB).await;
    for name in ["", " ", "ada\u{0}x", "' OR 1=1 --", "%", "@", "ada@", "АДА"] {
        world.token("lab", &form(name, "Passw0rd!")).await.refused(400, "invalid_grant");
    }
}

/// Each map was asked of a Keycloak 26.7: the name of the highest level that the login reaches.
#[tokio::test]
async fn the_context_class_has_the_name_that_the_client_or_the_realm_gives_it() {
    let realm_map = r#"{"silver":"1","gold":"2"}"#;
    for (map, acr) in [
        (None, "silver"),
        (Some("{}"), "silver"),
        (Some(r#"{"a":"0","b":"1"}"#), "b"),
        (Some(r#"{"copper":"0"}"#), "copper"),
        (Some(r#"{"gold":"2"}"#), "1"),
        (Some(r#"{"x":"1","w":"1","y":"1"}"#), "x"),
        (Some(r#"{"x":1}"#), "x"),
        (Some(r#"{"n":"-1"}"#), "1"),
        (Some(r#"{"n":"-5","z":"0"}"#), "z"),
    ] {
        let attributes = map.map_or(serde_json::json!({}), |map| serde_json::json!({"acr.loa.map": map}));
        let realm = serde_json::json!({"realm": "acme", "enabled": true, "attributes": {"acr.loa.map": realm_map},
            "clients": [{"clientId": "app", "secret": "s", "serviceAccountsEnabled": true, "attributes": attributes}]});
        let world = World::with(&realm.to_string()).await;
        let form = [("grant_type", "client_credentials"), ("client_id", "app"), ("client_secret", "s")];
        let token = world.token("acme", &form).await.expect(200).text("access_token");
        let claims = grantor_model::jose::parse(&token).unwrap().claims().unwrap();
        assert_eq!(claims["acr"], acr, "{map:?}");
    }
}
