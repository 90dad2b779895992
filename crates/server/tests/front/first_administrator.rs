//! The page behind the one-time link.

use crate::support::World;

async fn world() -> (World, String) {
    let world = World::empty().await;
    world.app.engine.make_master(world.now()).await.unwrap();
    let link = world.app.engine.administrator_link(world.now()).await.unwrap();
    (world, format!("/first-administrator/{link}"))
}

const GOOD: [(&str, &str); 3] = [("username", "root"), ("password", "a-long-password"), ("again", "a-long-password")];

#[tokio::test]
async fn the_link_makes_one_administrator_who_gets_a_token() {
    let (world, path) = world().await;
    let page = world.get(&path).await.expect(200);
    assert!(page.body.contains("<form method=\"post\">"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    world.post(&path, &GOOD).await.expect(200);
    let form =
        [("grant_type", "password"), ("client_id", "admin-cli"), ("username", "root"), ("password", "a-long-password")];
    let shown = world.token("master", &form).await.expect(200);
    assert_eq!(shown.json()["expires_in"], 60);
    world.get(&path).await.expect(404);
    world.post(&path, &GOOD).await.expect(404);
    assert!(world.app.engine.has_administrator(world.now()).await.unwrap());
}

#[tokio::test]
async fn it_works_for_an_hour_and_a_newer_one_replaces_it() {
    let (world, path) = world().await;
    let newer = world.app.engine.administrator_link(world.now()).await.unwrap();
    world.get(&path).await.expect(404);
    let newer = format!("/first-administrator/{newer}");
    world.get(&newer).await.expect(200);
    world.later(3_600);
    world.get(&newer).await.expect(404);
    world.post(&newer, &GOOD).await.expect(404);
}

#[tokio::test]
async fn what_is_wrong_with_the_form_is_said_and_the_link_stays() {
    let (world, path) = world().await;
    for (form, text) in [
        ([("username", ""), GOOD[1], GOOD[2]], "Choose a user name."),
        ([GOOD[0], ("password", "short"), ("again", "short")], "at least 12 characters"),
        ([GOOD[0], GOOD[1], ("again", "another-password")], "The two passwords differ."),
        ([("username", "<script>"), GOOD[1], ("again", "x")], "&#60;script&#62;"),
    ] {
        let shown = world.post(&path, &form).await.expect(400);
        assert!(shown.body.contains(text), "{text}: {}", shown.body);
    }
    world.post(&path, &GOOD).await.expect(200);
}

#[tokio::test]
async fn a_guess_opens_nothing() {
    let (world, _) = world().await;
    for guess in ["/first-administrator/x", "/first-administrator/", "/first-administrator/%00"] {
        assert_ne!(world.get(guess).await.status, 200, "{guess}");
        assert_ne!(world.post(guess, &GOOD).await.status, 200, "{guess}");
    }
}

#[tokio::test]
async fn two_at_once_make_one_administrator() {
    let (world, path) = world().await;
    let forms = ["one", "two", "three", "four"].map(|name| [("username", name), GOOD[1], GOOD[2]]);
    let [a, b, c, d] = &forms;
    let (a, b, c, d) =
        tokio::join!(world.post(&path, a), world.post(&path, b), world.post(&path, c), world.post(&path, d));
    let made = [a, b, c, d].iter().filter(|shown| shown.status == 200).count();
    assert_eq!(made, 1);
}
