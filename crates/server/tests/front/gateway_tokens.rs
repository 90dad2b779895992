//! Tokens at the gateway: faults and attacks, each found by its check, and tokens of other kinds that count.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grantor_model::api::{ApiDocument, RuleDocument};
use grantor_model::jose::{Algorithm, SigningKey};
use serde_json::{Value, json};

use crate::gateway::{HOST, Setup, claims, merge, rule};
use crate::support::gate::{Gate, Upstream};
use crate::support::partner::Partner;
use crate::support::{BEGINNING, KAIZTEN, World};

/// What is wrong with a token, and which check says so. Each is signed by the realm's own key.
#[tokio::test]
async fn k06_k07_k25_g18_each_fault_is_found_by_its_check() {
    let setup = Setup::new().await;
    let good = setup.token("alice").await;
    let now = BEGINNING;
    let faults: Vec<(&str, Value, Value)> = vec![
        ("issuer", json!({"iss": "https://evil.test/realms/kaizten"}), json!({})),
        ("issuer", json!({"iss": "http://localhost/realms/other"}), json!({})),
        ("issuer", json!({"iss": null}), json!({})),
        ("issuer", json!({"iss": ["http://localhost/realms/kaizten"]}), json!({})),
        ("audience", json!({"aud": "account"}), json!({})),
        ("audience", json!({"aud": null}), json!({})),
        ("audience", json!({"aud": ["a", "tasks2"]}), json!({})),
        ("audience", json!({"aud": {"tasks": 1}}), json!({})),
        ("audience", json!({"aud": "TASKS"}), json!({})),
        ("exp", json!({"exp": now - 5}), json!({})),
        ("exp", json!({"exp": 0}), json!({})),
        ("exp", json!({"exp": null}), json!({})),
        ("exp", json!({"exp": format!("{}", now + 100)}), json!({})),
        ("nbf", json!({"nbf": now + 6}), json!({})),
        ("nbf", json!({"nbf": "now"}), json!({})),
        ("iat", json!({"iat": now + 6}), json!({})),
        ("iat", json!({"iat": {}}), json!({})),
        ("typ", json!({"typ": "ID"}), json!({})),
        ("typ", json!({"typ": "Refresh"}), json!({})),
        ("typ", json!({"typ": "Offline"}), json!({})),
        ("typ", json!({"typ": "Logout"}), json!({})),
        ("typ", json!({"typ": "DPoP"}), json!({})),
        ("typ", json!({"typ": null}), json!({})),
        ("typ", json!({"typ": ["Bearer"]}), json!({})),
        ("typ", json!({}), json!({"typ": "logout+jwt"})),
        ("typ", json!({}), json!({"typ": "dpop+jwt"})),
        ("cnf", json!({"cnf": {"jkt": "x"}}), json!({})),
        ("cnf", json!({"cnf": {"x5t#S256": "x"}}), json!({})),
        ("client", json!({"azp": "nobody"}), json!({})),
        ("key", json!({}), json!({"kid": "../../etc/passwd"})),
        ("key", json!({}), json!({"kid": "' OR 1=1 --"})),
        ("key", json!({}), json!({"kid": ""})),
        ("alg", json!({}), json!({"alg": "RS512"})),
        ("alg", json!({}), json!({"alg": "PS256"})),
        ("alg", json!({}), json!({"alg": "ES256"})),
        ("alg", json!({}), json!({"alg": "HS256"})),
        ("form", json!({}), json!({"crit": ["exp"]})),
        ("form", json!({}), json!({"b64": false})),
    ];
    for (check, change, header) in faults {
        let token = match header.get("alg").and_then(Value::as_str) {
            None => setup.forged(&good, change.clone(), header.clone()).await,
            // A header that the signature covers: signed with the same key.
            Some(alg) => {
                let realm = setup.world.realm("kaizten").await;
                let signer = realm.keys.signer(Algorithm::RS256).unwrap();
                resigned(&good, &json!({"alg": alg, "typ": "JWT", "kid": signer.key.kid()}), &signer.key)
            }
        };
        let got = setup.get("/v1/tasks", &token).await;
        assert_eq!(setup.failed(&got).await, check, "{change} {header}: {got:?}");
        assert_eq!((got.status, got.json()["check"].as_str()), (401, Some(check)), "{change} {header}");
        let challenge = got.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
    }
    assert_eq!(setup.upstream.count(), 0);
    // The same way of making a token, without a fault.
    let token = setup.forged(&good, json!({"nbf": now + 5, "iat": now + 5}), json!({"jku": "https://evil.test"})).await;
    setup.get("/v1/tasks", &token).await.expect(200);
}

/// A token under another header, with a signature over it by this key, whatever the header says.
fn resigned(token: &str, header: &Value, key: &SigningKey) -> String {
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let input = format!("{}.{}", encoded(header.to_string().as_bytes()), token.split('.').nth(1).unwrap());
    let signature = key.sign(input.as_bytes()).unwrap();
    format!("{input}.{}", encoded(&signature))
}

/// The attacks of jwt_tool and its like.
#[tokio::test]
async fn g17_g19_attacks_on_signatures_fail() {
    let setup = Setup::new().await;
    let good = setup.token("alice").await;
    let parts: Vec<&str> = good.split('.').collect();
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let (head, payload, signature) = (parts[0], parts[1], parts[2]);
    let kid = &serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap()["kid"];
    let none = |alg: &str| format!("{}.{payload}.", encoded(&json!({"alg": alg, "typ": "JWT", "kid": kid})));
    let mut admin = claims(&good);
    merge(&mut admin, &json!({"realm_access": {"roles": ["admin", "root"]}}));
    let realm = setup.world.realm("kaizten").await;
    let public =
        realm.keys.published(setup.world.now()).find(|key| key.alg.as_deref() == Some("RS256")).unwrap().clone();
    let spki = realm.keys.signer(Algorithm::RS256).unwrap().key.spki_der().unwrap().to_vec();
    let confused = SigningKey::hmac(public.kid.clone().unwrap(), Algorithm::HS256, &spki).unwrap();
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": kid});
    let stranger = &Partner::stranger().key;
    let stranger_jwk = serde_json::to_value(stranger.public_jwk().unwrap()).unwrap();
    let with_key = |more: Value| {
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        merge(&mut header, &more);
        resigned(&good, &header, stranger)
    };
    for (name, token) in [
        ("none", none("none")),
        ("None", none("None")),
        ("NONE", none("NONE")),
        ("nOnE", none("nOnE")),
        ("null signature", format!("{head}.{payload}.")),
        ("another signature", format!("{head}.{payload}.{}AAAAA", &signature[..signature.len() - 5])),
        ("changed claims", format!("{head}.{}.{signature}", encoded(&admin))),
        ("key confusion", resigned(&good, &header, &confused)),
        ("a key in the header", with_key(json!({"jwk": stranger_jwk, "kid": kid}))),
        ("a key set in the header", with_key(json!({"jku": "http://127.0.0.1:1/keys", "kid": kid}))),
        ("a certificate in the header", with_key(json!({"x5c": ["MIIB"], "kid": kid}))),
        ("the key's name of a stranger", with_key(json!({"kid": "partner-1"}))),
        ("no key's name", with_key(json!({}))),
        ("two parts", format!("{head}.{payload}")),
        ("four parts", format!("{good}.x")),
        ("padding", format!("{good}=")),
        ("a member twice", {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
            let twice = text.replacen('{', "{\"sub\":\"root\",", 1);
            format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(twice))
        }),
    ] {
        let got = setup.get("/v1/tasks", &token).await;
        assert_eq!(got.status, 401, "{name}: {got:?}");
        assert!(matches!(setup.failed(&got).await.as_str(), "form" | "alg" | "key" | "signature"), "{name}");
    }
    assert_eq!(setup.upstream.count(), 0);
    setup.get("/v1/tasks", &good).await.expect(200);
}

#[tokio::test]
async fn a_token_that_names_nobody_is_refused() {
    let setup = Setup::new().await;
    let token = setup.token("alice").await;
    let nobody = setup.forged(&token, json!({"sub": null}), json!({})).await;
    let got = setup.get("/v1/tasks", &nobody).await.expect(401);
    assert_eq!(setup.failed(&got).await, "sub");
}

/// Seed 2 behind the gateway: tokens of plain login, signed with a shared secret.
#[tokio::test]
async fn g17_g20_tokens_of_a_login_open_an_api() {
    const SECRET: &[u8] = b"test-secret-of-login-tokens-0123456789-abcdef";
    let mapper = |kind: &str, more: Value| {
        let mut config = json!({"access.token.claim": "true", "introspection.token.claim": "true"});
        merge(&mut config, &more);
        json!({"name": kind, "protocol": "openid-connect", "protocolMapper": kind, "config": config})
    };
    let realm = json!({
        "realm": "shop", "enabled": true, "roles": {"realm": [{"name": "buyer"}]},
        "clients": [{"clientId": "app", "publicClient": true, "defaultClientScopes": [], "optionalClientScopes": [],
            "attributes": {"grantor.login": "body", "access.token.signed.response.alg": "HS256"},
            "protocolMappers": [mapper("oidc-sub-mapper", json!({})),
                mapper("oidc-usermodel-realm-role-mapper", json!({"claim.name": "roles", "jsonType.label": "String", "multivalued": "true"})),
                mapper("oidc-audience-mapper", json!({"included.client.audience": "app"}))]}],
        "users": [{"username": "bob", "enabled": true, "email": "b@example.test", "firstName": "B", "lastName": "B", "realmRoles": ["buyer"],
            "credentials": [{"type": "password", "value": "Passw0rd!"}]}],
        "components": {"org.keycloak.keys.KeyProvider": [{"name": "login", "providerId": "hmac-generated",
            "config": {"priority": ["200"], "algorithm": ["HS256"], "kid": ["login-1"], "secret": [URL_SAFE_NO_PAD.encode(SECRET)]}}]},
    });
    let world = World::with(&realm.to_string()).await;
    let upstream = Upstream::start().await;
    let api = ApiDocument {
        name: "shop".to_owned(),
        realm: Some("shop".to_owned()),
        audience: Some("app".to_owned()),
        upstreams: vec![upstream.url()],
        rules: vec![
            RuleDocument { roles: vec!["buyer".to_owned()], ..rule("GET", "/cart") },
            RuleDocument { roles: vec!["admin".to_owned()], ..rule("GET", "/admin") },
        ],
        ..ApiDocument::default()
    };
    let gate = Gate::open(&world, &[api]).await;
    let body = r#"{"username":"bob","password":"Passw0rd!"}"#;
    let request = crate::support::request(
        http::Method::POST,
        "/realms/shop/login",
        &[("content-type", "application/json")],
        body,
    );
    let token = world.send(request).await.expect(200).text("access_token");
    world.refresh().await;
    let seen = gate.get(HOST, "/cart", &token).await.expect(200).json();
    assert_eq!(seen["headers"]["x-auth-subject"], json!([claims(&token)["sub"]]));
    assert_eq!(seen["headers"]["x-auth-roles"], json!(["buyer"]));
    gate.get(HOST, "/admin", &token).await.expect(403);
    let count = upstream.count();
    let signed = |algorithm: Algorithm, secret: &[u8]| {
        let key = SigningKey::hmac("login-1".to_owned(), algorithm, secret).unwrap();
        resigned(&token, &json!({"alg": algorithm.name(), "typ": "JWT", "kid": "login-1"}), &key)
    };
    let rsa = world.realm("shop").await.keys.published(world.now()).find_map(|key| key.n.clone()).unwrap_or_default();
    for (what, token) in [
        ("another secret", signed(Algorithm::HS256, b"another-secret-of-login-tokens-0123456789-abc")),
        ("HS384 with the right secret", signed(Algorithm::HS384, &[SECRET, b"000"].concat())),
        ("HS512 with the right secret", signed(Algorithm::HS512, &SECRET.repeat(2))),
        ("a public number as secret", signed(Algorithm::HS256, format!("{rsa:0<32}").as_bytes())),
    ] {
        assert_eq!(gate.get(HOST, "/cart", &token).await.status, 401, "{what}");
    }
    assert_eq!(upstream.count(), count);
}

/// Another issuer: its JWTs by its key set, its opaque tokens by asking it.
#[tokio::test]
async fn tokens_of_another_issuer_count_where_an_api_says_so() {
    use crate::support::partner::{Does, KeyServer};
    let partner = Partner::trusted();
    let keys = KeyServer::start(Does::Publish(partner.key_set())).await;
    let active = json!({"active": true, "client_id": "theirs", "sub": "u1", "aud": "orders", "scope": "orders:read"});
    let asked = KeyServer::start(Does::Publish(active)).await;
    let secret = std::env::temp_dir().join(format!("grantor-secret-{}", std::process::id()));
    std::fs::write(&secret, "test-secret\n").unwrap();
    let world = World::with_neighbours(KAIZTEN).await;
    let upstream = Upstream::start().await;
    let issuer = grantor_model::api::IssuerDocument {
        issuer: "https://other.example".to_owned(),
        jwks_url: Some(keys.url()),
        algorithms: Vec::new(),
        introspection: Some(grantor_model::api::IntrospectionDocument {
            url: asked.url(),
            client_id: "grantor".to_owned(),
            client_secret_file: secret.to_str().unwrap().to_owned(),
        }),
    };
    let api = ApiDocument {
        name: "orders".to_owned(),
        realm: Some("kaizten".to_owned()),
        issuers: vec![issuer],
        upstreams: vec![upstream.url()],
        rules: vec![RuleDocument { scopes: vec!["orders:read".to_owned()], ..rule("GET", "/orders") }],
        ..ApiDocument::default()
    };
    let gate = Gate::open(&world, &[api]).await;
    let claims = json!({"iss": "https://other.example", "sub": "u1", "aud": ["orders"], "iat": BEGINNING, "exp": BEGINNING + 300, "scope": "orders:read", "client_id": "theirs"});
    let seen = gate.get(HOST, "/orders", &partner.assertion(&claims)).await.expect(200).json();
    assert_eq!(seen["headers"]["x-auth-issuer"], json!(["https://other.example"]));
    for (change, status) in
        [(json!({"iss": "https://evil.example"}), 401), (json!({"aud": "x"}), 401), (json!({"scope": ""}), 403)]
    {
        let mut claims = claims.clone();
        merge(&mut claims, &change);
        assert_eq!(gate.get(HOST, "/orders", &partner.assertion(&claims)).await.status, status, "{change}");
    }
    gate.get(HOST, "/orders", "opaque-token").await.expect(200);
    gate.get(HOST, "/orders", "opaque-token").await.expect(200);
    assert_eq!(asked.asked(), 1, "remembered for a while");
    asked.now_does(Does::Publish(json!({"active": false})));
    world.later(31);
    world.refresh().await;
    gate.get(HOST, "/orders", "opaque-token").await.expect(401);
    asked.now_does(Does::Close);
    gate.get(HOST, "/orders", "another-one").await.expect(503);
    let _ = std::fs::remove_file(secret);
}

/// The gateway's own signed word: for upstreams that believe a signature rather than a header.
#[tokio::test]
async fn an_upstream_gets_a_signed_identity_where_an_api_says_so() {
    use grantor_model::jose::{self, JwkSet};
    let file = std::env::temp_dir().join(format!("grantor-identity-{}.pem", std::process::id()));
    let der = jose::generate_ed25519().unwrap();
    std::fs::write(&file, crate::support::partner::pem("PRIVATE KEY", &der)).unwrap();
    let settings = [("GRANTOR_GATEWAY_IDENTITY_KEY", file.to_str().unwrap())];
    let world = World::with_settings(KAIZTEN, &settings).await;
    let setup = Setup::on(world, |api| api.identity_jwt = true).await;
    let token = setup.token("alice").await;
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("x-auth-jwt", "forged")];
    let seen = setup.gate.call("GET", HOST, "/v1/tasks", &headers).await.expect(200).json();
    let statement = seen["headers"]["x-auth-jwt"][0].as_str().unwrap();
    assert_eq!(seen["headers"]["x-auth-jwt"].as_array().unwrap().len(), 1);
    let published = setup.gate.call("GET", HOST, "/.well-known/grantor-gateway-jwks", &[]).await.expect(200);
    assert!(!published.body.contains("\"d\""), "{}", published.body);
    let keys = JwkSet::parse(published.body.as_bytes()).unwrap().verifying_keys();
    let parsed = jose::parse(statement).unwrap();
    parsed.verify(&keys[0]).unwrap();
    let (told, of) = (Value::Object(parsed.claims().unwrap()), claims(&token));
    assert_eq!(parsed.header().typ.as_deref(), Some("grantor-identity+jwt"));
    assert_eq!(
        json!([
            told["iss"],
            told["aud"],
            told["token_issuer"],
            told["sub"],
            told["username"],
            told["client_id"],
            told["exp"]
        ]),
        json!(["grantor-gateway", "tasks", of["iss"], of["sub"], "alice", of["azp"], BEGINNING + 60])
    );
    // The same for half a minute, and never past its token.
    let again = async || setup.get("/v1/tasks", &token).await.expect(200).json()["headers"]["x-auth-jwt"][0].clone();
    assert_eq!(again().await, statement);
    setup.world.later(31);
    setup.world.refresh().await;
    let later = again().await;
    assert_ne!(later, statement);
    // It is no access token.
    setup.get("/v1/tasks", statement).await.expect(401);
    let _ = std::fs::remove_file(file);
}

#[tokio::test]
async fn without_a_key_nothing_goes_to_an_api_that_wants_a_signed_identity() {
    let setup = Setup::on(World::with(KAIZTEN).await, |api| api.identity_jwt = true).await;
    let token = setup.token("alice").await;
    let count = setup.upstream.count();
    let got = setup.get("/v1/tasks", &token).await.expect(503);
    assert_eq!((setup.upstream.count(), got.json()["check"].clone()), (count, json!("identity_jwt")));
    setup.gate.call("GET", HOST, "/.well-known/grantor-gateway-jwks", &[]).await.expect(401);
}
