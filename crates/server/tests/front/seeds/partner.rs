//! W: a partner's assertion becomes an access token, at the URLs of WSO2 Identity Server.

use grantor_model::identity_provider::setting as s;
use grantor_model::jose::{self, Algorithm, SigningKey, b64url_decode};
use http::Method;
use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::support::partner::{Does, KeyServer, Partner, changed};
use crate::support::{Shown, World, basic, request};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ALIAS: &str = "https://localhost:9443/oauth2/token";
const TOKEN: &str = "/oauth2/token";

/// The default realm, with applications as the seed sets them up: opaque tokens, JWTs, one without refresh tokens, one
/// without the grant.
fn realm(name: &str) -> String {
    let app = |id: &str, more: Value| {
        let mut attributes =
            json!({"oauth2.jwt.authorization.grant.enabled": "true", "oauth2.jwt.authorization.grant.idp": "*"});
        attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"clientId": id, "protocol": "openid-connect", "publicClient": false, "secret": "s", "standardFlowEnabled": false,
            "directAccessGrantsEnabled": true, "serviceAccountsEnabled": true, "attributes": attributes})
    };
    json!({"realm": name, "enabled": true,
        "roles": {"realm": [{"name": "clerk"}]},
        "clients": [
            app("app", json!({})),
            app("jwt-app", json!({"grantor.access.token.type": "JWT", "grantor.audiences": "https://api1/##https://api2/##https://api1/"})),
            app("plain-jwt", json!({"grantor.access.token.type": "JWT"})),
            app("no-refresh", json!({"use.refresh.tokens": "false"})),
            app("keeps", json!({"grantor.refresh.token.renew": "false"})),
            app("no-grant", json!({"oauth2.jwt.authorization.grant.enabled": "false"})),
        ],
        "users": [{"username": "admin", "enabled": true, "email": "admin@example.test", "firstName": "A", "lastName": "D",
            "credentials": [{"type": "password", "value": "Passw0rd!"}]}],
    })
    .to_string()
}

async fn world() -> World {
    let world = World::with_neighbours(&realm("demo")).await;
    let certificate = Partner::trusted().valid_certificate();
    let settings = [(s::ISSUER, "jwtIDP"), (s::CERTIFICATES, certificate.as_str()), (s::AUDIENCES, ALIAS)];
    world.trust("demo", "jwtIDP", &settings).await;
    world
}

fn claims(world: &World) -> Value {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let now = world.now().seconds();
    json!({"iss": "jwtIDP", "sub": "admin", "aud": [ALIAS], "iat": now, "exp": now + 600, "jti": format!("j{number}")})
}

async fn post(world: &World, path: &str, client: &str, form: &[(&str, &str)]) -> Shown {
    world.post_with(path, &[("authorization", &basic(client, "s"))], form).await
}

async fn shown_to(world: &World, client: &str, assertion: &str) -> Shown {
    post(world, TOKEN, client, &[("grant_type", GRANT), ("assertion", assertion)]).await
}

/// The seed's helper `jb`: claims with changes, a header, a key.
async fn jb(world: &World, changes: Value) -> Shown {
    shown_to(world, "app", &signed(world, changes, r#"{"alg":"RS256"}"#)).await
}

fn signed(world: &World, changes: Value, header: &str) -> String {
    let header: Value = serde_json::from_str(header).unwrap();
    Partner::trusted().sign(&header, &changed(&claims(world), changes).to_string())
}

#[track_caller]
fn no_grant(shown: Shown, text: &str) {
    let shown = shown.refused(400, "invalid_grant");
    assert_eq!(shown.text("error_description"), text);
    assert_eq!(shown.json().get("access_token"), None);
    assert!(shown.header("grantor-decision").is_some());
}

async fn introspected(world: &World, token: &str) -> Value {
    post(world, "/oauth2/introspect", "app", &[("token", token)]).await.expect(200).json()
}

#[tokio::test]
async fn w01_w16_w26_w48_w53_an_assertion_becomes_a_token() {
    let world = world().await;
    let shown = jb(&world, json!({})).await.expect(200);
    let body = shown.json();
    let names: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["access_token", "refresh_token", "token_type", "expires_in"]);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert_eq!((shown.header("cache-control"), shown.header("pragma")), (Some("no-store"), Some("no-cache")));
    let token = shown.text("access_token");
    assert!(token.len() >= 44 && !token.contains('.'), "{token}");
    let active = introspected(&world, &token).await;
    assert_json_snapshot!("w16_w26_introspected", active);
    assert_eq!(active["identity_provider"], "jwtIDP", "not the user of ours who has the same name");
    // Nothing that would work as a token is in the database.
    let text = std::fs::read(world.database_file()).unwrap();
    for secret in [&token, &shown.text("refresh_token")] {
        assert!(!text.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    let refresh = shown.text("refresh_token");
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
    post(&world, TOKEN, "jwt-app", &form).await.refused(400, "invalid_grant");
    let next = post(&world, TOKEN, "app", &form).await.expect(200);
    assert_eq!(introspected(&world, &next.text("access_token")).await["sub"], "admin");
    assert_eq!(introspected(&world, &token).await, json!({"active": false}), "the next token ends the one before");
    // A refresh token that comes back has two owners: everything it brought ends.
    no_grant(post(&world, TOKEN, "app", &form).await, "Invalid refresh token state");
    assert_eq!(introspected(&world, &next.text("access_token")).await, json!({"active": false}));
    let form = [("grant_type", "refresh_token"), ("refresh_token", &next.text("refresh_token"))];
    no_grant(post(&world, TOKEN, "app", &form).await, "Invalid refresh token value in the request");
}

#[tokio::test]
async fn w02_w14_w49_one_jwt_in_its_only_spelling() {
    let world = world().await;
    let good = || signed(&world, json!({}), r#"{"alg":"RS256"}"#);
    let padded = good().replace('-', "+").replace('_', "/") + "==";
    for bad in [
        "abc",
        "a.b",
        "a.b.c.d",
        "a.b.c",
        &padded,
        &format!("{} {}", good(), good()),
        &format!("{},{}", good(), good()),
    ] {
        no_grant(shown_to(&world, "app", bad).await, "Error while parsing the JWT.");
    }
    no_grant(shown_to(&world, "app", &format!("[\"{}\"]", good())).await, "Error while parsing the JWT.");
    let two = [("grant_type", GRANT), ("assertion", &good()), ("assertion", &good())];
    post(&world, TOKEN, "app", &two).await.refused(400, "invalid_request");
    // Five parts are an encrypted token, whatever is inside.
    no_grant(shown_to(&world, "app", "eyJhbGciOiJkaXIifQ..a.b.c").await, "Error while parsing the JWT.");
}

#[tokio::test]
async fn w03_w04_the_header_names_an_algorithm_and_nothing_else_counts() {
    let world = world().await;
    for header in [
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"RS256","Type":"JWT"}"#,
        r#"{"alg":"RS256","type":"JWT"}"#,
        r#"{"typ":"x","alg":"RS256"}"#,
    ] {
        shown_to(&world, "app", &signed(&world, json!({}), header)).await.expect(200);
    }
    for header in [r#"{"typ":"JWT"}"#, r#"{"alg":"RS256","crit":["x"]}"#, r#"{"alg":"none"}"#] {
        // The signing helper wants an algorithm; what counts is the header that arrives.
        let token = signed(&world, json!({}), r#"{"alg":"RS256"}"#);
        let (_, rest) = token.split_once('.').unwrap();
        let forged = format!("{}.{rest}", jose::b64url_encode(header.as_bytes()));
        no_grant(shown_to(&world, "app", &forged).await, "Error while parsing the JWT.");
    }
    for algorithm in [Algorithm::RS384, Algorithm::RS512] {
        shown_to(&world, "app", &Partner::trusted().under(algorithm).assertion(&claims(&world))).await.expect(200);
    }
    let pem = Partner::trusted().valid_certificate();
    for secret in [pem.into_bytes(), Partner::trusted().key.spki_der().unwrap().to_vec()] {
        let key = SigningKey::hmac("k".to_owned(), Algorithm::HS256, &secret).unwrap();
        let forged = jose::sign_compact(r#"{"alg":"HS256"}"#, claims(&world).to_string().as_bytes(), &key).unwrap();
        no_grant(
            shown_to(&world, "app", &forged).await,
            "Could not create a signature verifier for algorithm type: HS256",
        );
    }
}

#[tokio::test]
async fn w05_to_w12_w40_w44_to_w47_each_claim_counts() {
    let world = world().await;
    let now = world.now().seconds();
    let mandatory = |name: &str| {
        format!(
            "Mandatory fields(Issuer, Subject, Expiration time or Audience) are empty in the given JSON Web Token. Missing: {name}"
        )
    };
    let unknown = |name: &str| format!("No registered identity provider found for the JWT with issuer name : {name}");
    let claims_set =
        |name: &str| format!("Error when trying to retrieve claimsSet from the JWT: {name} has the wrong type");
    let audience = "None of the audience values matched the tokenEndpoint Alias".to_owned();
    let expired = "JSON Web Token is expired.".to_owned();
    for (changes, text) in [
        (json!({"iss": null}), mandatory("iss")),
        (json!({"iss": "nobody"}), unknown("nobody")),
        (json!({"iss": "JWTIDP"}), unknown("JWTIDP")),
        (json!({"sub": null}), mandatory("sub")),
        (json!({"sub": ""}), mandatory("sub")),
        (json!({"aud": null}), mandatory("aud")),
        (json!({"aud": "https://other/"}), audience.clone()),
        (json!({"aud": format!("{ALIAS}/")}), audience),
        (json!({"exp": null}), mandatory("exp")),
        (json!({"exp": now - 61, "iat": now - 100}), expired),
        (json!({"nbf": now + 300}), "JSON Web Token is used before Not_Before_Time.".to_owned()),
        (json!({"iat": now + 300}), "JSON Web Token is issued in the future.".to_owned()),
        (json!({"iat": now - 1860}), "JSON Web Token is issued before the allowed time.".to_owned()),
        (json!({"iat": now.to_string()}), claims_set("iat")),
        (json!({"exp": (now + 60).to_string()}), claims_set("exp")),
        (json!({"nbf": now.to_string()}), claims_set("nbf")),
        (json!({"exp": null, "jit": (now + 600).to_string()}), mandatory("exp")),
    ] {
        no_grant(jb(&world, changes).await, &text);
    }
    for changes in [
        json!({"sub": "u1"}),
        json!({"aud": ["x", ALIAS]}),
        json!({"aud": ALIAS}),
        json!({"exp": now - 20, "iat": now - 100}),
        json!({"nbf": null}),
        json!({"iat": null}),
        json!({"iat": now - 1740}),
        json!({"iat": now as f64 - 0.5}),
        json!({"jit": "7"}),
        json!({"x-dept": "7"}),
    ] {
        jb(&world, changes).await.expect(200);
    }
    let user = jb(&world, json!({"sub": "u1"})).await.expect(200);
    let active = introspected(&world, &user.text("access_token")).await;
    assert_eq!((&active["username"], &active["sub"]), (&json!("u1"), &json!("u1")));
    let text = "Error when trying to retrieve claimsSet from the JWT";
    for payload in [r#"{"iss":"a" "sub":"b"}"#, r#"{"iss":"a","iss":"a"}"#, "[]"] {
        no_grant(shown_to(&world, "app", &Partner::trusted().sign(&json!({"alg": "RS256"}), payload)).await, text);
    }
}

#[tokio::test]
async fn w11_an_assertion_is_used_once() {
    let world = world().await;
    let nameless = signed(&world, json!({"jti": null}), r#"{"alg":"RS256"}"#);
    shown_to(&world, "app", &nameless).await.expect(200);
    shown_to(&world, "app", &nameless).await.expect(200);
    let assertion = signed(&world, json!({"jti": "x"}), r#"{"alg":"RS256"}"#);
    let (one, other) = tokio::join!(shown_to(&world, "app", &assertion), shown_to(&world, "app", &assertion));
    let (good, bad) = if one.status == 200 { (one, other) } else { (other, one) };
    good.expect(200);
    assert!(!bad.body.contains(&assertion));
    no_grant(bad, "JSON Web Token has been used before.");
    let certificate = Partner::stranger().valid_certificate();
    world.trust("demo", "other", &[(s::ISSUER, "other"), (s::CERTIFICATES, &certificate), (s::AUDIENCES, ALIAS)]).await;
    let same_id = changed(&claims(&world), json!({"iss": "other", "jti": "x"}));
    shown_to(&world, "app", &Partner::stranger().sign(&json!({"alg": "RS256"}), &same_id.to_string()))
        .await
        .expect(200);
}

#[tokio::test]
async fn w12_claims_and_roles_are_taken_over_where_somebody_said_so() {
    let world = world().await;
    let said = json!({"x-dept": "7", "roles": ["clerk", "admin"]});
    let form = |assertion: &str| {
        vec![
            ("grant_type".to_owned(), GRANT.to_owned()),
            ("assertion".to_owned(), assertion.to_owned()),
            ("scope".to_owned(), "openid".to_owned()),
        ]
    };
    let ask = async |world: &World| {
        let assertion = signed(world, said.clone(), r#"{"alg":"RS256"}"#);
        let form = form(&assertion);
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        post(world, TOKEN, "app", &form).await.expect(200)
    };
    let before = ask(&world).await;
    assert_eq!(before.claims("id_token").get("dept"), None);
    let realm = world.realm("demo").await;
    let map = |document: &mut grantor_model::realm::IdentityProviderDocument| {
        document.config.insert(s::CLAIMS.to_owned(), Some("x-dept=dept".to_owned()));
        Ok(())
    };
    world.app.engine.change_identity_provider(&realm, "jwtIDP", world.now(), map).await.unwrap();
    let after = ask(&world).await;
    assert_eq!(after.text("scope"), "openid");
    assert_json_snapshot!("w12_id_token", after.whole());
    let bearer = format!("Bearer {}", after.text("access_token"));
    let info = world.get_with("/oauth2/userinfo", &[("authorization", &bearer)]).await.expect(200);
    assert_eq!(info.json(), json!({"sub": "admin", "dept": "7"}));
}

#[tokio::test]
async fn w13_w15_w52_the_samples_of_the_seed_have_expired() {
    let world = world().await;
    let sample = json!({"iss": "jwtIDP", "sub": "admin", "aud": [ALIAS, "wso2-IS"], "exp": 1_458_166_985, "nbf": 1_458_106_985,
        "iat": 1_458_106_985, "jti": "Token56756"});
    no_grant(
        shown_to(&world, "app", &Partner::trusted().sign(&json!({"alg": "RS256"}), &sample.to_string())).await,
        "JSON Web Token is expired.",
    );
    let posted = include_str!("sample_assertion.txt").trim();
    let form = [("grant_type", GRANT), ("assertion", posted)];
    let stranger = basic("bBhEoE2wIpU1zB8HA3GfvZz8xxAa", "RKgXUC3pTRQg9xPpNwyuTPGtnSQa");
    let unknown = world.post_with(TOKEN, &[("authorization", &stranger)], &form).await;
    let unknown = unknown.refused(401, "invalid_client");
    assert_eq!(unknown.header("www-authenticate"), Some("Basic realm=\"localhost\""));
    no_grant(shown_to(&world, "app", posted).await, "Signature or Message Authentication invalid.");
    let claims: Value = serde_json::from_slice(&b64url_decode(posted.split('.').nth(1).unwrap()).unwrap()).unwrap();
    assert_eq!(claims["iss"], "jwtIDP");
}

#[tokio::test]
async fn w17_w18_w19_w21_the_grant_and_its_parameters() {
    let world = world().await;
    let assertion = signed(&world, json!({}), r#"{"alg":"RS256"}"#);
    let document = world.get("/oauth2/token/.well-known/openid-configuration").await.expect(200);
    assert!(document.json()["grant_types_supported"].as_array().unwrap().contains(&json!(GRANT)));
    assert_json_snapshot!("w17_discovery", document.whole());
    world.get("/oauth2/oidcdiscovery/.well-known/openid-configuration").await.expect(200);
    world.get("/oauth2/token/.well-known/oauth-authorization-server").await.expect(200);
    world.get("/oauth2/other/.well-known/openid-configuration").await.expect(400);
    for grant in
        ["URN:ietf:params:oauth:grant-type:jwt-bearer", "jwt-bearer", "urn:ietf:params:oauth:grant-type:jwt", "x"]
    {
        post(&world, TOKEN, "app", &[("grant_type", grant), ("assertion", &assertion)])
            .await
            .refused(400, "unsupported_grant_type");
    }
    post(&world, TOKEN, "app", &[("assertion", &assertion)]).await.refused(400, "invalid_request");
    let missing = post(&world, TOKEN, "app", &[("grant_type", GRANT)]).await.refused(400, "invalid_request");
    assert_eq!(missing.text("error_description"), "Missing parameters: assertion");
    let text = "No Valid Assertion was found for urn:ietf:params:oauth:grant-type:jwt-bearer";
    no_grant(shown_to(&world, "app", "").await, text);
    shown_to(&world, "no-grant", &assertion).await.refused(400, "unauthorized_client");
    shown_to(&world, "app", &assertion).await.expect(200);
}

#[tokio::test]
async fn w17_the_grant_can_be_switched_off() {
    let world = World::with_settings(&realm("demo"), &[("GRANTOR_ASSERTIONS_JWT_BEARER", "off")]).await;
    shown_to(&world, "app", "x").await.refused(400, "unsupported_grant_type");
    let form = [("grant_type", GRANT), ("assertion", "x"), ("client_id", "app"), ("client_secret", "s")];
    world.token("demo", &form).await.refused(400, "unsupported_grant_type");
    for path in ["/oauth2/token/.well-known/openid-configuration", "/realms/demo/.well-known/openid-configuration"] {
        assert!(!world.get(path).await.expect(200).body.contains(GRANT), "{path}");
    }
}

#[tokio::test]
async fn w41_the_window_of_iat_is_a_setting() {
    for (minutes, age, status) in [("0", 86_400, 200), ("5", 360, 400), ("5", 240, 200), ("30", 1_860, 400)] {
        let world = World::with_settings(&realm("demo"), &[("GRANTOR_ASSERTIONS_IAT_WINDOW_MINUTES", minutes)]).await;
        let certificate = Partner::trusted().valid_certificate();
        world
            .trust("demo", "jwtIDP", &[(s::ISSUER, "jwtIDP"), (s::CERTIFICATES, &certificate), (s::AUDIENCES, ALIAS)])
            .await;
        let iat = world.now().seconds() - age;
        jb(&world, json!({"iat": iat})).await.expect(status);
    }
}

#[tokio::test]
async fn w20_w51_who_asks_proves_it_in_one_place() {
    let world = world().await;
    let assertion = || signed(&world, json!({}), r#"{"alg":"RS256"}"#);
    let form = |assertion: &str| {
        vec![("grant_type".to_owned(), GRANT.to_owned()), ("assertion".to_owned(), assertion.to_owned())]
    };
    let ask = async |path: &str, header: Option<String>, more: &[(&str, &str)]| {
        let mut all = form(&assertion());
        all.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let headers: Vec<(&str, &str)> = header.iter().map(|value| ("authorization", value.as_str())).collect();
        world.post_with(path, &headers, &all).await
    };
    let wrong = ask(TOKEN, Some(basic("app", "bad")), &[]).await.refused(401, "invalid_client");
    assert_eq!(wrong.text("error_description"), "Client credentials are invalid.");
    assert!(wrong.header("www-authenticate").unwrap().starts_with("Basic"));
    let stranger = ask(TOKEN, Some(basic("stranger", "s")), &[]).await.refused(401, "invalid_client");
    assert_eq!(stranger.body, wrong.body, "nobody learns which clients there are");
    ask(TOKEN, None, &[]).await.refused(401, "invalid_client");
    ask(TOKEN, Some("Basic !!!".to_owned()), &[]).await.refused(401, "invalid_client");
    ask(TOKEN, Some(basic("app", "s")), &[("client_id", "app"), ("client_secret", "s")])
        .await
        .refused(400, "invalid_request");
    ask("/oauth2/token?client_secret=s", None, &[("client_id", "app")]).await.refused(400, "invalid_request");
    ask(TOKEN, None, &[("client_id", "app"), ("client_secret", "s")]).await.expect(200);
    ask(TOKEN, Some(basic("%61pp", "%73")), &[]).await.expect(200);
    let body = json!({"grant_type": GRANT, "assertion": assertion()}).to_string();
    let header = basic("app", "s");
    let as_json = |kind: &'static str, body: &str| {
        request(Method::POST, TOKEN, &[("content-type", kind), ("authorization", &header)], body)
    };
    world.send(as_json("application/json", &body)).await.expect(200);
    world.send(as_json("text/plain", "grant_type=x")).await.refused(400, "invalid_request");
    let broken = world.send(as_json("application/json", "{")).await.refused(400, "invalid_request");
    assert_eq!(broken.text("error_description"), "Malformed or unsupported request payload");
}

#[tokio::test]
async fn w22_w23_w24_w25_the_issuer_is_known_on_and_has_the_key() {
    let world = world().await;
    let certificate = Partner::stranger().valid_certificate();
    world
        .trust("demo", "corp", &[(s::ISSUER, "https://corp/"), (s::CERTIFICATES, &certificate), (s::AUDIENCES, ALIAS)])
        .await;
    let by_stranger = |iss: &str| {
        Partner::stranger().sign(&json!({"alg": "RS256"}), &changed(&claims(&world), json!({"iss": iss})).to_string())
    };
    shown_to(&world, "app", &by_stranger("https://corp/")).await.expect(200);
    shown_to(&world, "app", &by_stranger("corp")).await.expect(200);
    no_grant(shown_to(&world, "app", &by_stranger("jwtIDP")).await, "Signature or Message Authentication invalid.");
    let realm = world.realm("demo").await;
    let set = async |enabled: bool| {
        let change = |document: &mut grantor_model::realm::IdentityProviderDocument| {
            document.enabled = enabled;
            Ok(())
        };
        world.app.engine.change_identity_provider(&realm, "jwtIDP", world.now(), change).await.unwrap();
    };
    set(false).await;
    no_grant(jb(&world, json!({})).await, "No Active IDP found for the JWT with issuer name : jwtIDP");
    set(true).await;
    jb(&world, json!({})).await.expect(200);
    world.trust("demo", "bare", &[(s::ISSUER, "bare")]).await;
    no_grant(jb(&world, json!({"iss": "bare"})).await, "Unable to locate certificate for Identity Provider bare");
}

#[tokio::test]
async fn w30_keys_that_are_published() {
    let world = world().await;
    let server = KeyServer::start(Does::Publish(Partner::trusted().key_set())).await;
    world
        .trust(
            "demo",
            "jwksIDP",
            &[(s::ISSUER, "jwksIDP"), (s::USES_URL, "true"), (s::URL, &server.url()), (s::AUDIENCES, ALIAS)],
        )
        .await;
    let named = |header: &str| signed(&world, json!({"iss": "jwksIDP"}), header);
    shown_to(&world, "app", &named(r#"{"alg":"RS256","kid":"partner-1"}"#)).await.expect(200);
    no_grant(
        shown_to(&world, "app", &named(r#"{"alg":"RS256"}"#)).await,
        "Value of the kid property in JWS header is null.",
    );
    server.now_does(Does::Close);
    shown_to(&world, "app", &named(r#"{"alg":"RS256","kid":"partner-1"}"#)).await.expect(200);
}

#[tokio::test]
async fn w32_w42_w43_alias_and_issuer_may_be_many_things() {
    let world = world().await;
    for aud in ["http://localhost/oauth2/token", "http://localhost/t/demo/oauth2/token", "http://localhost/realms/demo"]
    {
        jb(&world, json!({"aud": aud})).await.expect(200);
    }
    no_grant(
        jb(&world, json!({"iss": "app"})).await,
        "No registered identity provider found for the JWT with issuer name : app",
    );
    let key = Partner::trusted().public_key();
    world.trust("demo", "own", &[(s::ISSUER, "app"), (s::CERTIFICATES, &key)]).await;
    let own = jb(&world, json!({"iss": "app", "sub": "app", "aud": "http://localhost/oauth2/token"})).await.expect(200);
    assert_eq!(introspected(&world, &own.text("access_token")).await["sub"], "app");
}

#[tokio::test]
async fn w36_w37_w38_w39_audiences_of_applications() {
    let world = world().await;
    let audience = async |world: &World, client: &str| {
        let assertion = signed(world, json!({}), r#"{"alg":"RS256"}"#);
        let shown = shown_to(world, client, &assertion).await.expect(200);
        (shown.claims("access_token")["aud"].clone(), shown)
    };
    let (aud, shown) = audience(&world, "jwt-app").await;
    assert_eq!(aud, json!(["jwt-app", "https://api1/", "https://api2/"]));
    assert_json_snapshot!("w36_jwt", shown.whole());
    let active = introspected(&world, &shown.text("access_token")).await;
    assert_eq!((&active["sub"], &active["aut"]), (&json!("admin"), &json!("APPLICATION_USER")));
    assert_eq!(audience(&world, "plain-jwt").await.0, json!(["plain-jwt"]));
    // Refreshing and revoking end the JWT before.
    let refresh = shown.text("refresh_token");
    let next = post(&world, TOKEN, "jwt-app", &[("grant_type", "refresh_token"), ("refresh_token", &refresh)])
        .await
        .expect(200);
    assert_eq!(introspected(&world, &shown.text("access_token")).await, json!({"active": false}));
    post(&world, "/oauth2/revoke", "jwt-app", &[("token", &next.text("refresh_token"))]).await.expect(200);
    assert_eq!(introspected(&world, &next.text("access_token")).await, json!({"active": false}));
    let world = World::with_settings(&realm("demo"), &[("GRANTOR_WSO2_AUDIENCES", "https://all/")]).await;
    let certificate = Partner::trusted().valid_certificate();
    world
        .trust("demo", "jwtIDP", &[(s::ISSUER, "jwtIDP"), (s::CERTIFICATES, &certificate), (s::AUDIENCES, ALIAS)])
        .await;
    assert_eq!(audience(&world, "plain-jwt").await.0, json!(["plain-jwt", "https://all/"]));
    assert_eq!(audience(&world, "jwt-app").await.0, json!(["jwt-app", "https://api1/", "https://api2/"]));
}

#[tokio::test]
async fn w48_refresh_tokens_are_the_applications_choice() {
    let world = world().await;
    let ask = async |client: &str| {
        let assertion = signed(&world, json!({}), r#"{"alg":"RS256"}"#);
        shown_to(&world, client, &assertion).await.expect(200)
    };
    assert_eq!(ask("no-refresh").await.json().get("refresh_token"), None);
    let kept = ask("keeps").await.text("refresh_token");
    for _ in 0..2 {
        let next = post(&world, TOKEN, "keeps", &[("grant_type", "refresh_token"), ("refresh_token", &kept)])
            .await
            .expect(200);
        assert_eq!(next.text("refresh_token"), kept);
    }
    world.later(86_400);
    let form = [("grant_type", "refresh_token"), ("refresh_token", kept.as_str())];
    no_grant(post(&world, TOKEN, "keeps", &form).await, "Refresh token is expired.");
}

#[tokio::test]
async fn w50_a_tenant_is_a_realm() {
    let world = world().await;
    world.import(&realm("wso2.com")).await;
    let certificate = Partner::trusted().valid_certificate();
    world
        .trust("wso2.com", "theirs", &[(s::ISSUER, "theirs"), (s::CERTIFICATES, &certificate), (s::AUDIENCES, ALIAS)])
        .await;
    let at = async |path: &str, iss: &str| {
        let assertion = signed(&world, json!({"iss": iss}), r#"{"alg":"RS256"}"#);
        post(&world, path, "app", &[("grant_type", GRANT), ("assertion", &assertion)]).await
    };
    for path in [
        "/oauth2/token?tenantDomain=wso2.com",
        "/t/wso2.com/oauth2/token",
        "/t/wso2.com/oauth2/token?tenantDomain=wso2.com",
    ] {
        at(path, "theirs").await.expect(200);
    }
    for path in ["/t/carbon.super/oauth2/token", "/t/demo/oauth2/token", TOKEN] {
        at(path, "jwtIDP").await.expect(200);
    }
    no_grant(at(TOKEN, "theirs").await, "No registered identity provider found for the JWT with issuer name : theirs");
    let wrong = at("/t/nowhere/oauth2/token", "theirs").await.refused(401, "invalid_client");
    for path in [
        "/oauth2/token?tenantDomain=nowhere",
        "/t/wso2.com/oauth2/token?tenantDomain=demo",
        "/t/demo/oauth2/token?tenantDomain=wso2.com",
        "/oauth2/token?tenantDomain=demo&tenantDomain=wso2.com",
    ] {
        assert_eq!(at(path, "theirs").await.refused(401, "invalid_client").body, wrong.body, "{path}");
    }
    let document = world.get("/t/wso2.com/oauth2/token/.well-known/openid-configuration").await.expect(200);
    assert_eq!(document.text("token_endpoint"), "http://localhost/t/wso2.com/oauth2/token");
    world.get("/t/nowhere/oauth2/jwks").await.expect(404);
    let keys = world.get("/t/wso2.com/oauth2/jwks").await.expect(200);
    assert_ne!(keys.json(), world.get("/oauth2/jwks").await.expect(200).json(), "each tenant has its own keys");
    // A token of one tenant is nothing in another.
    let token = at("/t/wso2.com/oauth2/token", "theirs").await.expect(200).text("access_token");
    assert_eq!(introspected(&world, &token).await, json!({"active": false}));
}

#[tokio::test]
async fn other_grants_and_endpoints_of_the_face() {
    let world = world().await;
    let itself = post(&world, TOKEN, "app", &[("grant_type", "client_credentials")]).await.expect(200);
    assert_eq!(itself.json().get("refresh_token"), None);
    let active = introspected(&world, &itself.text("access_token")).await;
    assert_eq!((&active["sub"], &active["aut"]), (&json!("app"), &json!("APPLICATION")));
    let form =
        [("grant_type", "password"), ("username", "admin"), ("password", "Passw0rd!"), ("scope", "openid email")];
    let user = post(&world, TOKEN, "app", &form).await.expect(200);
    let bearer = format!("Bearer {}", user.text("access_token"));
    let info = world.get_with("/oauth2/userinfo", &[("authorization", &bearer)]).await.expect(200);
    assert_eq!(info.text("email"), "admin@example.test");
    let realm = world.realm("demo").await;
    world.app.engine.enable_user(&realm, "admin", false, world.now()).await.unwrap();
    let gone = world.get_with("/oauth2/userinfo", &[("authorization", &bearer)]).await.refused(401, "invalid_token");
    assert_eq!(gone.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    let form = [("grant_type", "password"), ("username", "admin"), ("password", "wrong")];
    no_grant(post(&world, TOKEN, "app", &form).await, "Authentication failed");
    let scope = [("grant_type", "client_credentials"), ("scope", "nosuch")];
    post(&world, TOKEN, "app", &scope).await.refused(400, "invalid_scope");
    world.get("/oauth2/userinfo").await.refused(400, "invalid_request");
    let bearer = format!("Bearer {}", itself.text("access_token"));
    world.get_with("/oauth2/userinfo", &[("authorization", &bearer)]).await.refused(401, "invalid_token");
    let empty = post(&world, "/oauth2/introspect", "app", &[("token", "")]).await.expect(400);
    assert_eq!(empty.json(), json!({"error": "Invalid input"}));
    world.post("/oauth2/introspect", &[("token", "x")]).await.refused(401, "invalid_client");
    for junk in ["x", "a.b.c", &"0".repeat(52), &itself.text("access_token").to_uppercase()] {
        assert_eq!(introspected(&world, junk).await, json!({"active": false}), "{junk}");
    }
    let own = itself.text("access_token");
    post(&world, "/oauth2/revoke", "keeps", &[("token", &own)]).await.refused(400, "unauthorized_client");
    post(&world, "/oauth2/revoke", "app", &[("token", &own)]).await.expect(200);
    assert_eq!(introspected(&world, &own).await, json!({"active": false}));
    post(&world, "/oauth2/revoke", "app", &[("token", &own)]).await.expect(200);
    post(&world, "/oauth2/revoke", "app", &[]).await.refused(400, "invalid_request");
    let bad = world.post_with("/oauth2/revoke", &[("authorization", &basic("app", "bad"))], &[("token", &own)]).await;
    assert_eq!(bad.refused(401, "invalid_client").text("error_description"), "Client Authentication failed.");
}

/// A client that signs its own assertion names the endpoint that it calls.
#[tokio::test]
async fn a_client_proves_itself_by_a_signature() {
    let mut file: Value = serde_json::from_str(&realm("demo")).unwrap();
    file["clients"][0]["clientAuthenticatorType"] = json!("client-secret-jwt");
    let world = World::with(&file.to_string()).await;
    let key = SigningKey::hmac("k".to_owned(), Algorithm::HS256, b"s").unwrap();
    let now = world.now().seconds();
    for (aud, status) in [("/oauth2/token", 200), ("/t/demo/oauth2/token", 200), ("/t/other/oauth2/token", 401)] {
        let aud = format!("http://localhost{aud}");
        let claims = json!({"iss": "app", "sub": "app", "aud": aud, "iat": now, "exp": now + 30, "jti": aud});
        let proof = jose::sign_compact(r#"{"alg":"HS256"}"#, claims.to_string().as_bytes(), &key).unwrap();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", proof.as_str()),
        ];
        world.post(TOKEN, &form).await.expect(status);
    }
}

/// What is revoked is dead: with a refresh token that is kept, with JWTs, after a replay, and while the user is off.
#[tokio::test]
async fn what_a_grant_brought_ends_together() {
    let world = world().await;
    let refresh = async |client: &str, token: &str| {
        post(&world, TOKEN, client, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    };
    let first = shown_to(&world, "keeps", &signed(&world, json!({}), r#"{"alg":"RS256"}"#)).await.expect(200);
    let kept = first.text("refresh_token");
    let later = refresh("keeps", &kept).await.expect(200).text("access_token");
    post(&world, "/oauth2/revoke", "keeps", &[("token", &kept)]).await.expect(200);
    assert_eq!(introspected(&world, &later).await, json!({"active": false}), "of a later use, too");
    let first = shown_to(&world, "jwt-app", &signed(&world, json!({}), r#"{"alg":"RS256"}"#)).await.expect(200);
    let next = refresh("jwt-app", &first.text("refresh_token")).await.expect(200);
    refresh("jwt-app", &first.text("refresh_token")).await.refused(400, "invalid_grant");
    assert_eq!(introspected(&world, &next.text("access_token")).await, json!({"active": false}), "the thief's JWT");
    let form =
        [("grant_type", "password"), ("username", "admin"), ("password", "Passw0rd!"), ("scope", "openid email")];
    let user = post(&world, TOKEN, "app", &form).await.expect(200);
    let narrow = [("grant_type", "refresh_token"), ("refresh_token", &user.text("refresh_token")), ("scope", "email")];
    let narrow = post(&world, TOKEN, "app", &narrow).await.expect(200);
    assert_eq!(narrow.text("scope"), "email");
    let whole = refresh("app", &narrow.text("refresh_token")).await.expect(200);
    assert_eq!(whole.text("scope"), "openid email", "RFC 6749 section 6");
    let realm = world.realm("demo").await;
    world.app.engine.enable_user(&realm, "admin", false, world.now()).await.unwrap();
    post(&world, "/oauth2/revoke", "app", &[("token", &whole.text("refresh_token"))]).await.expect(200);
    world.app.engine.enable_user(&realm, "admin", true, world.now()).await.unwrap();
    assert_eq!(introspected(&world, &whole.text("access_token")).await, json!({"active": false}));
    refresh("app", &whole.text("refresh_token")).await.refused(400, "invalid_grant");
}
