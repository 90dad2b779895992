//! Realms that real Keycloaks of five generations exported: everything that was true of them is true here.

use std::collections::BTreeSet;

use grantor_model::jose::{self, SigningKey};
use serde_json::{Map, Value, json};

use crate::support::{BEGINNING, Shown, World, endpoint};

/// An export, and the truth about it.
pub(crate) struct Export {
    pub(crate) version: &'static str,
    pub(crate) realm: &'static str,
    pub(crate) partial: &'static str,
    truth: &'static str,
    tokens: &'static str,
}

macro_rules! export {
    ($version:literal) => {
        Export {
            version: $version,
            realm: include_str!(concat!("../exports/", $version, "/acme-realm.json")),
            partial: include_str!(concat!("../exports/", $version, "/acme-partial-export.json")),
            truth: include_str!(concat!("../exports/", $version, "/truth.json")),
            tokens: include_str!(concat!("../exports/", $version, "/tokens.json")),
        }
    };
}

pub(crate) const EXPORTS: [Export; 5] =
    [export!("16.1.1"), export!("18.0.2"), export!("21.1.2"), export!("24.0.5"), export!("26.7.0")];

impl Export {
    pub(crate) fn truth(&self) -> Value {
        serde_json::from_str(self.truth).unwrap()
    }

    pub(crate) fn tokens(&self) -> Value {
        serde_json::from_str(self.tokens).unwrap()
    }

    /// Whether a user without an address may log in: the user profile requires one since 24.
    fn asks_for_email(&self) -> bool {
        ["24.0.5", "26.7.0"].contains(&self.version)
    }
}

/// A world with the export on each database that is there.
pub(crate) async fn on_sqlite(export: &Export) -> World {
    World::with(export.realm).await
}

/// A code of a one-time credential, by the algorithms of the RFCs alone.
fn code(otp: &Value, moving: i64) -> String {
    use aws_lc_rs::hmac;
    let digits = u32::try_from(otp["digits"].as_i64().unwrap()).unwrap();
    let algorithm = match otp["algorithm"].as_str().unwrap() {
        "HmacSHA256" => hmac::HMAC_SHA256,
        "HmacSHA512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
    };
    let key = otp["key_hex"].as_str().unwrap();
    let key: Vec<u8> = (0..key.len() / 2).map(|at| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).unwrap()).collect();
    let tag = hmac::sign(&hmac::Key::new(algorithm, &key), &moving.to_be_bytes());
    let offset = usize::from(tag.as_ref().last().unwrap() & 15);
    let word = u32::from_be_bytes(tag.as_ref()[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:0width$}", word % 10_u32.pow(digits), width = digits as usize)
}

/// What counts now: the step of the time, or the next counter.
fn moving(otp: &Value, now: i64) -> i64 {
    match otp["type"].as_str() {
        Some("hotp") => otp["counter"].as_i64().unwrap(),
        _ => now / otp["period"].as_i64().unwrap(),
    }
}

async fn login(world: &World, truth: &Value, username: &str, password: &str, totp: Option<&str>) -> Shown {
    let secret = truth["clients"]["registry-web"]["secret"].as_str().unwrap();
    let mut form = vec![
        ("grant_type", "password"),
        ("client_id", "registry-web"),
        ("client_secret", secret),
        ("scope", "openid"),
        ("username", username),
        ("password", password),
    ];
    form.extend(totp.map(|code| ("totp", code)));
    world.token("acme", &form).await
}

/// Lists as sets: their order says nothing.
fn unordered(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(unordered).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), unordered(value))).collect(),
        other => other.clone(),
    }
}

/// Each password logs in and no other does; what the token says is what it said.
async fn users(world: &World, export: &Export) {
    let truth = export.truth();
    for (name, user) in truth["users"].as_object().unwrap() {
        let username = user["username"].as_str().unwrap();
        let Some(password) = user["password"].as_str() else {
            login(world, &truth, username, "x", None).await.refused(400, "invalid_grant");
            continue;
        };
        let otp = user["otp"].as_object().map(|_| user["otp"].clone());
        let right = || otp.as_ref().map(|otp| code(otp, moving(otp, world.now().seconds())));
        let about = format!("{} {name}", export.version);
        if let Some(answer) = user["source_answer"].as_array() {
            let status = u16::try_from(answer[0].as_u64().unwrap()).unwrap();
            let got = login(world, &truth, username, password, right().as_deref()).await;
            // Up to 24, a wrong password was answered by 401; all else about these users is the same in 26.7.
            let status =
                if answer[2] == "Invalid user credentials" || answer[2] == "Account disabled" { 400 } else { status };
            assert_eq!(got.status, status, "{about}: {}", got.body);
            assert_eq!(got.json()["error_description"], answer[2], "{about}");
            continue;
        }
        login(world, &truth, username, &format!("{password}x"), right().as_deref()).await.refused(400, "invalid_grant");
        // Whoever fails twice within a second is locked for a minute in this realm.
        world.later(2);
        if name == "no.email" && export.asks_for_email() {
            let got = login(world, &truth, username, password, None).await;
            assert_eq!(got.json()["error_description"], "Account is not fully set up", "{about}");
            continue;
        }
        if let Some(otp) = &otp {
            login(world, &truth, username, password, None).await.refused(400, "invalid_grant");
            world.later(2);
            let far = code(otp, moving(otp, world.now().seconds()) + 50);
            login(world, &truth, username, password, Some(&far)).await.refused(400, "invalid_grant");
            world.later(2);
        }
        let used = right();
        let got = login(world, &truth, username, password, used.as_deref()).await;
        assert_eq!(got.status, 200, "{about}: {}", got.body);
        if otp.is_some() {
            // A code is good once.
            login(world, &truth, username, password, used.as_deref()).await.refused(400, "invalid_grant");
        }
        let claims = claims(&got.text("access_token"));
        for (claim, wanted) in user["token_truth"].as_object().unwrap() {
            assert_eq!(unordered(&claims[claim.as_str()]), unordered(wanted), "{about}: {claim}");
        }
        assert_eq!(claims["iss"], truth["issuer"], "{about}");
    }
}

fn claims(token: &str) -> Value {
    Value::Object(jose::parse(token).unwrap().claims().unwrap())
}

/// Each client shows who it is by its old secret or key.
async fn clients(world: &World, export: &Export) {
    let truth = export.truth();
    let issuer = truth["issuer"].as_str().unwrap();
    for (id, client) in truth["clients"].as_object().unwrap() {
        if id == "disabled-client" || id == "saml-legacy" {
            continue;
        }
        let mut form = vec![("token", "none".to_owned()), ("client_id", id.clone())];
        let key = match (client["authenticator"].as_str().unwrap_or("client-secret"), client["secret"].as_str()) {
            ("client-secret-jwt", Some(secret)) => {
                Some(SigningKey::hmac("x".to_owned(), jose::Algorithm::HS256, secret.as_bytes()).unwrap())
            }
            ("client-jwt", _) => {
                let pem = client["private_key_pem"].as_str().unwrap();
                Some(SigningKey::pkcs8(&jose::pem_or_base64_der(pem).unwrap()).unwrap())
            }
            ("client-secret", Some(secret)) => {
                form.push(("client_secret", secret.to_owned()));
                None
            }
            _ => continue,
        };
        if let Some(key) = key {
            let header = json!({"alg": key.algorithm().name(), "kid": key.kid()});
            let header = if key.public_jwk().is_some() { json!({"alg": header["alg"]}) } else { header };
            let assertion = json!({"iss": id, "sub": id, "aud": issuer, "jti": format!("{id}-1"), "iat": BEGINNING, "exp": BEGINNING + 60});
            let signed = jose::sign_compact(&header.to_string(), assertion.to_string().as_bytes(), &key).unwrap();
            form.push(("client_assertion", signed));
            form.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()));
        }
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let got = world.post(&endpoint("acme", "token/introspect"), &form).await;
        assert_eq!((got.status, got.body.as_str()), (200, "{\"active\":false}"), "{} {id}", export.version);
    }
    let disabled = truth["clients"]["disabled-client"]["secret"].as_str().unwrap();
    let form = [("grant_type", "client_credentials"), ("client_id", "disabled-client"), ("client_secret", disabled)];
    world.token("acme", &form).await.refused(401, "invalid_client");
}

/// The same keys under the same names; every token's signature holds.
async fn keys(world: &World, export: &Export) {
    let tokens = export.tokens();
    let published = world.get(&endpoint("acme", "certs")).await.expect(200).json();
    let by_kid = |keys: &Value| -> Map<String, Value> {
        let keys = keys["keys"].as_array().unwrap().iter();
        keys.map(|key| (key["kid"].as_str().unwrap().to_owned(), key.clone())).collect()
    };
    let (ours, theirs) = (by_kid(&published), by_kid(&tokens["jwks"]));
    let kids = |keys: &Map<String, Value>| keys.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(kids(&ours), kids(&theirs), "{}", export.version);
    for (kid, key) in &theirs {
        for member in ["kty", "alg", "use", "n", "e", "crv", "x", "y"] {
            assert_eq!(ours[kid][member], key[member], "{} {kid} {member}", export.version);
        }
    }
    let realm = world.realm("acme").await;
    for token in tokens["tokens"].as_array().unwrap() {
        let known = grantor_flows::verify::signed_by(&realm, token["token"].as_str().unwrap(), world.now());
        let known = known.unwrap_or_else(|| panic!("{} {}: not signed by the realm", export.version, token["name"]));
        assert_eq!(Value::Object(known.claims), token["claims"], "{} {}", export.version, token["name"]);
    }
}

/// No session comes along: tokens of users are refused where sessions count, service accounts' tokens go on.
async fn old_tokens(world: &World, export: &Export) {
    for token in export.tokens()["tokens"].as_array().unwrap() {
        let (name, text) = (token["name"].as_str().unwrap(), token["token"].as_str().unwrap());
        match token["kind"].as_str().unwrap() {
            "access" => {
                let authorization = format!("Bearer {text}");
                let headers = [("authorization", authorization.as_str())];
                let got = world.get_with(&endpoint("acme", "userinfo"), &headers).await;
                assert!([401, 403].contains(&got.status), "{} {name}: {} {}", export.version, got.status, got.body);
            }
            "refresh" | "offline" => {
                let truth = export.truth();
                let client = token["client"].as_str().unwrap();
                let secret = truth["clients"][client]["secret"].as_str().unwrap_or_default();
                let form = [
                    ("grant_type", "refresh_token"),
                    ("client_id", client),
                    ("client_secret", secret),
                    ("refresh_token", text),
                ];
                let got = world.token("acme", &form).await;
                assert_eq!(got.status, 400, "{} {name}: {}", export.version, got.body);
            }
            _ => {}
        }
    }
}

async fn all(world: World, export: &Export) {
    keys(&world, export).await;
    clients(&world, export).await;
    users(&world, export).await;
    old_tokens(&world, export).await;
}

macro_rules! moved {
    ($($name:ident, $postgres:ident, $at:literal;)*) => {$(
        #[tokio::test]
        async fn $name() {
            all(on_sqlite(&EXPORTS[$at]).await, &EXPORTS[$at]).await;
        }

        #[tokio::test]
        #[cfg_attr(not(grantor_postgres), ignore = "needs PostgreSQL's programs (Debian: postgresql)")]
        async fn $postgres() {
            all(World::on_postgres(EXPORTS[$at].realm).await, &EXPORTS[$at]).await;
        }
    )*};
}

moved! {
    from_16, from_16_on_postgresql, 0;
    from_18, from_18_on_postgresql, 1;
    from_21, from_21_on_postgresql, 2;
    from_24, from_24_on_postgresql, 3;
    from_26, from_26_on_postgresql, 4;
}

/// Of two logins with one code of a counter, one is let in.
#[tokio::test]
async fn a_code_by_counter_is_good_once_also_in_a_race() {
    let export = &EXPORTS[4];
    let world = on_sqlite(export).await;
    let truth = export.truth();
    let otp = &truth["users"]["otp.hotp"]["otp"];
    let ask = async |at: i64| {
        world.later(2);
        login(&world, &truth, "otp.hotp", "Otp-Hotp-1", Some(&code(otp, at))).await.status
    };
    let next = otp["counter"].as_i64().unwrap();
    let (a, b, c) = tokio::join!(ask(next), ask(next), ask(next));
    assert_eq!([a, b, c].iter().filter(|status| **status == 200).count(), 1);
    // The realm looks three ahead: what was skipped is gone.
    world.later(120);
    assert_eq!(ask(next + 5).await, 400);
    assert_eq!(ask(next + 4).await, 200);
    assert_eq!([ask(next + 3).await, ask(next + 4).await], [400, 400]);
    assert_eq!(ask(next + 5).await, 200);
}

/// The console's partial export has no secrets: a mask is never one.
#[tokio::test]
async fn a_partial_export_comes_in_and_no_mask_is_a_secret() {
    for export in &EXPORTS {
        let world = World::with(export.partial).await;
        let truth = export.truth();
        for id in truth["clients"].as_object().unwrap().keys() {
            let form = [("token", "x"), ("client_id", id.as_str()), ("client_secret", "**********")];
            let got = world.post(&endpoint("acme", "token/introspect"), &form).await;
            assert!([400, 401, 403].contains(&got.status), "{} {id}: {} {}", export.version, got.status, got.body);
        }
        let published = world.get(&endpoint("acme", "certs")).await.expect(200).json();
        assert!(!published["keys"].as_array().unwrap().is_empty(), "{}", export.version);
        let row = world.app.engine.store.realm("acme").await.unwrap().unwrap();
        assert!(!row.document.contains("**********"), "{}", export.version);
    }
}
