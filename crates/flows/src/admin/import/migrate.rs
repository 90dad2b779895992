//! What Keycloak itself does to files of older versions on the way to 26.7, as a real import of files from 16, 18, 21 and
//! 24 was seen to do: scopes, roles, keys and defaults that are new come in, and what is gone goes.

use serde_json::{Map, Value, json};

use crate::admin::export::VERSION;

/// A list of objects in a file.
fn list<'a>(file: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Vec<Value>> {
    file.get_mut(name)?.as_array_mut()
}

fn named<'a>(list: &'a [Value], member: &str, name: &str) -> Option<&'a Value> {
    list.iter().find(|one| one[member] == name)
}

fn is_openid(client: &Value) -> bool {
    client["protocol"].as_str().is_none_or(|protocol| protocol == "openid-connect")
}

/// The user profile of realms that had none: any attribute is taken.
const PROFILE: &str = r#"{"attributes":[{"name":"username","displayName":"${username}","validations":{"length":{"min":3,"max":255},"username-prohibited-characters":{},"up-username-not-idn-homograph":{}},"permissions":{"view":["admin","user"],"edit":["admin","user"]},"multivalued":false},{"name":"email","displayName":"${email}","validations":{"email":{},"length":{"max":255}},"required":{"roles":["user"]},"permissions":{"view":["admin","user"],"edit":["admin","user"]},"multivalued":false},{"name":"firstName","displayName":"${firstName}","validations":{"length":{"max":255},"person-name-prohibited-characters":{}},"required":{"roles":["user"]},"permissions":{"view":["admin","user"],"edit":["admin","user"]},"multivalued":false},{"name":"lastName","displayName":"${lastName}","validations":{"length":{"max":255},"person-name-prohibited-characters":{}},"required":{"roles":["user"]},"permissions":{"view":["admin","user"],"edit":["admin","user"]},"multivalued":false}],"groups":[{"name":"user-metadata","displayHeader":"User metadata","displayDescription":"Attributes, which refer to user metadata"}],"unmanagedAttributePolicy":"ENABLED"}"#;

const PROFILE_PROVIDER: &str = "org.keycloak.userprofile.UserProfileProvider";

/// Brings a file up to date. Gives the version that it was of, where something was done.
pub(super) fn migrate(
    file: &mut Map<String, Value>,
    built_in: &Map<String, Value>,
    notes: &mut Vec<String>,
    guards: &mut Vec<String>,
) -> Option<String> {
    let written = file.get("keycloakVersion").and_then(Value::as_str)?.to_owned();
    let major: u32 = written.split('.').next()?.parse().ok()?;
    file.insert("keycloakVersion".to_owned(), json!(VERSION));
    if major >= 26 {
        return None;
    }
    scopes(file, built_in);
    clients(file);
    roles(file, built_in);
    required_actions(file);
    flows(file);
    profile(file);
    keys(file);
    scripts(file, notes, guards);
    if let Some(headers) = file.get_mut("browserSecurityHeaders").and_then(Value::as_object_mut) {
        headers.entry("referrerPolicy").or_insert_with(|| json!("no-referrer"));
    }
    if file.get("firstBrokerLoginFlow").is_none_or(Value::is_null) {
        file.insert("firstBrokerLoginFlow".to_owned(), json!("first broker login"));
    }
    Some(written)
}

/// Client scopes that are new. Clients get `basic` and `acr`, which write claims that were there without a scope before;
/// service accounts keep the mappers that they have.
fn scopes(file: &mut Map<String, Value>, built_in: &Map<String, Value>) {
    let standard = built_in.get("clientScopes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let Some(own) = list(file, "clientScopes") else { return };
    let mut new = Vec::new();
    for name in ["basic", "acr", "service_account"] {
        if named(own, "name", name).is_none()
            && let Some(scope) = named(standard, "name", name)
        {
            own.push(scope.clone());
            new.push(name);
        }
    }
    if named(own, "name", "AuthnContextClassRef").is_none() {
        own.push(json!({
            "name": "AuthnContextClassRef", "description": "AuthnContextClassRef Level of Authentiation", "protocol": "saml",
            "attributes": {}, "protocolMappers": [{"name": "AuthnContextClassRef", "protocol": "saml",
                "protocolMapper": "saml-authn-context-class-ref-mapper", "consentRequired": false, "config": {}}],
        }));
        new.push("AuthnContextClassRef");
    }
    new.retain(|name| *name != "service_account");
    if let Some(defaults) = list(file, "defaultDefaultClientScopes") {
        defaults.extend(new.iter().map(|name| json!(name)));
    }
    for client in list(file, "clients").into_iter().flatten() {
        let openid = is_openid(client);
        if openid && client["bearerOnly"] == true {
            continue;
        }
        let Some(scopes) = client.get_mut("defaultClientScopes").and_then(Value::as_array_mut) else { continue };
        let fitting = new.iter().filter(|name| (**name == "AuthnContextClassRef") != openid);
        scopes.extend(fitting.map(|name| json!(name)));
    }
}

fn clients(file: &mut Map<String, Value>) {
    for client in list(file, "clients").into_iter().flatten() {
        let id = client["clientId"].as_str().unwrap_or_default().to_owned();
        let of_realm = matches!(id.as_str(), "broker" | "realm-management");
        let Some(members) = client.as_object_mut() else { continue };
        let attributes = members.entry("attributes").or_insert_with(|| json!({}));
        if let Some(attributes) = attributes.as_object_mut() {
            attributes.entry("realm_client").or_insert_with(|| json!(of_realm.to_string()));
            if matches!(id.as_str(), "admin-cli" | "security-admin-console") {
                attributes.insert("client.use.lightweight.access.token.enabled".to_owned(), json!("true"));
            }
        }
        if matches!(id.as_str(), "admin-cli" | "security-admin-console") {
            members.insert("fullScopeAllowed".to_owned(), json!(true));
        }
    }
}

/// Roles of the built-in clients that are new, within the composites and mappings that have them.
fn roles(file: &mut Map<String, Value>, built_in: &Map<String, Value>) {
    let standard = |client: &str| built_in.get("roles").and_then(|roles| roles.get("client")?.get(client)?.as_array());
    let mut new_of_account = Vec::new();
    for client in ["realm-management", "account"] {
        let Some(own) =
            file.get_mut("roles").and_then(|roles| roles.get_mut("client")?.get_mut(client)?.as_array_mut())
        else {
            continue;
        };
        let wanted = |name: &str| name.ends_with("-organizations") || name == "view-groups";
        let mut new = Vec::new();
        for role in standard(client).into_iter().flatten() {
            let name = role["name"].as_str().unwrap_or_default();
            if wanted(name) && named(own, "name", name).is_none() {
                new.push(name.to_owned());
                own.push(role.clone());
            }
        }
        if client == "account" {
            new_of_account = new;
            continue;
        }
        let admin = own.iter_mut().find(|role| role["name"] == "realm-admin");
        let members =
            admin.and_then(|role| role.get_mut("composites")?.get_mut("client")?.get_mut(client)?.as_array_mut());
        if let Some(members) = members {
            members.extend(new.into_iter().map(Value::from));
        }
    }
    let mappings = file.get_mut("clientScopeMappings").and_then(|all| all.get_mut("account")?.as_array_mut());
    let console = mappings.and_then(|all| all.iter_mut().find(|one| one["client"] == "account-console"));
    if let Some(roles) = console.and_then(|one| one.get_mut("roles")?.as_array_mut()) {
        roles.extend(new_of_account.into_iter().map(Value::from));
    }
}

fn required_actions(file: &mut Map<String, Value>) {
    let Some(actions) = list(file, "requiredActions") else { return };
    for action in actions.iter_mut() {
        let alias = action["alias"].as_str().unwrap_or_default().to_owned();
        let Some(members) = action.as_object_mut() else { continue };
        match alias.as_str() {
            "terms_and_conditions" => {
                members.insert("alias".to_owned(), json!("TERMS_AND_CONDITIONS"));
                members.insert("providerId".to_owned(), json!("TERMS_AND_CONDITIONS"));
            }
            "CONFIGURE_TOTP" if members.get("priority") == Some(&json!(10)) => {
                members.insert("priority".to_owned(), json!(54));
            }
            "UPDATE_PASSWORD" if members.get("priority") == Some(&json!(30)) => {
                members.insert("priority".to_owned(), json!(57));
            }
            _ => {}
        }
    }
    for (alias, name, priority) in
        [("delete_credential", "Delete Credential", 110), ("idp_link", "Linking Identity Provider", 120)]
    {
        if named(actions, "alias", alias).is_none() {
            actions.push(json!({"alias": alias, "name": name, "providerId": alias, "enabled": true,
                "defaultAction": false, "priority": priority, "config": {}}));
        }
    }
}

/// Flows whose steps a Keycloak of now does not have.
fn flows(file: &mut Map<String, Value>) {
    let Some(flows) = list(file, "authenticationFlows") else { return };
    flows.retain(|flow| {
        flow["builtIn"] != true || (flow["alias"] != "http challenge" && flow["alias"] != "Authentication Options")
    });
    for flow in flows.iter_mut().filter(|flow| flow["alias"] == "registration form") {
        if let Some(steps) = flow.get_mut("authenticationExecutions").and_then(Value::as_array_mut) {
            steps.retain(|step| step["authenticator"] != "registration-profile-action");
        }
    }
}

fn profile(file: &mut Map<String, Value>) {
    let components = file.entry("components").or_insert_with(|| json!({}));
    let Some(components) = components.as_object_mut() else { return };
    let profiles = components.entry(PROFILE_PROVIDER).or_insert_with(|| json!([]));
    let Some(profiles) = profiles.as_array_mut() else { return };
    if profiles.is_empty() {
        profiles.push(json!({"providerId": "declarative-user-profile", "subComponents": {}, "config": {}}));
    }
    let config = profiles.first_mut().and_then(|profile| profile.get_mut("config")?.as_object_mut());
    if let Some(config) = config {
        config.entry("kc.user.profile.config").or_insert_with(|| json!([PROFILE]));
    }
}

/// AES keys have had a longer default since; these keep their length.
fn keys(file: &mut Map<String, Value>) {
    let keys = file.get_mut("components").and_then(|all| all.get_mut("org.keycloak.keys.KeyProvider")?.as_array_mut());
    for key in keys.into_iter().flatten().filter(|key| key["providerId"] == "aes-generated") {
        if let Some(config) = key.get_mut("config").and_then(Value::as_object_mut) {
            config.entry("secretSize").or_insert_with(|| json!(["16"]));
        }
    }
}

/// Policies that are scripts, which a Keycloak of now refuses together with the whole file; and the permissions that
/// stand on nothing else.
fn scripts(file: &mut Map<String, Value>, notes: &mut Vec<String>, guards: &mut Vec<String>) {
    for client in list(file, "clients").into_iter().flatten() {
        let id = client["clientId"].as_str().unwrap_or_default().to_owned();
        let policies = client.get_mut("authorizationSettings").and_then(|all| all.get_mut("policies")?.as_array_mut());
        let Some(policies) = policies else { continue };
        let is_script =
            |policy: &Value| policy["type"].as_str().is_some_and(|kind| kind == "js" || kind.starts_with("script-"));
        // What every resource server was born with grants everything: without it, less is granted.
        let grants_all = |policy: &Value| {
            policy.pointer("/config/code").and_then(Value::as_str).is_some_and(|code| {
                let lines = code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
                lines.eq(["$evaluation.grant();"])
            })
        };
        let scripts: Vec<Value> = policies.iter().filter(|policy| is_script(policy)).cloned().collect();
        let names: Vec<&str> = scripts.iter().filter_map(|policy| policy["name"].as_str()).collect();
        for script in &scripts {
            let name = script["name"].as_str().unwrap_or_default();
            let text = format!("client {id:?}: the authorization policy {name:?} is a script, left out");
            if grants_all(script) { notes.push(text + " (it granted everything)") } else { guards.push(text) }
        }
        policies.retain(|policy| !is_script(policy));
        for policy in policies.iter_mut() {
            let Some(setting) = policy.pointer_mut("/config/applyPolicies") else { continue };
            let applied = setting.as_str().and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
            let Some(mut applied) = applied else { continue };
            let before = applied.len();
            applied.retain(|name| !names.contains(&name.as_str()));
            if applied.len() == before {
                continue;
            }
            *setting = json!(json!(applied).to_string());
            if applied.is_empty() {
                notes.push(format!("client {id:?}: the permission {} stood on that alone, left out", policy["name"]));
            }
        }
        policies.retain(|policy| policy.pointer("/config/applyPolicies").is_none_or(|applied| applied != "[]"));
    }
}
