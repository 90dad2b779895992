//! The JWT bearer grant at a realm's token endpoint: who may speak, of whom, how often, and why not.

use std::sync::Arc;

use grantor_model::decision::Outcome;
use grantor_model::identity_provider::setting as s;
use grantor_model::jose::{self, Algorithm, SigningKey};
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::partner::{Partner, changed};
use crate::support::{LAB, Shown, World, basic, endpoint};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ISSUER: &str = "https://partner.example";

/// The lab with a client that may exchange assertions, and users linked to the partner's subjects.
fn lab() -> String {
    let mut realm: Value = serde_json::from_str(LAB).unwrap();
    realm["clients"].as_array_mut().unwrap().extend([
        json!({"clientId": "orders", "protocol": "openid-connect", "publicClient": false, "secret": "test-secret-orders",
            "standardFlowEnabled": false, "directAccessGrantsEnabled": false, "serviceAccountsEnabled": true,
            "attributes": {"oauth2.jwt.authorization.grant.enabled": "true", "oauth2.jwt.authorization.grant.idp": "partner##second"},
            "protocolMappers": [
                {"name": "dept", "protocol": "openid-connect", "protocolMapper": "oidc-usermodel-attribute-mapper",
                 "config": {"user.attribute": "department", "claim.name": "department", "jsonType.label": "String", "access.token.claim": "true"}},
                {"name": "own", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
                 "config": {"included.client.audience": "orders", "access.token.claim": "true"}}]}),
        json!({"clientId": "orders-pub", "protocol": "openid-connect", "publicClient": true,
            "attributes": {"oauth2.jwt.authorization.grant.enabled": "true", "oauth2.jwt.authorization.grant.idp": "partner"}}),
    ]);
    realm["roles"] = json!({"realm": [{"name": "clerk"}, {"name": "boss"}]});
    realm.to_string()
}

fn claims(world: &World) -> Value {
    let now = world.now().seconds();
    json!({"iss": ISSUER, "sub": "u1", "aud": "http://localhost/realms/lab", "iat": now, "exp": now + 120, "jti": "one"})
}

async fn world(settings: &[(&str, &str)]) -> World {
    let world = World::with(&lab()).await;
    trust(&world, settings).await;
    world
}

async fn trust(world: &World, settings: &[(&str, &str)]) {
    let certificate = Partner::trusted().valid_certificate();
    let mut all = vec![(s::ISSUER, ISSUER), (s::CERTIFICATES, certificate.as_str())];
    all.extend_from_slice(settings);
    world.trust("lab", "partner", &all).await;
}

async fn exchange(world: &World, assertion: &str) -> Shown {
    let form = [("grant_type", GRANT), ("assertion", assertion)];
    world
        .post_with(&endpoint("lab", "token"), &[("authorization", &basic("orders", "test-secret-orders"))], &form)
        .await
}

/// Refused with that text, and the decision's last check is that one.
async fn refused(world: &World, assertion: &str, check: &str, text: &str) {
    let shown = exchange(world, assertion).await.refused(400, "invalid_grant");
    assert_eq!(shown.text("error_description"), text);
    let decision = world.decision(&shown).await;
    let last = decision.checks.last().unwrap();
    assert_eq!((last.check.as_ref(), last.outcome), (check, Outcome::Failed), "{:?}", decision.checks);
    assert!(last.expected.is_some() && last.actual.is_some());
    assert!(!serde_json::to_string(&decision).unwrap().contains(assertion), "no assertion is kept");
    assert!(!shown.body.contains(assertion), "nor sent back");
}

#[tokio::test]
async fn a_subject_of_the_partner_is_nobody_here() {
    let world = world(&[(s::CLAIMS, "dept=department"), (s::ROLES, "worker=clerk")]).await;
    let said = json!({"dept": "sales", "roles": ["worker", "boss", "admin"], "groups": ["/staff"]});
    let shown = exchange(&world, &Partner::trusted().assertion(&changed(&claims(&world), said))).await.expect(200);
    assert_json_snapshot!("federated", shown.whole());
    let token = shown.text("access_token");
    let client = [("authorization", basic("orders", "test-secret-orders"))];
    let client: Vec<(&str, &str)> = client.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let path = endpoint("lab", "token/introspect");
    let active = world.post_with(&path, &client, &[("token", &token)]).await.expect(200);
    assert_json_snapshot!("federated_introspected", active.whole());
    let realm = world.realm("lab").await;
    let off = |document: &mut grantor_model::realm::IdentityProviderDocument| {
        document.enabled = false;
        Ok(())
    };
    world.app.engine.change_identity_provider(&realm, "partner", world.now(), off).await.unwrap();
    let dead = world.post_with(&path, &client, &[("token", &token)]).await.expect(200);
    assert_eq!(dead.json(), json!({"active": false}), "a provider that is off speaks for nobody");
}

/// An ID token of a partner's user is nobody's here, and never the client's own account.
#[tokio::test]
async fn an_id_token_is_not_the_service_account() {
    let world = world(&[]).await;
    let assertion = Partner::trusted().assertion(&claims(&world));
    let header = basic("orders", "test-secret-orders");
    let form = [("grant_type", GRANT), ("assertion", assertion.as_str()), ("scope", "openid")];
    let shown = world.post_with(&endpoint("lab", "token"), &[("authorization", &header)], &form).await.expect(200);
    let token = shown.text("id_token");
    let path = endpoint("lab", "token/introspect");
    let active = world.post_with(&path, &[("authorization", &header)], &[("token", &token)]).await.expect(200);
    assert_eq!(active.json(), json!({"active": false}));
}

#[tokio::test]
async fn a_partner_cannot_speak_as_a_user_of_ours() {
    let world = world(&[]).await;
    let ada = changed(&claims(&world), json!({"sub": "00000000-0000-4000-8000-000000000011"}));
    refused(&world, &Partner::trusted().assertion(&ada), "subject", "User not found").await;
}

#[tokio::test]
async fn a_linked_subject_is_the_user() {
    let world = world(&[(s::SUBJECT, "linked-user")]).await;
    let assertion = Partner::trusted().assertion(&claims(&world));
    refused(&world, &assertion, "subject", "User not found").await;
    let realm = world.realm("lab").await;
    world.app.engine.link_user(&realm, "partner", "u1", "ada").await.unwrap();
    assert!(world.app.engine.link_user(&realm, "partner", "u1", "otto").await.is_err(), "one subject, one user");
    // What was refused is not used up.
    let shown = exchange(&world, &assertion).await.expect(200);
    let token = shown.claims("access_token");
    assert_eq!(token["sub"], "00000000-0000-4000-8000-000000000011");
    assert_eq!(token.get("identity_provider"), None);
    assert_eq!(shown.json().get("refresh_token"), None);
    world.app.engine.enable_user(&realm, "ada", false, world.now()).await.unwrap();
    let again = Partner::trusted().assertion(&changed(&claims(&world), json!({"jti": "two"})));
    refused(&world, &again, "subject", "User is not enabled").await;
}

#[tokio::test]
async fn a_user_is_made_when_the_subject_comes_for_the_first_time() {
    let world = world(&[(s::SUBJECT, "just-in-time"), (s::CLAIMS, "mail=email##dept=department")]).await;
    let said = json!({"mail": "U1@Partner.example", "dept": "sales"});
    let first = exchange(&world, &Partner::trusted().assertion(&changed(&claims(&world), said))).await.expect(200);
    let token = first.claims("access_token");
    assert_eq!((&token["preferred_username"], &token["department"]), (&json!("partner.u1"), &json!("sales")));
    let second = Partner::trusted().assertion(&changed(&claims(&world), json!({"jti": "two"})));
    assert_eq!(exchange(&world, &second).await.expect(200).claims("access_token")["sub"], token["sub"]);
    let upper = Partner::trusted().assertion(&changed(&claims(&world), json!({"sub": "U1", "jti": "three"})));
    assert_ne!(
        exchange(&world, &upper).await.expect(200).claims("access_token")["sub"],
        token["sub"],
        "another subject"
    );
    let user = world.app.engine.store.user_by_name(&world.realm("lab").await.id, "partner.u1").await.unwrap().unwrap();
    assert_eq!(user.email.as_deref(), Some("u1@partner.example"));
    // An address of somebody else is not the partner's to give.
    let said = json!({"sub": "u9", "jti": "four", "mail": "ada@example.test"});
    exchange(&world, &Partner::trusted().assertion(&changed(&claims(&world), said))).await.expect(200);
    let user = world.app.engine.store.user_by_name(&world.realm("lab").await.id, "partner.u9").await.unwrap().unwrap();
    assert_eq!(user.email, None);
}

/// Every fault, with what the caller is told and which check the decision names.
#[tokio::test]
async fn each_fault_has_its_reason() {
    let world = world(&[(s::AUDIENCES, "my-as")]).await;
    let partner = Partner::trusted();
    let now = world.now().seconds();
    let with = |changes: Value| partner.assertion(&changed(&claims(&world), changes));
    let not_a_jwt = "The provided assertion is not a valid JWT";
    let too_long = "Token expiration is too far in the future and iat claim not present in token";
    for (assertion, check, text) in [
        ("abc".to_owned(), "form", not_a_jwt),
        (with(json!({})) + ".a", "form", not_a_jwt),
        (with(json!({})) + " " + &with(json!({})), "form", not_a_jwt),
        (format!("[\"{}\"]", with(json!({}))), "form", not_a_jwt),
        (with(json!({"iat": now.to_string()})), "iat", not_a_jwt),
        (with(json!({"exp": (now + 60).to_string()})), "exp", not_a_jwt),
        (with(json!({"nbf": true})), "nbf", not_a_jwt),
        (with(json!({"aud": {"a": "b"}})), "aud", not_a_jwt),
        (with(json!({"sub": "a\u{0}b"})), "sub", not_a_jwt),
        (with(json!({"jti": 7})), "jti", not_a_jwt),
        (with(json!({"sub": "x".repeat(256)})), "sub", not_a_jwt),
        (with(json!({"iss": null})), "iss", "Missing claim: iss"),
        (with(json!({"iss": ""})), "iss", "Missing claim: iss"),
        (with(json!({"iss": 7})), "iss", "Missing claim: iss"),
        (with(json!({"sub": null})), "sub", "Missing claim: sub"),
        (with(json!({"exp": null})), "exp", "Token exp claim is required"),
        (with(json!({"aud": null})), "aud", "Invalid token audience"),
        (with(json!({"aud": []})), "aud", "Invalid token audience"),
        (with(json!({"iss": "https://partner.example/"})), "iss", "No Identity Provider for provided issuer"),
        (with(json!({"iss": "https://PARTNER.example"})), "iss", "No Identity Provider for provided issuer"),
        (with(json!({"iss": "partner"})), "iss", "No Identity Provider for provided issuer"),
        (with(json!({"aud": "https://other.example"})), "aud", "Invalid token audience"),
        (with(json!({"aud": "http://localhost/realms/lab/"})), "aud", "Invalid token audience"),
        (with(json!({"aud": "http://localhost/realms/other"})), "aud", "Invalid token audience"),
        (with(json!({"exp": now - 30})), "exp", "Token is not active"),
        (with(json!({"nbf": now + 31})), "nbf", "Token is not active"),
        (with(json!({"iat": now + 31})), "iat", "Token was issued in the future"),
        (with(json!({"iat": now - 1831})), "age", "Token was issued too far in the past to be used now"),
        (with(json!({"exp": now + 3631})), "lifetime", too_long),
        (Partner::stranger().assertion(&claims(&world)), "signature", "Invalid signature"),
        (partner.under(Algorithm::PS256).assertion(&claims(&world)), "alg", "Invalid signature algorithm"),
    ] {
        refused(&world, &assertion, check, text).await;
    }
    // At the edge of what is allowed, each is taken.
    for (number, changes) in [
        json!({"exp": now - 29}),
        json!({"nbf": now + 30}),
        json!({"iat": now + 30}),
        json!({"iat": now - 1830}),
        json!({"iat": (now as f64) - 0.5}),
        json!({"exp": now + 3630}),
        json!({"iat": null}),
        json!({"aud": ["https://other.example", "my-as"]}),
        json!({"aud": "http://localhost/realms/lab/protocol/openid-connect/token"}),
        json!({"aud": "http://localhost/t/lab/oauth2/token"}),
    ]
    .into_iter()
    .enumerate()
    {
        let assertion = with(changed(&changes, json!({"jti": format!("edge {number}")})));
        exchange(&world, &assertion).await.expect(200);
    }
    for algorithm in [Algorithm::RS384, Algorithm::RS512] {
        let claims = changed(&claims(&world), json!({"jti": algorithm.name()}));
        exchange(&world, &partner.under(algorithm).assertion(&claims)).await.expect(200);
    }
}

/// Headers that try to choose the key or the algorithm (RFC 8725 sections 2.1 and 3.10).
#[tokio::test]
async fn a_header_never_brings_its_own_key() {
    let world = world(&[]).await;
    let (partner, stranger) = (Partner::trusted(), Partner::stranger());
    let claims = claims(&world).to_string();
    let jwk = serde_json::to_value(stranger.key.public_jwk().unwrap()).unwrap();
    for header in [
        json!({"alg": "RS256", "jwk": jwk}),
        json!({"alg": "RS256", "jku": "https://evil.example/jwks"}),
        json!({"alg": "RS256", "x5u": "https://evil.example/cert"}),
        json!({"alg": "RS256", "x5c": [stranger.valid_certificate()]}),
        json!({"alg": "RS256", "kid": "../../../../dev/null"}),
    ] {
        refused(&world, &stranger.sign(&header, &claims), "signature", "Invalid signature").await;
        let used = changed(&serde_json::from_str(&claims).unwrap(), json!({"jti": header.to_string()}));
        exchange(&world, &partner.sign(&header, &used.to_string())).await.expect(200);
    }
    // The public key as a shared secret, in the forms that an attacker can guess.
    let spki = partner.key.spki_der().unwrap().to_vec();
    for secret in [spki, partner.public_key().into_bytes(), partner.valid_certificate().into_bytes()] {
        let forger = SigningKey::hmac("partner-1".to_owned(), Algorithm::HS256, &secret).unwrap();
        let forged = jose::sign_compact(r#"{"alg":"HS256"}"#, claims.as_bytes(), &forger).unwrap();
        refused(&world, &forged, "alg", "Invalid signature algorithm").await;
    }
    for alg in ["none", "None", "nOnE", "NONE", ""] {
        let part = |text: &str| jose::b64url_encode(text.as_bytes());
        let unsigned = format!("{}.{}.", part(&json!({"alg": alg}).to_string()), part(&claims));
        refused(&world, &unsigned, "alg", "Invalid signature algorithm").await;
    }
    let text = "The provided assertion is not a valid JWT";
    refused(&world, &partner.sign(&json!({"alg": "RS256", "crit": ["exp"]}), &claims), "form", text).await;
    refused(&world, &partner.sign(&json!({"alg": "RS256", "b64": false}), &claims), "form", text).await;
    refused(&world, &partner.sign(&json!({"alg": "RS256"}), r#"{"iss":"a","iss":"b"}"#), "form", text).await;
    refused(&world, &partner.sign(&json!({"alg": "RS256"}), r#"{"iss":"a" "sub":"b"}"#), "form", text).await;
}

#[tokio::test]
async fn who_may_ask_is_the_clients_setting() {
    let world = world(&[]).await;
    let assertion = Partner::trusted().assertion(&claims(&world));
    let ask = async |client: &str, secret: Option<&str>| {
        let mut form = vec![("grant_type", GRANT), ("assertion", assertion.as_str()), ("client_id", client)];
        form.extend(secret.map(|secret| ("client_secret", secret)));
        world.token("lab", &form).await.refused(400, "invalid_grant").text("error_description")
    };
    assert_eq!(ask("orders-pub", None).await, "Public client not allowed to use authorization grant");
    let text = "JWT Authorization Grant is not supported for the requested client";
    assert_eq!(ask("app", Some("test-secret-app")).await, text);
    let certificate = Partner::stranger().valid_certificate();
    world.trust("lab", "third", &[(s::ISSUER, "https://third.example"), (s::CERTIFICATES, &certificate)]).await;
    let third = Partner::stranger().assertion(&changed(&claims(&world), json!({"iss": "https://third.example"})));
    refused(&world, &third, "client may use it", "Identity Provider is not allowed for the client").await;
    // A provider's key is good for its own issuer only.
    let borrowed = Partner::stranger().assertion(&claims(&world));
    refused(&world, &borrowed, "signature", "Invalid signature").await;
    let realm = world.realm("lab").await;
    world.app.engine.remove_identity_provider(&realm, "partner", world.now()).await.unwrap();
    refused(&world, &assertion, "iss", "No Identity Provider for provided issuer").await;
}

#[tokio::test]
async fn certificates_have_dates_and_there_may_be_several() {
    let world = World::with(&lab()).await;
    let (partner, stranger) = (Partner::trusted(), Partner::stranger());
    let now = world.now().seconds();
    let both = partner.certificate(now - 86_400, 2) + &stranger.valid_certificate();
    trust(&world, &[(s::CERTIFICATES, &both)]).await;
    let with = |partner: &Partner, jti: &str| partner.assertion(&changed(&claims(&world), json!({"jti": jti})));
    exchange(&world, &with(partner, "1")).await.expect(200);
    exchange(&world, &with(stranger, "2")).await.expect(200);
    world.later(86_401);
    refused(&world, &with(partner, "3"), "certificate", "Invalid signature").await;
    exchange(&world, &with(stranger, "4")).await.expect(200);
}

#[tokio::test]
async fn what_cannot_be_trusted_is_refused_when_it_is_saved() {
    let world = World::with(&lab()).await;
    let partner = Partner::trusted();
    let now = world.now().seconds();
    let expired = partner.certificate(now - 10 * 86_400, 5);
    let weak = include_str!("support/weak.pem");
    let private = crate::support::partner::pem("PRIVATE KEY", &jose::generate_ec(Algorithm::ES256).unwrap());
    for (settings, problem) in [
        ([(s::CERTIFICATES, expired.as_str()), (s::ISSUER, "a")], "has expired"),
        ([(s::CERTIFICATES, weak), (s::ISSUER, "a")], "at least 2048 bits"),
        ([(s::CERTIFICATES, private.as_str()), (s::ISSUER, "a")], "private key"),
        ([(s::CERTIFICATES, "garbage"), (s::ISSUER, "a")], "cannot be used"),
        ([(s::URL, "http://127.0.0.1/keys"), (s::USES_URL, "true")], "not a public https:// address"),
        ([(s::URL, "https://169.254.169.254/keys"), (s::USES_URL, "true")], "not a public https:// address"),
        ([(s::URL, "https://localhost/keys"), (s::USES_URL, "true")], "not a public https:// address"),
        ([(s::URL, "http://1.1.1.1/keys"), (s::USES_URL, "true")], "not a public https:// address"),
        ([(s::URL, "file:///etc/passwd"), (s::USES_URL, "true")], "begins with https://"),
    ] {
        let told = world.try_to_trust("lab", "partner", &settings).await.unwrap_err();
        assert!(told.contains(problem), "{told}");
    }
    trust(&world, &[]).await;
    let key = partner.public_key();
    let twice = world.try_to_trust("lab", "again", &[(s::ISSUER, ISSUER), (s::CERTIFICATES, &key)]).await;
    assert!(twice.unwrap_err().contains("has that issuer already"));
    let twice = world.try_to_trust("lab", "partner", &[(s::ISSUER, "b"), (s::CERTIFICATES, &key)]).await;
    assert!(twice.unwrap_err().contains("already"));
}

#[tokio::test]
async fn an_assertion_is_good_once_by_realm_issuer_and_id() {
    let world = world(&[]).await;
    let certificate = Partner::stranger().valid_certificate();
    world.trust("lab", "second", &[(s::ISSUER, "https://second.example"), (s::CERTIFICATES, &certificate)]).await;
    let assertion = Partner::trusted().assertion(&claims(&world));
    exchange(&world, &assertion).await.expect(200);
    refused(&world, &assertion, "jti", "Token reuse detected").await;
    // The same id said by another issuer is another assertion; without an id there is nothing to remember.
    let other = changed(&claims(&world), json!({"iss": "https://second.example"}));
    exchange(&world, &Partner::stranger().assertion(&other)).await.expect(200);
    let nameless = Partner::trusted().assertion(&changed(&claims(&world), json!({"jti": null})));
    exchange(&world, &nameless).await.expect(200);
    exchange(&world, &nameless).await.expect(200);
    // What is remembered goes when the assertion could not be used any more, and not before.
    world.later(149);
    world.app.engine.store.sweep(world.now(), world.now()).await.unwrap();
    refused(&world, &assertion, "jti", "Token reuse detected").await;
    world.later(2);
    world.app.engine.store.sweep(world.now(), world.now()).await.unwrap();
    refused(&world, &assertion, "exp", "Token is not active").await;
}

async fn one_of_many_is_accepted(world: World) {
    trust(&world, &[(s::SUBJECT, "just-in-time")]).await;
    let world = Arc::new(world);
    let assertion = Partner::trusted().assertion(&claims(&world));
    let mut racing = JoinSet::new();
    for _ in 0..50 {
        let (world, assertion) = (world.clone(), assertion.clone());
        racing.spawn(async move { exchange(&world, &assertion).await.status });
    }
    let statuses = racing.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 400].contains(status)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_is_accepted_on_sqlite() {
    one_of_many_is_accepted(World::with(&lab()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[cfg_attr(not(grantor_postgres), ignore = "needs PostgreSQL's programs (Debian: postgresql)")]
async fn one_of_many_is_accepted_on_postgres() {
    one_of_many_is_accepted(World::on_postgres(&lab()).await).await;
}
