//! Refresh tokens that the old server gave out go on, where the realm says so, each once.

use serde_json::Value;

use crate::moved::{EXPORTS, Export, on_sqlite};
use crate::support::{Shown, World, endpoint};
use grantor_model::Instant;

async fn switch(world: &World, days: Option<i64>) {
    let until = days.map(|days| Instant::from_seconds(world.now().seconds() + days * 86_400));
    world.app.engine.take_over_tokens("acme", until, world.now()).await.unwrap();
}

struct Old {
    name: String,
    client: String,
    text: String,
    claims: Value,
}

/// The refresh and offline tokens of an export's server.
fn tokens(export: &Export) -> Vec<Old> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tokens = export.tokens();
    let is_old = |token: &&Value| matches!(token["kind"].as_str(), Some("refresh" | "offline"));
    let all = tokens["tokens"].as_array().unwrap().iter().filter(is_old);
    all.map(|token| Old {
        name: text(&token["name"]),
        client: text(&token["client"]),
        text: text(&token["token"]),
        claims: token["claims"].clone(),
    })
    .collect()
}

fn named(export: &Export, name: &str) -> Old {
    tokens(export).into_iter().find(|token| token.name == name).unwrap()
}

async fn redeem(world: &World, export: &Export, client: &str, text: &str) -> Shown {
    let truth = export.truth();
    let secret = truth["clients"][client]["secret"].as_str().unwrap_or_default();
    let form =
        [("grant_type", "refresh_token"), ("client_id", client), ("client_secret", secret), ("refresh_token", text)];
    world.token("acme", &form).await
}

#[tokio::test]
async fn each_token_of_five_keycloaks_goes_on_once() {
    for export in &EXPORTS {
        let world = on_sqlite(export).await;
        switch(&world, Some(30)).await;
        let truth = export.truth();
        let mut taken = 0;
        let mut parts = std::collections::BTreeSet::new();
        for old in tokens(export) {
            let about = format!("{} {}", export.version, old.name);
            let got = redeem(&world, export, &old.client, &old.text).await;
            let sub = old.claims["sub"].as_str();
            let known = truth["users"].as_object().unwrap().values().any(|user| user["id"].as_str() == sub)
                || old.name.contains("/service/");
            let refused = match old.name.as_str() {
                // Not-before of the client, and of the user.
                "iryna/nbf/refresh" => Some("Stale token"),
                "logged.out/refresh" => Some("Session not active"),
                // One for each session and client: the others are copies of older ones.
                _ if !parts.insert((
                    old.client.clone(),
                    old.claims["sid"].to_string(),
                    old.claims["typ"].to_string(),
                )) =>
                {
                    Some("Session not active")
                }
                // Nobody can say whose these are.
                _ if sub.is_none() || !known => Some("Session not active"),
                _ => None,
            };
            if let Some(text) = refused {
                assert_eq!(got.json()["error_description"], text, "{about}");
                continue;
            }
            assert_eq!(got.status, 200, "{about}: {}", got.body);
            taken += 1;
            let again = redeem(&world, export, &old.client, &old.text).await;
            assert_eq!(again.json()["error_description"], "Session not active", "{about}");
            // What came instead is a token like any other, of the same kind.
            let next = got.text("refresh_token");
            let claims = Value::Object(grantor_model::jose::parse(&next).unwrap().claims().unwrap());
            assert_eq!(claims["typ"], old.claims["typ"], "{about}");
            let after = redeem(&world, export, &old.client, &next).await;
            assert_eq!(after.status, 200, "{about}: {}", after.body);
        }
        assert!(taken >= 10, "{}: {taken}", export.version);
    }
}

#[tokio::test]
async fn without_the_setting_and_after_the_day_none_is_taken() {
    let export = &EXPORTS[4];
    let world = on_sqlite(export).await;
    let old = named(export, "olena/password/refresh");
    redeem(&world, export, &old.client, &old.text).await.refused(400, "invalid_grant");
    switch(&world, Some(2)).await;
    switch(&world, None).await;
    redeem(&world, export, &old.client, &old.text).await.refused(400, "invalid_grant");
    switch(&world, Some(2)).await;
    world.later(2 * 86_400);
    redeem(&world, export, &old.client, &old.text).await.refused(400, "invalid_grant");
    for days in [-1, 401] {
        let until = Some(Instant::from_seconds(world.now().seconds() + days * 86_400));
        assert!(world.app.engine.take_over_tokens("acme", until, world.now()).await.is_err());
    }
}

#[tokio::test]
async fn only_its_client_and_an_enabled_user_can_go_on() {
    let export = &EXPORTS[4];
    let world = on_sqlite(export).await;
    switch(&world, Some(30)).await;
    let old = named(export, "olena/password/refresh");
    redeem(&world, export, "registry-spa", &old.text).await.refused(400, "invalid_grant");
    let (head, signature) = old.text.rsplit_once('.').unwrap();
    let forged = format!("{head}.A{}", &signature[1..]);
    redeem(&world, export, &old.client, &forged).await.refused(400, "invalid_grant");
    let realm = world.realm("acme").await;
    world.app.engine.enable_user(&realm, "olena.kovalenko", false, world.now()).await.unwrap();
    let got = redeem(&world, export, &old.client, &old.text).await;
    assert_eq!(got.json()["error_description"], "User disabled");
    world.later(1);
    let realm = world.realm("acme").await;
    world.app.engine.enable_user(&realm, "olena.kovalenko", true, world.now()).await.unwrap();
    redeem(&world, export, &old.client, &old.text).await.expect(200);
}

#[tokio::test]
async fn of_many_at_once_one_is_taken() {
    let export = &EXPORTS[4];
    let world = on_sqlite(export).await;
    switch(&world, Some(30)).await;
    let old = named(export, "olena/password/refresh");
    let all = (0..20).map(|_| redeem(&world, export, &old.client, &old.text));
    let answers = futures_util::future::join_all(all).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
}

/// What is revoked or logged out by a token of before is not taken, whenever that was.
#[tokio::test]
async fn a_token_of_before_that_was_ended_is_not_taken() {
    let export = &EXPORTS[4];
    for (path, name) in [("revoke", "token"), ("logout", "refresh_token")] {
        let world = on_sqlite(export).await;
        let old = named(export, "olena/password/refresh");
        let secret = export.truth()["clients"]["registry-web"]["secret"].as_str().unwrap().to_owned();
        let form = [("client_id", "registry-web"), ("client_secret", secret.as_str()), (name, old.text.as_str())];
        let status = world.post(&endpoint("acme", path), &form).await.status;
        assert!([200, 204].contains(&status), "{path}: {status}");
        switch(&world, Some(30)).await;
        redeem(&world, export, &old.client, &old.text).await.refused(400, "invalid_grant");
    }
}

/// The switch is for who runs the server, not for who wrote the file.
#[tokio::test]
async fn the_setting_does_not_come_in_with_a_file() {
    let export = &EXPORTS[4];
    let mut realm: Value = serde_json::from_str(export.realm).unwrap();
    realm["attributes"]["grantor.old.refresh.tokens.until"] = Value::from("4000000000");
    let world = World::with(&realm.to_string()).await;
    let old = named(export, "olena/password/refresh");
    redeem(&world, export, &old.client, &old.text).await.refused(400, "invalid_grant");
}

/// A session that was ended here does not come back with its refresh token.
#[tokio::test]
async fn a_token_of_our_own_does_not_come_back() {
    let export = &EXPORTS[4];
    let world = on_sqlite(export).await;
    switch(&world, Some(30)).await;
    let old = named(export, "olena/offline/offline");
    let ours = redeem(&world, export, &old.client, &old.text).await.expect(200).text("refresh_token");
    let secret = export.truth()["clients"]["registry-web"]["secret"].as_str().unwrap().to_owned();
    let form = [("client_id", "registry-web"), ("client_secret", secret.as_str()), ("token", ours.as_str())];
    assert_eq!(world.post(&endpoint("acme", "revoke"), &form).await.status, 200);
    redeem(&world, export, &old.client, &ours).await.refused(400, "invalid_grant");
    redeem(&world, export, &old.client, &old.text).await.refused(400, "invalid_grant");
}
