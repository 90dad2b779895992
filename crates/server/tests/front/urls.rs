//! The table of URLs: every row that is not public refuses whoever brings nothing.

use http::Method;

use crate::support::{KAIZTEN, World, request};
use grantor::routes;

#[tokio::test]
async fn every_row_answers_and_refuses_nobody_in_particular() {
    let world = World::with(KAIZTEN).await;
    for row in routes::table() {
        let path = row.path.replace("{realm}", "kaizten").replace("{link}", "x");
        let shown = world.send(request(row.method.clone(), &path, &[], "")).await;
        assert_ne!(shown.status, 405, "{} {}", row.method, row.path);
        match row.needs {
            "public" => {}
            // There is no API that they could decide about.
            // gRPC says what is wrong behind its answer.
            _ if row.path.starts_with("/envoy.") => assert_eq!(shown.status, 200),
            _ if row.path.starts_with("/api/authz/") => assert!([400, 404].contains(&shown.status), "{}", row.path),
            _ => assert!([400, 401].contains(&shown.status), "{} {}: {}", row.method, row.path, shown.status),
        }
        assert!(shown.status < 500, "{} {}", row.method, row.path);
    }
}

#[tokio::test]
async fn what_is_not_in_the_table_is_not_there() {
    let world = World::with(KAIZTEN).await;
    for (path, error) in [
        ("/nosuch", "Unable to find matching target resource method"),
        ("/realms/kaizten/nosuch", "HTTP 404 Not Found"),
        ("/realms/kaizten/protocol/saml", "Protocol not found"),
        ("/realms/kaizten/protocol/openid-connect/nosuch", "HTTP 404 Not Found"),
    ] {
        world.get(path).await.refused(404, error);
    }
}

#[tokio::test]
async fn paths_that_can_be_read_in_two_ways_are_refused() {
    let world = World::with(KAIZTEN).await;
    for path in [
        "/realms//kaizten",
        "/realms/./kaizten",
        "/realms/x/../kaizten",
        "/realms/%2e%2e/kaizten",
        "/realms/kaizten;a=b",
    ] {
        assert_eq!(world.get(path).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn long_and_strange_requests_harm_nothing() {
    let world = World::with(KAIZTEN).await;
    let long = format!("/realms/{}", "a".repeat(30_000));
    world.get(&long).await.expect(404);
    let token = "/realms/kaizten/protocol/openid-connect/token";
    for header in ["Basic", "Basic ", "Basic %", "Bearer", "Digest x", "Basic AAAA====", "\u{9}"] {
        let shown = world.send(request(Method::POST, token, &[("authorization", header)], "")).await;
        assert_eq!(shown.status, 400, "{header}");
    }
}
