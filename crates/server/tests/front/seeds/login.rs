//! G: a name and a password for a token, without OAuth.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grantor_model::Instant;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Shown, World, endpoint, request};

const SECRET: &str = "test-secret-of-login-tokens-0123456789-abcdef";
const PATH: &str = "/realms/shop/login";
const BOB: &str = r#"{"username":"bob","password":"Passw0rd!"}"#;

/// A realm whose login tokens are signed with a secret that the test knows, and delivered in some way.
fn realm(delivery: &str) -> Value {
    let everywhere = |more: Value| {
        let mut config = json!({"access.token.claim": "true", "introspection.token.claim": "true"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let mapper = |kind: &str, more: Value| json!({"name": kind, "protocol": "openid-connect", "protocolMapper": kind, "config": everywhere(more)});
    json!({
        "realm": "shop", "enabled": true,
        "roles": {"realm": [{"name": "buyer"}]},
        "clients": [{
            "clientId": "app", "publicClient": true, "standardFlowEnabled": false, "webOrigins": ["https://shop.example"],
            "attributes": {"grantor.login": delivery, "access.token.signed.response.alg": "HS256", "access.token.lifespan": "900"},
            "defaultClientScopes": [], "optionalClientScopes": [],
            "protocolMappers": [
                mapper("oidc-sub-mapper", json!({})),
                mapper("oidc-usermodel-realm-role-mapper", json!({"claim.name": "roles", "jsonType.label": "String", "multivalued": "true"})),
                mapper("oidc-audience-mapper", json!({"included.client.audience": "app"})),
                mapper("oidc-usermodel-attribute-mapper", json!({"user.attribute": "department", "claim.name": "department", "jsonType.label": "String"})),
                mapper("oidc-hardcoded-claim-mapper", json!({"claim.name": "exp", "claim.value": "99999999999", "jsonType.label": "long"})),
            ],
        }],
        "users": [
            {"username": "bob", "enabled": true, "email": "bob@example.test", "firstName": "Bob", "lastName": "B", "realmRoles": ["buyer"],
             "attributes": {"department": ["sales"]}, "credentials": [{"type": "password", "value": "Passw0rd!"}]},
            {"username": "off", "enabled": false, "email": "off@example.test", "firstName": "Off", "lastName": "O",
             "credentials": [{"type": "password", "value": "Passw0rd!"}]},
        ],
        "components": {"org.keycloak.keys.KeyProvider": [
            {"name": "login", "providerId": "hmac-generated", "config": {"priority": ["200"], "algorithm": ["HS256"], "kid": ["login-1"], "secret": [URL_SAFE_NO_PAD.encode(SECRET)]}},
        ]},
    })
}

async fn world(delivery: &str) -> World {
    World::with(&realm(delivery).to_string()).await
}

async fn login(world: &World, body: &str) -> Shown {
    world.send(request(Method::POST, PATH, &[("content-type", "application/json")], body)).await
}

fn token(shown: &Shown) -> String {
    shown.json()["access_token"].as_str().unwrap().to_owned()
}

fn part(token: &str, position: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(position).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn g02_g03_g04_g11_the_token_says_who_and_nothing_more() {
    let world = world("body").await;
    let token = token(&login(&world, BOB).await.expect(200));
    assert_eq!(part(&token, 0), json!({"alg": "HS256", "typ": "JWT", "kid": "login-1"}));
    let claims = part(&token, 1);
    let now = world.now().seconds();
    assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(now), Some(now + 900)));
    assert_eq!(claims["aud"], "app");
    assert_eq!(claims["department"], "sales");
    let roles: Vec<&str> = claims["roles"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(roles.contains(&"buyer"), "{roles:?}");
    let names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["exp", "iat", "jti", "iss", "aud", "sub", "typ", "azp", "sid", "scope", "roles", "department"],);
}

#[tokio::test]
#[cfg_attr(not(grantor_postgres), ignore = "needs PostgreSQL's programs (Debian: postgresql)")]
async fn g07_g10_the_same_on_postgres() {
    let world = World::on_postgres(&realm("body").to_string()).await;
    let token = token(&login(&world, BOB).await.expect(200));
    assert_eq!(part(&token, 0)["alg"], "HS256");
    login(&world, r#"{"username":"bob","password":"wrong"}"#).await.expect(401);
}

#[tokio::test]
async fn g05_the_signature_is_hmac_sha_256_of_the_two_parts() {
    let world = world("body").await;
    let token = token(&login(&world, BOB).await.expect(200));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())), signature);
}

#[tokio::test]
async fn g07_g09_post_gives_three_members_and_is_not_stored() {
    let world = world("body").await;
    let shown = login(&world, BOB).await.expect(200);
    let names: Vec<String> = shown.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["access_token", "token_type", "expires_in"]);
    assert_eq!((&shown.json()["token_type"], &shown.json()["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    assert_eq!(shown.header("authorization"), None);
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        world.send(request(method, PATH, &[], "")).await.expect(405);
    }
    world.post(PATH, &[("username", "bob"), ("password", "Passw0rd!")]).await.expect(200);
    world.post(PATH, &[("username", "BOB@example.test"), ("password", "Passw0rd!")]).await.expect(200);
}

#[tokio::test]
async fn g08_a_bad_body_is_told_what_is_wrong_with_it() {
    let world = world("body").await;
    for (body, told) in [
        (r#"{"username":"bob"}"#, "The field 'password' is missing"),
        (r#"{"password":"x"}"#, "The field 'username' is missing"),
        (r#"{"username":"","password":"x"}"#, "The field 'username' is missing"),
        (
            r#"{"username":7,"password":"x"}"#,
            "A JSON body must be an object whose members are texts, and 'username' is none",
        ),
        (
            r#"{"username":"bob","password":["x"]}"#,
            "A JSON body must be an object whose members are texts, and 'password' is none",
        ),
        (
            r#"{"username":"bob","password":null}"#,
            "A JSON body must be an object whose members are texts, and 'password' is none",
        ),
        (r#"["bob"]"#, "A JSON body must be an object whose members are texts"),
        (r#"{"username":"bob""#, "A JSON body must be an object whose members are texts"),
        (r#"{"username":"bob","username":"bob","password":"x"}"#, "duplicated parameter"),
    ] {
        let shown = login(&world, body).await.expect(400);
        assert_eq!(shown.json()["error_description"], told, "{body}");
    }
    for kind in ["text/plain", "application/xml", "application/jsonx", ""] {
        world.send(request(Method::POST, PATH, &[("content-type", kind)], BOB)).await.expect(415);
    }
    world.send(request(Method::POST, PATH, &[], BOB)).await.expect(415);
    let large = format!(r#"{{"username":"bob","password":"{}"}}"#, "x".repeat(2 * 1024 * 1024));
    login(&world, &large).await.expect(413);
}

#[tokio::test]
async fn g10_whoever_is_refused_is_told_the_same() {
    let world = world("body").await;
    let mut bodies = Vec::new();
    for (name, password) in [("bob", "wrong"), ("nobody", "Passw0rd!"), ("off", "Passw0rd!"), ("off", "wrong")] {
        let body = json!({"username": name, "password": password}).to_string();
        let shown = login(&world, &body).await.expect(401);
        assert!(shown.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
        assert!(shown.header("grantor-decision").is_some());
        bodies.push(shown.body);
    }
    bodies.dedup();
    assert_eq!(bodies, [r#"{"error":"invalid_grant","error_description":"Wrong user name or password"}"#]);
}

#[tokio::test]
async fn g12_the_secret_is_in_no_key_set() {
    let world = world("body").await;
    let keys = world.get(&endpoint("shop", "certs")).await.expect(200);
    assert!(!keys.body.contains("oct") && !keys.body.contains("login-1"), "{}", keys.body);
}

#[tokio::test]
async fn g13_the_token_comes_in_a_header_where_that_is_wanted() {
    let world = world("header").await;
    let origin = ("origin", "https://shop.example");
    let json = ("content-type", "application/json");
    let shown = world.send(request(Method::POST, PATH, &[json, origin], BOB)).await.expect(200);
    assert_eq!(shown.header("authorization"), Some(format!("Bearer {}", token(&shown)).as_str()));
    assert_eq!(shown.header("access-control-expose-headers"), Some("Authorization"));
    assert_eq!(shown.header("access-control-allow-origin"), Some("https://shop.example"));
}

#[tokio::test]
async fn g14_a_cookie_keeps_the_token_from_scripts() {
    let world = world("cookie").await;
    let shown = login(&world, BOB).await.expect(200);
    assert_eq!(shown.json(), json!({"token_type": "Bearer", "expires_in": 900}));
    let cookie = shown.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-token=ey"), "{cookie}");
    assert!(cookie.ends_with("; Max-Age=900; Path=/; HttpOnly; Secure; SameSite=Strict"), "{cookie}");
}

#[tokio::test]
async fn a_page_elsewhere_can_log_nobody_in() {
    let world = world("cookie").await;
    let json = ("content-type", "application/json");
    for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
        let shown = world.send(request(Method::POST, PATH, &[json, ("origin", origin)], BOB)).await.expect(403);
        assert_eq!(shown.header("set-cookie"), None);
    }
    for origin in ["https://shop.example", "http://localhost"] {
        world.send(request(Method::POST, PATH, &[json, ("origin", origin)], BOB)).await.expect(200);
    }
}

#[tokio::test]
async fn the_token_can_be_revoked_and_ends() {
    let world = world("body").await;
    let token = token(&login(&world, BOB).await.expect(200));
    let userinfo = |token: String| {
        let bearer = format!("Bearer {token}");
        let world = &world;
        async move { world.get_with(&endpoint("shop", "userinfo"), &[("authorization", &bearer)]).await.status }
    };
    // Without the scope openid userinfo refuses, which tells a live token from a dead one.
    assert_eq!(userinfo(token.clone()).await, 403);
    world.post(&endpoint("shop", "revoke"), &[("client_id", "app"), ("token", &token)]).await.expect(200);
    assert_eq!(userinfo(token).await, 401);
}

#[tokio::test]
async fn only_a_realm_that_is_set_up_has_it() {
    let world = world("body").await;
    world.set("shop", &[("enabled", json!(false))]).await;
    login(&world, BOB).await.expect(403);
    let other = json!({"realm": "other", "enabled": true}).to_string();
    world.import(&other).await;
    let json = ("content-type", "application/json");
    world.send(request(Method::POST, "/realms/other/login", &[json], BOB)).await.expect(404);
    world.send(request(Method::POST, "/realms/none/login", &[json], BOB)).await.expect(404);
    // The default realm is `demo`, which this server has not.
    world.send(request(Method::POST, "/api/auth/login", &[json], BOB)).await.expect(404);
}

#[tokio::test]
async fn a_client_that_the_command_adds_is_set_up_in_the_default_realm() {
    use grantor_flows::admin::clients::NewClient;
    use grantor_flows::login::Delivery;
    let world = World::with(
        &json!({"realm": "demo", "enabled": true, "users": [
        {"username": "bob", "enabled": true, "email": "bob@example.test", "firstName": "Bob", "lastName": "B",
         "credentials": [{"type": "password", "value": "Passw0rd!"}]}]})
        .to_string(),
    )
    .await;
    let new =
        NewClient { client_id: "app".to_owned(), public: true, login: Some(Delivery::Body), ..NewClient::default() };
    world.app.engine.add_client(&*world.realm("demo").await, new, Instant::from_seconds(0)).await.unwrap();
    let json = ("content-type", "application/json");
    let shown = world.send(request(Method::POST, "/api/auth/login", &[json], BOB)).await.expect(200);
    let claims = part(&token(&shown), 1);
    assert_eq!((&claims["aud"], &claims["typ"]), (&json!("app"), &json!("Bearer")));
    assert_eq!(part(&token(&shown), 0)["alg"], "HS256");
    // The client has no other right.
    let form = [("grant_type", "password"), ("client_id", "app"), ("username", "bob"), ("password", "Passw0rd!")];
    world.token("demo", &form).await.refused(400, "unauthorized_client");
}
