//! Key sets of partners, while their servers are up, down, slow or broken: warm, cold and after a restart.

use std::time::{Duration, Instant};

use grantor_model::identity_provider::setting as s;
use serde_json::{Value, json};

use crate::support::partner::{Does, KeyServer, Partner, changed};
use crate::support::{LAB, Shown, World, basic, endpoint};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Every way in which a server fails to publish its keys.
fn faults() -> Vec<(&'static str, Does)> {
    let say = |text: &str| Does::Say(text.to_owned());
    vec![
        ("down", Does::Close),
        ("slow", Does::Hang),
        ("empty", say("200 OK\r\ncontent-length: 0\r\n\r\n")),
        ("an empty set", Does::Publish(json!({"keys": []}))),
        ("a set without a usable key", Does::Publish(json!({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}))),
        ("the wrong type", say("200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")),
        ("500", say("500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")),
        ("elsewhere", say("302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")),
        ("cut short", say("200 OK\r\ncontent-length: 5000\r\n\r\n{\"keys\":[")),
        ("endless", say(&format!("200 OK\r\ncontent-length: 600000\r\n\r\n{}", " ".repeat(600_000)))),
        ("no TLS where TLS is asked for", say("200 OK\r\ncontent-length: 0\r\n\r\n")),
    ]
}

fn realm() -> String {
    let mut realm: Value = serde_json::from_str(LAB).unwrap();
    realm["clients"].as_array_mut().unwrap().push(json!({"clientId": "orders", "protocol": "openid-connect",
        "publicClient": false, "secret": "test-secret-orders", "attributes": {
            "oauth2.jwt.authorization.grant.enabled": "true", "oauth2.jwt.authorization.grant.idp": "*"}}));
    realm.to_string()
}

async fn trusting(url: &str) -> World {
    let world = World::with_neighbours(&realm()).await;
    world
        .trust("lab", "partner", &[(s::ISSUER, "https://partner.example"), (s::USES_URL, "true"), (s::URL, url)])
        .await;
    world
}

async fn exchange(world: &World, partner: &Partner, jti: &str) -> Shown {
    let now = world.now().seconds();
    let claims = json!({"iss": "https://partner.example", "sub": "u1", "aud": "http://localhost/realms/lab",
        "iat": now, "exp": now + 120, "jti": jti});
    send(world, &partner.assertion(&claims)).await
}

async fn send(world: &World, assertion: &str) -> Shown {
    let header = [("authorization", basic("orders", "test-secret-orders"))];
    let header: Vec<(&str, &str)> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
    world.post_with(&endpoint("lab", "token"), &header, &[("grant_type", GRANT), ("assertion", assertion)]).await
}

#[tokio::test]
async fn while_a_server_fails_known_keys_go_on_and_nobody_storms_it() {
    let partner = Partner::trusted();
    for (fault, does) in faults() {
        let server = KeyServer::start(Does::Publish(partner.key_set())).await;
        let world = trusting(&server.url()).await;
        exchange(&world, partner, "warm").await.expect(200);
        assert_eq!(server.asked(), 1);
        server.now_does(does);
        // Fresh: nobody is asked. Older: asked behind the answer, which waits for nobody. A day without an answer.
        for (after, number) in [(10, 0), (400, 1), (5, 2), (3_000, 3)] {
            world.later(after);
            let begun = Instant::now();
            let shown = exchange(&world, partner, &format!("{number}")).await;
            assert_eq!(shown.status, 200, "{fault}, after {after} s: {}", shown.body);
            assert!(begun.elapsed() < Duration::from_secs(2), "{fault}: nobody waits for a broken server");
        }
        settle(&server, 3).await;
        // Another process begins while the server is still broken.
        let world = world.restarted().await;
        let shown = exchange(&world, partner, "restarted").await;
        assert_eq!(shown.status, 200, "{fault}, restarted: {}", shown.body);
        assert!(server.asked() <= 4, "{fault}: asked {} times", server.asked());
    }
}

/// Waits until the server was asked so often, and for what it was asked for.
async fn settle(server: &KeyServer, times: usize) {
    for _ in 0..100 {
        if server.asked() >= times {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn without_a_known_key_a_failing_server_is_told_as_our_trouble() {
    for (fault, does) in faults() {
        let server = KeyServer::start(does).await;
        let url = if fault.starts_with("no TLS") { server.url().replace("http:", "https:") } else { server.url() };
        let world = trusting(&url).await;
        let begun = Instant::now();
        let shown = exchange(&world, Partner::trusted(), "cold").await.refused(503, "temporarily_unavailable");
        assert!(begun.elapsed() < Duration::from_secs(4), "{fault}");
        assert_eq!(shown.header("retry-after"), Some("2"), "{fault}");
        assert!(!shown.body.contains("127.0.0.1"), "what we fetch from where is not the caller's matter");
        let decision = world.decision(&shown).await;
        assert_eq!(decision.checks.last().unwrap().check, "key set");
        // A crowd does not ask again for a while.
        let asked = server.asked();
        for number in 0..20 {
            exchange(&world, Partner::trusted(), &number.to_string()).await.refused(503, "temporarily_unavailable");
        }
        assert_eq!(server.asked(), asked, "{fault}");
    }
}

#[tokio::test]
async fn a_server_whose_certificate_has_expired_is_not_believed() {
    let now = grantor::start::now().seconds();
    let server = KeyServer::start_tls(now - 30 * 86_400, 10).await;
    let world = trusting(&server.url().replace("http:", "https:")).await;
    let shown = exchange(&world, Partner::trusted(), "1").await.refused(503, "temporarily_unavailable");
    let decision = world.decision(&shown).await;
    assert_eq!(decision.checks.last().unwrap().check, "key set");
    assert_eq!(server.asked(), 1, "it was asked, and what it showed was refused");
}

#[tokio::test]
async fn a_new_key_is_found_and_made_up_names_do_not_ask_again() {
    let (old, new) = (Partner::trusted(), Partner::stranger());
    let named = |kid: &str| {
        let mut set = new.key_set();
        set["keys"][0]["kid"] = kid.into();
        set
    };
    let server = KeyServer::start(Does::Publish(old.key_set())).await;
    let world = trusting(&server.url()).await;
    exchange(&world, old, "1").await.expect(200);
    let mut both = old.key_set();
    both["keys"].as_array_mut().unwrap().push(named("partner-2")["keys"][0].clone());
    server.now_does(Does::Publish(both));
    let by_new = |jti: &str, kid: &str| {
        let now = world.now().seconds();
        let claims = json!({"iss": "https://partner.example", "sub": "u1", "aud": "http://localhost/realms/lab",
            "iat": now, "exp": now + 120, "jti": jti});
        new.sign(&json!({"alg": "RS256", "kid": kid}), &claims.to_string())
    };
    world.later(11);
    send(&world, &by_new("2", "partner-2")).await.expect(200);
    assert_eq!(server.asked(), 2, "one look for the new key");
    for number in 0..50 {
        send(&world, &by_new("3", &format!("made-up-{number}"))).await.refused(400, "invalid_grant");
    }
    assert!(server.asked() <= 3, "{}", server.asked());
    exchange(&world, old, "4").await.expect(200);
    // Without a name nothing is looked for, and junk asks nobody.
    let asked = server.asked();
    world.later(11);
    let now = world.now().seconds();
    let claims = json!({"iss": "https://partner.example", "sub": "u1", "aud": "http://localhost/realms/lab", "iat": now, "exp": now + 9});
    let nameless = old.sign(&json!({"alg": "RS256"}), &claims.to_string());
    send(&world, &nameless).await.refused(400, "invalid_grant");
    let none = format!(
        "{}.{}.",
        grantor_model::jose::b64url_encode(br#"{"alg":"none","kid":"x"}"#),
        nameless.split('.').nth(1).unwrap()
    );
    send(&world, &none).await.refused(400, "invalid_grant");
    assert_eq!(server.asked(), asked);
}

#[tokio::test]
async fn a_crowd_at_a_cold_set_asks_once() {
    let server = KeyServer::start(Does::Publish(Partner::trusted().key_set())).await;
    let world = std::sync::Arc::new(trusting(&server.url()).await);
    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..30 {
        let world = world.clone();
        crowd.spawn(async move { exchange(&world, Partner::trusted(), &number.to_string()).await.status });
    }
    assert!(crowd.join_all().await.iter().all(|status| *status == 200));
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn one_slow_partner_keeps_nobody_else_waiting() {
    let slow = KeyServer::start(Does::Hang).await;
    let good = KeyServer::start(Does::Publish(Partner::trusted().key_set())).await;
    let world = std::sync::Arc::new(trusting(&good.url()).await);
    world
        .trust("lab", "slow", &[(s::ISSUER, "https://slow.example"), (s::USES_URL, "true"), (s::URL, &slow.url())])
        .await;
    let now = world.now().seconds();
    let claims = json!({"iss": "https://slow.example", "sub": "u1", "aud": "http://localhost/realms/lab", "iat": now, "exp": now + 9});
    let stuck = Partner::trusted().assertion(&changed(&claims, json!({"jti": "slow"})));
    let waiting = tokio::spawn({
        let world = world.clone();
        async move { send(&world, &stuck).await.status }
    });
    settle(&slow, 1).await;
    let begun = Instant::now();
    exchange(&world, Partner::trusted(), "quick").await.expect(200);
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(waiting.await.unwrap(), 503);
}

#[tokio::test]
async fn a_server_that_flaps_is_used_when_it_answers() {
    let partner = Partner::trusted();
    let server = KeyServer::start(Does::Close).await;
    let world = trusting(&server.url()).await;
    exchange(&world, partner, "down").await.refused(503, "temporarily_unavailable");
    for round in 0..5 {
        server.now_does(Does::Publish(partner.key_set()));
        world.later(11);
        exchange(&world, partner, &format!("up {round}")).await.expect(200);
        server.now_does(Does::Close);
        world.later(400);
        exchange(&world, partner, &format!("down {round}")).await.expect(200);
    }
}
