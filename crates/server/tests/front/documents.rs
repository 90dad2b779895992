//! Discovery, key set, realm document.

use serde_json::json;

use crate::support::{KAIZTEN, World, endpoint};
use grantor_model::jose::Algorithm;

const THREE: [&str; 3] = [
    "/realms/kaizten/.well-known/openid-configuration",
    "/realms/kaizten/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server/realms/kaizten",
];

#[tokio::test]
async fn the_three_forms_of_discovery_are_one_document() {
    let world = World::with(KAIZTEN).await;
    let first = world.get(THREE[0]).await.expect(200).json();
    for path in THREE {
        assert_eq!(world.get(path).await.expect(200).json(), first, "{path}");
    }
}

#[tokio::test]
async fn every_endpoint_in_discovery_is_there() {
    let world = World::with(KAIZTEN).await;
    let document = world.get(THREE[0]).await.expect(200).json();
    for (name, value) in document.as_object().unwrap() {
        if name.ends_with("_endpoint") || name == "jwks_uri" {
            let path = value.as_str().unwrap().strip_prefix("http://localhost").unwrap().to_owned();
            assert_ne!(world.get(&path).await.status, 404, "{name}");
        }
    }
    for grant in document["grant_types_supported"].as_array().unwrap() {
        let form = [("grant_type", grant.as_str().unwrap()), ("client_id", "nobody")];
        world.token("kaizten", &form).await.refused(401, "invalid_client");
    }
}

#[tokio::test]
async fn a_realm_that_is_off_still_shows_its_documents() {
    let world = World::with(KAIZTEN).await;
    world.set("kaizten", &[("enabled", json!(false))]).await;
    world.get(THREE[0]).await.expect(200);
    world.get(&endpoint("kaizten", "certs")).await.expect(200);
    world.get("/realms/kaizten").await.expect(200);
    world.token("kaizten", &[]).await.refused(403, "access_denied");
}

#[tokio::test]
async fn an_unknown_realm_is_unknown_everywhere() {
    let world = World::with(KAIZTEN).await;
    for path in THREE.map(|path| path.replace("kaizten", "nosuch")) {
        world.get(&path).await.refused(404, "Realm does not exist");
    }
    world.get("/realms/nosuch").await.refused(404, "Realm does not exist");
    world.get("/realms/kai%2Fzten").await.refused(404, "Realm does not exist");
}

#[tokio::test]
async fn a_rotated_key_signs_and_the_old_one_verifies_until_its_tokens_are_dead() {
    let world = World::with(KAIZTEN).await;
    let form =
        [("grant_type", "client_credentials"), ("client_id", "kaizten-bot"), ("client_secret", "test-secret-bot")];
    let kid = |token: &str| grantor_model::jose::parse(token).unwrap().header().kid.clone().unwrap();
    let old = kid(&world.token("kaizten", &form).await.expect(200).text("access_token"));
    let realm = world.realm("kaizten").await;
    let rotated = world.app.engine.rotate_key(&realm, Algorithm::RS256, world.now()).await.unwrap();
    assert_eq!(rotated.retired, std::slice::from_ref(&old));
    let new = kid(&world.token("kaizten", &form).await.expect(200).text("access_token"));
    assert_eq!(new, rotated.kid);
    assert_ne!(new, old);
    let published =
        |keys: serde_json::Value, kid: &str| keys["keys"].as_array().unwrap().iter().any(|key| key["kid"] == kid);
    let keys = world.get(&endpoint("kaizten", "certs")).await.json();
    assert!(published(keys.clone(), &old) && published(keys, &new));
    world.later(301);
    let keys = world.get(&endpoint("kaizten", "certs")).await.json();
    assert!(!published(keys.clone(), &old) && published(keys, &new));
}

#[tokio::test]
async fn the_key_set_is_the_same_after_a_second_start() {
    let world = World::with(KAIZTEN).await;
    let before = world.get(&endpoint("kaizten", "certs")).await.json();
    world.app.engine.reload("kaizten", world.now()).await.unwrap();
    assert_eq!(world.get(&endpoint("kaizten", "certs")).await.json(), before);
}
