//! The operations port.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::support::{KAIZTEN, World};

async fn asked(world: &World, path: &str) -> (u16, String) {
    let request = Request::builder().uri(path).body(Body::empty()).unwrap();
    let response = grantor::ops::router(world.app.clone()).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn health_is_red_while_the_database_is_lost() {
    let world = World::with(KAIZTEN).await;
    for path in ["/health", "/health/live", "/health/ready", "/health/started"] {
        assert_eq!(asked(&world, path).await.0, 200, "{path}");
    }
    world.lose_database();
    let _ = world.app.engine.refresh_realms(world.now()).await;
    let (status, body) = asked(&world, "/health/ready").await;
    assert_eq!((status, body.contains("DOWN")), (503, true), "{body}");
    assert_eq!(asked(&world, "/health/live").await.0, 200);
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_tokens_by_grant() {
    let world = World::with(KAIZTEN).await;
    let form =
        [("grant_type", "client_credentials"), ("client_id", "kaizten-bot"), ("client_secret", "test-secret-bot")];
    world.token("kaizten", &form).await.expect(200);
    world.token("kaizten", &[("grant_type", "nonsense-from-outside")]).await.expect(400);
    world.get("/nonsense-from-outside").await.expect(404);
    let (status, text) = asked(&world, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "grantor_token_requests_total{grant=\"client_credentials\",outcome=\"ok\"} 1",
        "grantor_token_requests_total{grant=\"none\",outcome=\"unsupported_grant_type\"} 1",
        "grantor_http_requests_total{route=\"unmatched\",status=\"404\"} 1",
        "grantor_database_up 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("nonsense-from-outside"), "labels never come from outside");
}
