//! Every refusal at the token endpoint has a decision, and the decision says what the answer does not.

use insta::assert_json_snapshot;
use serde_json::Value;

use crate::support::{KAIZTEN, World};

async fn decision(world: &World, form: &[(&str, &str)]) -> Value {
    let shown = world.token("kaizten", form).await;
    assert!(shown.status >= 400, "{}", shown.body);
    let id = shown.header("grantor-decision").expect("a decision").to_owned();
    assert!(!shown.body.contains(&id), "the body stays the standard's");
    world.app.engine.decisions.flush(&world.app.engine.store).await.unwrap();
    let kept = world.app.engine.store.decision(&id).await.unwrap().expect("kept");
    let mut value = serde_json::to_value(kept).unwrap();
    value["id"] = "<id>".into();
    value
}

#[tokio::test]
async fn the_checks_stand_in_order_with_what_was_expected_and_found() {
    let world = World::with(KAIZTEN).await;
    let form = [
        ("grant_type", "password"),
        ("client_id", "kaizten-task-api"),
        ("username", "carol"),
        ("password", "Passw0rd!"),
    ];
    assert_json_snapshot!("disabled_user", decision(&world, &form).await);
    let form = [("grant_type", "client_credentials"), ("client_id", "kaizten-bot"), ("client_secret", "wrong")];
    assert_json_snapshot!("wrong_secret", decision(&world, &form).await);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "kaizten-bot"),
        ("client_secret", "test-secret-bot"),
        ("scope", "email nosuch"),
    ];
    assert_json_snapshot!("unknown_scope", decision(&world, &form).await);
}

#[tokio::test]
async fn no_secret_password_or_token_is_kept() {
    let world = World::with(KAIZTEN).await;
    let forms: [&[(&str, &str)]; 3] = [
        &[
            ("grant_type", "password"),
            ("client_id", "kaizten-task-api"),
            ("username", "alice"),
            ("password", "hunter2"),
        ],
        &[("grant_type", "client_credentials"), ("client_id", "kaizten-bot"), ("client_secret", "hunter2")],
        &[
            ("grant_type", "refresh_token"),
            ("client_id", "kaizten-task-api"),
            ("refresh_token", "hunter2.hunter2.hunter2"),
        ],
    ];
    for form in forms {
        let text = decision(&world, form).await.to_string();
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_token_that_is_given_out_leaves_no_decision() {
    let world = World::with(KAIZTEN).await;
    let form =
        [("grant_type", "client_credentials"), ("client_id", "kaizten-bot"), ("client_secret", "test-secret-bot")];
    assert!(world.token("kaizten", &form).await.expect(200).header("grantor-decision").is_none());
}

/// Whoever has an id reads it in a terminal; whoever sends requests must not write there, nor fill the disk.
#[tokio::test]
async fn what_a_caller_sends_is_kept_short_and_on_one_line() {
    let world = World::with(KAIZTEN).await;
    let long = "a".repeat(5_000);
    for name in ["x%0aFAKE%1b[31m".to_owned(), long] {
        let shown = world.post(&format!("/realms/{name}/protocol/openid-connect/token"), &[]).await.expect(404);
        let id = shown.header("grantor-decision").expect("a decision").to_owned();
        world.app.engine.decisions.flush(&world.app.engine.store).await.unwrap();
        let kept = world.app.engine.store.decision(&id).await.unwrap().expect("kept");
        let text = serde_json::to_string(&kept).unwrap();
        assert!(text.len() < 1_200, "{text}");
        assert!(!kept.realm.contains(char::is_control), "{text}");
    }
}

/// A password that is a number in a JSON body is refused, and quoted nowhere.
#[tokio::test]
async fn a_body_that_cannot_be_read_is_not_quoted() {
    let world = World::with(KAIZTEN).await;
    for body in [r#"{"grant_type":"password","password":87654321}"#, r#""hunter87654321""#] {
        let path = crate::support::endpoint("kaizten", "token");
        let request = crate::support::request(http::Method::POST, &path, &[("content-type", "application/json")], body);
        let shown = world.send(request).await.refused(400, "invalid_request");
        let id = shown.header("grantor-decision").expect("a decision").to_owned();
        world.app.engine.decisions.flush(&world.app.engine.store).await.unwrap();
        let kept = world.app.engine.store.decision(&id).await.unwrap().expect("kept");
        assert!(!serde_json::to_string(&kept).unwrap().contains("87654321"), "{kept:?}");
    }
}
