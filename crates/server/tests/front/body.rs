//! Bodies that are not what they should be.

use http::Method;

use crate::support::{KAIZTEN, World, endpoint, request};

const TOKEN: &str = "grant_type=client_credentials&client_id=kaizten-bot&client_secret=test-secret-bot";

async fn sent(world: &World, kind: &str, body: &str) -> crate::support::Shown {
    world.send(request(Method::POST, &endpoint("kaizten", "token"), &[("content-type", kind)], body)).await
}

#[tokio::test]
async fn forms_of_all_spellings_are_read() {
    let world = World::with(KAIZTEN).await;
    for kind in [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=UTF-8",
        "APPLICATION/X-WWW-FORM-URLENCODED;x=y",
    ] {
        sent(&world, kind, TOKEN).await.expect(200);
    }
    let part =
        |name: &str, value: &str| format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let body = part("grant_type", "client_credentials")
        + &part("client_id", "kaizten-bot")
        + &part("client_secret", "test-secret-bot")
        + "--b--\r\n";
    sent(&world, "multipart/form-data; boundary=b", &body).await.expect(200);
}

#[tokio::test]
async fn other_kinds_and_broken_ones_are_refused() {
    let world = World::with(KAIZTEN).await;
    for kind in ["text/plain", "application/xml", "", "application/x-www-form"] {
        sent(&world, kind, TOKEN).await.refused(400, "invalid_request");
    }
    for body in ["", "--b", "--b\r\n\r\n", "--b\r\ncontent-disposition: form-data\r\n\r\nx\r\n"] {
        sent(&world, "multipart/form-data; boundary=b", body).await.refused(400, "invalid_request");
    }
    sent(&world, "multipart/form-data", TOKEN).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_not_read_to_its_end() {
    let world = World::with(KAIZTEN).await;
    let long = format!("{TOKEN}&x={}", "a".repeat(300 * 1024));
    sent(&world, "application/x-www-form-urlencoded", &long).await.refused(413, "invalid_request");
}

#[tokio::test]
async fn a_parameter_beyond_the_limit_is_named() {
    let world = World::with(KAIZTEN).await;
    let long = format!("{TOKEN}&scope={}", "a".repeat(5_000));
    let shown = sent(&world, "application/x-www-form-urlencoded", &long).await.refused(400, "invalid_request");
    assert_eq!(shown.json()["error_description"], "The size of OIDC parameter 'scope' is longer than allowed.");
}

#[tokio::test]
async fn bytes_that_are_no_text_harm_nothing() {
    let world = World::with(KAIZTEN).await;
    for body in ["%", "%zz=%", "grant_type=%ff%fe", "=", "&&&", "grant_type", "\u{0}", "a=b;c=d"] {
        sent(&world, "application/x-www-form-urlencoded", body).await.expect(400);
    }
}
