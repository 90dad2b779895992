//! The management APIs of WSO2 Identity Server: identity providers, applications, registration.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grantor_model::Secret;
use http::Method;
use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::support::partner::Partner;
use crate::support::{Shown, World, basic, endpoint, request};

const PROVIDERS: &str = "/api/server/v1/identity-providers";
const APPLICATIONS: &str = "/api/server/v1/applications";
const REGISTER: &str = "/api/identity/oauth2/dcr/v1.1/register";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ALIAS: &str = "https://localhost:9443/oauth2/token";

fn realm(name: &str) -> Value {
    let user = |username: &str, roles: Value| {
        json!({"username": username, "enabled": true, "email": format!("{username}@example.test"), "firstName": "A",
            "lastName": "B", "credentials": [{"type": "password", "value": "Passw0rd!"}], "clientRoles": roles})
    };
    json!({"realm": name, "enabled": true, "roles": {"realm": [{"name": "clerk"}]},
        "users": [user("boss", json!({"realm-management": ["realm-admin"]})), user("plain", json!({})),
            user("viewer", json!({"realm-management": ["view-identity-providers"]}))]})
}

async fn world() -> World {
    let world = World::with(&realm("demo").to_string()).await;
    world.import(&realm("wso2.com").to_string()).await;
    world.app.engine.make_master(world.now()).await.unwrap();
    world.app.engine.add_administrator("root", Secret::new("correct horse"), world.now()).await.unwrap();
    world
}

fn root() -> String {
    basic("root", "correct horse")
}

async fn ask(world: &World, method: Method, path: &str, authorization: &str, body: Value) -> Shown {
    let mut headers = vec![("content-type", "application/json")];
    if !authorization.is_empty() {
        headers.push(("authorization", authorization));
    }
    let text = if body.is_null() { String::new() } else { body.to_string() };
    world.send(request(method, path, &headers, &text)).await
}

async fn post(world: &World, path: &str, body: Value) -> Shown {
    ask(world, Method::POST, path, &root(), body).await
}

async fn get(world: &World, path: &str) -> Shown {
    ask(world, Method::GET, path, &root(), Value::Null).await
}

/// A refusal in the shape of these APIs.
#[track_caller]
fn told(shown: Shown, status: u16) -> Shown {
    let shown = shown.expect(status);
    let body = shown.json();
    for member in ["code", "message", "description", "traceId"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {body}");
    }
    shown
}

fn certificate() -> String {
    STANDARD.encode(Partner::trusted().valid_certificate())
}

fn provider() -> Value {
    json!({"name": "jwtIDP", "alias": ALIAS, "description": "A partner", "isEnabled": true, "homeRealmIdentifier": "x",
        "certificate": {"certificates": [certificate()]},
        "claims": {"userIdClaim": {"uri": "sub"}, "roleClaim": {"uri": "groups"},
            "mappings": [{"idpClaim": "x-dept", "localClaim": {"uri": "http://wso2.org/claims/department"}}]},
        "roles": {"mappings": [{"idpRole": "worker", "localRole": "clerk"}]}})
}

#[tokio::test]
async fn w27_an_administrator_adds_an_identity_provider() {
    let world = world().await;
    told(ask(&world, Method::POST, PROVIDERS, "", provider()).await, 401);
    told(ask(&world, Method::POST, PROVIDERS, &basic("root", "wrong"), provider()).await, 401);
    told(ask(&world, Method::POST, PROVIDERS, &basic("plain", "Passw0rd!"), provider()).await, 403);
    told(ask(&world, Method::POST, PROVIDERS, &basic("viewer", "Passw0rd!"), provider()).await, 403);
    let made = post(&world, PROVIDERS, provider()).await.expect(201);
    let id = made.text("id");
    assert_eq!(made.header("location"), Some(format!("http://localhost{PROVIDERS}/{id}").as_str()));
    let got = ask(&world, Method::GET, &format!("{PROVIDERS}/{id}"), &basic("viewer", "Passw0rd!"), Value::Null).await;
    let got = got.expect(200).json();
    for (name, value) in provider().as_object().unwrap() {
        match name.as_str() {
            // What these claims mean here is shown, and no more.
            "claims" => assert_eq!(got[name]["mappings"], value["mappings"]),
            "certificate" => assert_eq!(got[name]["certificates"].as_array().map(Vec::len), Some(1)),
            _ => assert_eq!(&got[name], value, "{name}"),
        }
    }
    let list = get(&world, &format!("{PROVIDERS}?filter=name+eq+jwtIDP")).await.expect(200).json();
    assert_eq!((&list["totalResults"], &list["identityProviders"][0]["name"]), (&json!(1), &json!("jwtIDP")));
    assert_eq!(get(&world, &format!("{PROVIDERS}?filter=name+sw+x")).await.expect(200).json()["count"], 0);
    let patch = json!([{"operation": "REPLACE", "path": "/isEnabled", "value": false}, {"operation": "REMOVE", "path": "/description"}]);
    let patched = ask(&world, Method::PATCH, &format!("{PROVIDERS}/{id}"), &root(), patch).await.expect(200).json();
    assert_eq!((&patched["isEnabled"], patched.get("description")), (&json!(false), None));
    assert_eq!(patched["certificate"], got["certificate"], "the rest stays");
    for bad in [
        json!({}),
        json!([{"operation": "MOVE", "path": "/name"}]),
        json!([{"operation": "REPLACE", "path": "/a/b", "value": 1}]),
        json!([{"operation": "REMOVE", "path": "/name"}]),
    ] {
        told(ask(&world, Method::PATCH, &format!("{PROVIDERS}/{id}"), &root(), bad).await, 400);
    }
    ask(&world, Method::DELETE, &format!("{PROVIDERS}/{id}"), &root(), Value::Null).await.expect(204);
    told(get(&world, &format!("{PROVIDERS}/{id}")).await, 404);
    // Keys in a form that this API does not show stay where something else is changed.
    let set = Partner::trusted().key_set().to_string();
    world.trust("demo", "by-set", &[("issuer", "by-set"), ("grantor.certificates", &set)]).await;
    let realm = world.realm("demo").await;
    let id = realm.providers.iter().find(|provider| provider.alias == "by-set").unwrap().id.clone();
    let patch = json!([{"operation": "REPLACE", "path": "/description", "value": "x"}]);
    ask(&world, Method::PATCH, &format!("{PROVIDERS}/{id}"), &root(), patch).await.expect(200);
    let (_, document) = world.app.engine.stored_identity_provider(&realm, "by-set").await.unwrap();
    assert_eq!(document.setting("grantor.certificates"), Some(set.as_str()));
}

#[tokio::test]
async fn w15_w28_w29_w31_what_cannot_be_an_identity_provider() {
    let world = world().await;
    let with = |name: &str, value: Value| {
        let mut model = provider();
        model[name] = value;
        model
    };
    let weak = include_str!("support/weak.pem");
    let private = crate::support::partner::pem("PRIVATE KEY", &grantor_model::jose::generate_rsa(2048).unwrap());
    let der: String = Partner::trusted().valid_certificate().lines().filter(|line| !line.starts_with('-')).collect();
    for bad in [
        with("name", json!("")),
        with("name", json!(7)),
        with("certificate", json!({"certificates": [certificate()], "jwksUri": "https://p.example/keys"})),
        with("certificate", json!({"certificates": ["garbage"]})),
        with("certificate", json!({"certificates": [STANDARD.encode(weak)]})),
        with("certificate", json!({"certificates": [STANDARD.encode(&private)]})),
        with("certificate", json!({"certificates": [private]})),
        with("certificate", json!({"jwksUri": "http://127.0.0.1/keys"})),
        with("certificate", json!({"jwksUri": "file:///etc/passwd"})),
        with("roles", json!({"mappings": [{"idpRole": "worker", "localRole": "nosuch"}]})),
        with("claims", json!({"mappings": [{"idpClaim": "a=b", "localClaim": {"uri": "c"}}]})),
    ] {
        told(post(&world, PROVIDERS, bad).await, 400);
    }
    told(ask(&world, Method::POST, PROVIDERS, &root(), json!([])).await, 400);
    post(&world, PROVIDERS, provider()).await.expect(201);
    told(post(&world, PROVIDERS, provider()).await, 409);
    post(&world, "/t/wso2.com/api/server/v1/identity-providers", provider()).await.expect(201);
    for (number, certificate) in [
        json!({"certificates": [der]}),
        json!({"certificates": [Partner::stranger().public_key()]}),
        json!({}),
        json!({"jwksUri": "https://p.example/keys"}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut model = with("certificate", certificate);
        model["name"] = json!(format!("other {number}"));
        post(&world, PROVIDERS, model).await.expect(201);
    }
}

/// The seed's own walk: identity provider, application, assertion, token.
#[tokio::test]
async fn the_whole_seed_by_its_management_apis() {
    let world = world().await;
    post(&world, PROVIDERS, provider()).await.expect(201);
    let app = json!({"name": "playground2", "inboundProtocolConfiguration": {"oidc": {"grantTypes": [GRANT, "refresh_token"]}}});
    let made = post(&world, APPLICATIONS, app).await.expect(201);
    let (key, secret) = (made.text("clientId"), made.text("clientSecret"));
    assert_eq!(key.len(), 28);
    let now = world.now().seconds();
    let claims = json!({"iss": "jwtIDP", "sub": "u1", "aud": [ALIAS], "iat": now, "exp": now + 60, "jti": "1", "x-dept": "7", "groups": ["worker"]});
    let assertion = Partner::trusted().sign(&json!({"alg": "RS256"}), &claims.to_string());
    let form = [("grant_type", GRANT), ("assertion", assertion.as_str()), ("scope", "openid")];
    let client = [("authorization", basic(&key, &secret))];
    let client: Vec<(&str, &str)> = client.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let token = world.post_with("/oauth2/token", &client, &form).await.expect(200);
    assert_eq!(token.claims("id_token")["department"], "7");
    assert!(token.json()["refresh_token"].is_string());
    let path = "/oauth2/introspect".to_owned();
    let active = ask_form(&world, &path, &root(), &[("token", &token.text("access_token"))]).await.expect(200);
    assert_eq!((&active.json()["active"], &active.json()["client_id"]), (&json!(true), &json!(key)));
    ask_form(&world, &path, &basic("plain", "Passw0rd!"), &[("token", "x")]).await.expect(401);
}

async fn ask_form(world: &World, path: &str, authorization: &str, form: &[(&str, &str)]) -> Shown {
    world.post_with(path, &[("authorization", authorization)], form).await
}

#[tokio::test]
async fn w33_w34_w35_w38_applications() {
    let world = world().await;
    let made = post(&world, APPLICATIONS, json!({"name": "my app", "description": "d"})).await.expect(201);
    let id = made.text("id");
    told(post(&world, APPLICATIONS, json!({"name": "my app"})).await, 409);
    for bad in [json!({}), json!({"name": ""}), json!({"name": " a"}), json!({"name": "a/b"}), json!({"name": 7})] {
        told(post(&world, APPLICATIONS, bad).await, 400);
    }
    let oidc = format!("{APPLICATIONS}/{id}/inbound-protocols/oidc");
    told(get(&world, &oidc).await, 404);
    let put = async |body: Value| ask(&world, Method::PUT, &oidc, &root(), body).await;
    let settings = |grants: Value, more: Value| {
        let mut body = json!({"grantTypes": grants});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for bad in [
        settings(json!([]), json!({})),
        settings(json!(["magic"]), json!({})),
        settings(json!(["authorization_code"]), json!({})),
        settings(json!(["authorization_code"]), json!({"callbackURLs": ["javascript:alert(1)"]})),
        settings(json!(["authorization_code"]), json!({"callbackURLs": ["https://a.example/#x"]})),
        settings(json!([GRANT]), json!({"idToken": {"audience": [""]}})),
        settings(json!([GRANT]), json!({"accessToken": {"type": "Magic"}})),
        settings(json!([GRANT]), json!({"accessToken": {"userAccessTokenExpiryInSeconds": 0}})),
        settings(json!(["client_credentials"]), json!({"publicClient": true})),
        settings(json!([GRANT]), json!({"clientId": "another_client_id_0000"})),
    ] {
        told(put(bad).await, 400);
    }
    let more = json!({"idToken": {"audience": ["https://api1/", "https://api2/", "https://api1/"]},
        "accessToken": {"type": "JWT", "applicationAccessTokenExpiryInSeconds": 60}});
    let now = put(settings(json!(["client_credentials"]), more)).await.expect(200);
    let mut shown = now.json();
    assert_eq!(shown["clientId"], made.json()["clientId"]);
    let (key, secret) = (now.text("clientId"), now.text("clientSecret"));
    shown["clientId"] = json!("<id>");
    shown["clientSecret"] = json!("<secret>");
    assert_json_snapshot!("application_oidc", shown);
    let token = async |secret: &str| {
        let form = [("grant_type", "client_credentials")];
        world.post_with("/oauth2/token", &[("authorization", &basic(&key, secret))], &form).await
    };
    let good = token(&secret).await.expect(200);
    assert_eq!(good.json()["expires_in"], 60);
    assert_eq!(good.claims("access_token")["aud"], json!([key, "https://api1/", "https://api2/"]));
    // A second secret beside the first, then the first goes.
    let second = post(&world, &format!("{oidc}/secrets"), json!({})).await.expect(201);
    told(post(&world, &format!("{oidc}/secrets"), json!({})).await, 409);
    token(&secret).await.expect(200);
    token(&second.text("clientSecret")).await.expect(200);
    let list = get(&world, &format!("{oidc}/secrets")).await.expect(200).json();
    assert_eq!((&list["totalResults"], &list["secrets"][0]["id"]), (&json!(2), &second.json()["id"]));
    assert!(!list.to_string().contains(&secret), "no secret is listed");
    let new = second.text("id");
    ask(&world, Method::DELETE, &format!("{oidc}/secrets/{new}"), &root(), Value::Null).await.expect(204);
    token(&secret).await.expect(200);
    token(&second.text("clientSecret")).await.refused(401, "invalid_client");
    told(ask(&world, Method::DELETE, &format!("{oidc}/secrets/x"), &root(), Value::Null).await, 400);
    // A new one at once, then none at all, then one again.
    let third = post(&world, &format!("{oidc}/regenerate-secret"), Value::Null).await.expect(200).text("clientSecret");
    token(&secret).await.refused(401, "invalid_client");
    let alive = token(&third).await.expect(200).text("access_token");
    post(&world, &format!("{oidc}/revoke"), Value::Null).await.expect(200);
    token(&third).await.expect(401);
    assert_eq!(get(&world, &oidc).await.expect(200).json()["state"], "REVOKED");
    told(post(&world, &format!("{oidc}/secrets"), json!({})).await, 409);
    let form = [("grant_type", "client_credentials"), ("client_id", key.as_str()), ("client_secret", third.as_str())];
    world.token("demo", &form).await.refused(401, "invalid_client");
    let active = ask_form(&world, "/oauth2/introspect", &root(), &[("token", &alive)]).await.expect(200);
    assert_eq!(active.json(), json!({"active": false}), "what was given out before is dead");
    world.later(2);
    let fourth = post(&world, &format!("{oidc}/regenerate-secret"), Value::Null).await.expect(200).text("clientSecret");
    token(&fourth).await.expect(200);
    let patch = json!({"name": "renamed", "applicationEnabled": false});
    let patched = ask(&world, Method::PATCH, &format!("{APPLICATIONS}/{id}"), &root(), patch).await.expect(200);
    assert_eq!((patched.text("name").as_str(), patched.text("description").as_str()), ("renamed", "d"));
    token(&fourth).await.refused(401, "invalid_client");
    get(&world, &format!("{APPLICATIONS}?offset={}", usize::MAX)).await.expect(200);
    let list = get(&world, &format!("{APPLICATIONS}?filter=name+eq+renamed&limit=1")).await.expect(200).json();
    assert_eq!(list["applications"].as_array().map(Vec::len), Some(1));
    ask(&world, Method::DELETE, &oidc, &root(), Value::Null).await.expect(204);
    told(get(&world, &oidc).await, 404);
    ask(&world, Method::DELETE, &format!("{APPLICATIONS}/{id}"), &root(), Value::Null).await.expect(204);
    told(get(&world, &format!("{APPLICATIONS}/{id}")).await, 404);
    // What every realm has is nobody's application.
    let realm = world.realm("demo").await;
    let built_in = realm.clients["account"].id.clone();
    told(ask(&world, Method::DELETE, &format!("{APPLICATIONS}/{built_in}"), &root(), Value::Null).await, 404);
}

#[tokio::test]
async fn who_administers_what() {
    let world = world().await;
    let theirs = format!("/t/wso2.com{APPLICATIONS}");
    for (path, who, status) in [
        (APPLICATIONS, basic("root", "correct horse"), 200),
        (theirs.as_str(), basic("root", "correct horse"), 200),
        (APPLICATIONS, basic("boss", "Passw0rd!"), 200),
        (APPLICATIONS, basic("boss@demo", "Passw0rd!"), 200),
        (APPLICATIONS, basic("viewer", "Passw0rd!"), 403),
        ("/t/nowhere/api/server/v1/applications", basic("boss", "Passw0rd!"), 401),
        (APPLICATIONS, "Bearer x.y.z".to_owned(), 401),
        (APPLICATIONS, "Basic !!!".to_owned(), 401),
    ] {
        ask(&world, Method::GET, path, &who, Value::Null).await.expect(status);
    }
    // One of a realm administers its own: the same name in another realm is somebody else.
    let realm = world.realm("wso2.com").await;
    world.app.engine.set_password(&realm, "boss", Secret::new("another one"), world.now()).await.unwrap();
    ask(&world, Method::GET, &theirs, &basic("boss", "Passw0rd!"), Value::Null).await.expect(401);
    ask(&world, Method::GET, &theirs, &basic("boss", "another one"), Value::Null).await.expect(200);
    let form =
        [("grant_type", "password"), ("client_id", "admin-cli"), ("username", "boss"), ("password", "Passw0rd!")];
    let token = world.post(&endpoint("demo", "token"), &form).await.expect(200).text("access_token");
    let bearer = format!("Bearer {token}");
    ask(&world, Method::GET, APPLICATIONS, &bearer, Value::Null).await.expect(200);
    ask(&world, Method::GET, &theirs, &bearer, Value::Null).await.expect(401);
    let realm = world.realm("demo").await;
    world.app.engine.enable_user(&realm, "boss", false, world.now()).await.unwrap();
    ask(&world, Method::GET, APPLICATIONS, &bearer, Value::Null).await.expect(401);
}

#[tokio::test]
async fn programs_register_clients() {
    let world = world().await;
    told(ask(&world, Method::POST, REGISTER, "", json!({"client_name": "a"})).await, 401);
    let made = post(
        &world,
        REGISTER,
        json!({"client_name": "billing", "grant_types": [GRANT, "client_credentials"], "ext_token_type": "JWT"}),
    )
    .await
    .expect(201);
    let (id, secret) = (made.text("client_id"), made.text("client_secret"));
    assert_eq!((id.len(), made.json()["client_secret_expires_at"].as_i64()), (28, Some(0)));
    let form = [("grant_type", "client_credentials")];
    world.post_with("/oauth2/token", &[("authorization", &basic(&id, &secret))], &form).await.expect(200);
    for (bad, status, code) in [
        (json!({}), 400, "invalid_client_metadata"),
        (json!({"client_name": "billing", "grant_types": [GRANT]}), 409, "invalid_client_metadata"),
        (json!({"client_name": "b"}), 400, "invalid_redirect_uri"),
        (json!({"client_name": "b", "redirect_uris": ["javascript:x"]}), 400, "invalid_redirect_uri"),
        (json!({"client_name": "b", "grant_types": ["magic"]}), 400, "invalid_client_metadata"),
        (
            json!({"client_name": "b", "grant_types": [GRANT], "ext_param_client_id": "short"}),
            400,
            "invalid_client_metadata",
        ),
        (
            json!({"client_name": "b", "grant_types": [GRANT], "ext_param_client_secret": "weak"}),
            400,
            "invalid_client_metadata",
        ),
        (
            json!({"client_name": "b", "grant_types": [GRANT], "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://127.0.0.1/k"}),
            400,
            "invalid_client_metadata",
        ),
    ] {
        post(&world, REGISTER, bad).await.refused(status, code);
    }
    let chosen = json!({"client_name": "c", "grant_types": [GRANT], "ext_param_client_id": "a_client_of_mine"});
    assert_eq!(post(&world, REGISTER, chosen.clone()).await.expect(201).text("client_id"), "a_client_of_mine");
    let mut twice = chosen;
    twice["client_name"] = json!("d");
    post(&world, REGISTER, twice).await.refused(409, "invalid_client_metadata");
    assert_eq!(get(&world, &format!("{REGISTER}?client_name=billing")).await.expect(200).text("client_id"), id);
    let put =
        json!({"client_name": "billing", "grant_types": ["client_credentials"], "ext_application_token_lifetime": 60});
    let now = ask(&world, Method::PUT, &format!("{REGISTER}/{id}"), &root(), put).await.expect(200);
    assert_eq!(
        (now.json()["ext_application_token_lifetime"].as_i64(), now.text("client_secret")),
        (Some(60), secret.clone())
    );
    // Public it has no secret; asked to prove itself again, it gets another one.
    let change = async |public: bool| {
        let put = json!({"client_name": "billing", "grant_types": [GRANT, "password"], "ext_public_client": public});
        ask(&world, Method::PUT, &format!("{REGISTER}/{id}"), &root(), put).await.expect(200).json()["client_secret"]
            .clone()
    };
    assert_eq!(change(true).await, Value::Null);
    let another = change(false).await;
    assert!(another.is_string() && another != now.json()["client_secret"], "{another}");
    ask(&world, Method::DELETE, &format!("{REGISTER}/{id}"), &root(), Value::Null).await.expect(204);
    ask(&world, Method::GET, &format!("{REGISTER}/{id}"), &root(), Value::Null).await.expect(404);
}
