//! A database that is lost: the server refuses, says so, and comes back by itself.

use crate::support::{KAIZTEN, World, endpoint};

const BOT: [(&str, &str); 3] =
    [("grant_type", "client_credentials"), ("client_id", "kaizten-bot"), ("client_secret", "test-secret-bot")];

#[tokio::test]
async fn it_refuses_and_recovers() {
    let world = World::with(KAIZTEN).await;
    world.token("kaizten", &BOT).await.expect(200);
    world.lose_database();
    assert!(world.app.engine.refresh_realms(world.now()).await.is_err());
    let shown = world.token("kaizten", &BOT).await.refused(503, "temporarily_unavailable");
    assert_eq!(shown.header("retry-after"), Some("2"));
    assert!(!shown.body.contains("sqlite") && !shown.body.contains(".db"), "{}", shown.body);
    world.get(&endpoint("kaizten", "certs")).await.expect(503);
    world.find_database();
    world.app.engine.refresh_realms(world.now()).await.expect("back");
    world.token("kaizten", &BOT).await.expect(200);
}
