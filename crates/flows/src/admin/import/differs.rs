//! What a realm had that guards access or shows to people, and is not acted on here.

use grantor_model::realm::PasswordPolicy;
use serde_json::{Map, Value};

/// The steps of Keycloak's own flow for the password grant.
const DIRECT_GRANT: &str = "direct-grant-validate-username REQUIRED, direct-grant-validate-password REQUIRED, \
                            (conditional-user-configured REQUIRED, direct-grant-validate-otp REQUIRED) CONDITIONAL";

/// Looks through a file. Gives what guards access and is not acted on, and what people will see otherwise, each with
/// what to do.
pub(super) fn found(file: &Map<String, Value>) -> (Vec<String>, Vec<String>) {
    (guards(file), differs(file))
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// The steps of a flow in one line: requirements, with the steps of flows within.
fn steps(flows: &[&Value], alias: &str, depth: usize) -> Option<String> {
    let flow = flows.iter().find(|flow| flow["alias"] == alias).filter(|_| depth < 20)?;
    let mut all: Vec<&Value> = items(flow.get("authenticationExecutions")).collect();
    all.sort_by_key(|step| step["priority"].as_i64().unwrap_or_default());
    let mut texts = Vec::new();
    for step in all.into_iter().filter(|step| step["requirement"] != "DISABLED") {
        let requirement = step["requirement"].as_str().unwrap_or_default();
        let what = match step["flowAlias"].as_str() {
            Some(inner) => format!("({})", steps(flows, inner, depth + 1)?),
            None => step["authenticator"].as_str().unwrap_or_default().to_owned(),
        };
        texts.push(format!("{what} {requirement}"));
    }
    Some(texts.join(", "))
}

fn guards(file: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    let flows: Vec<&Value> = items(file.get("authenticationFlows")).collect();
    let mut check = |alias: &str, whose: String| {
        let known = steps(&flows, alias, 0);
        if known.as_deref() != Some(DIRECT_GRANT) {
            let has = known.unwrap_or_else(|| "steps that cannot be read".to_owned());
            found.push(format!(
                "{whose} has the flow {alias:?} for the password grant ({has}); here it is name, password, and a code of \
                 users who have one"
            ));
        }
    };
    if let Some(alias) = file.get("directGrantFlow").and_then(Value::as_str).filter(|_| !flows.is_empty()) {
        check(alias, "the realm".to_owned());
    }
    for client in items(file.get("clients")) {
        let bound = client.pointer("/authenticationFlowBindingOverrides/direct_grant");
        let Some(bound) = bound.and_then(Value::as_str) else { continue };
        let alias = flows.iter().find(|flow| flow["id"] == bound).and_then(|flow| flow["alias"].as_str());
        check(alias.unwrap_or(bound), format!("client {}", client["clientId"]));
    }
    for policy in items(file.get("clientPolicies").and_then(|all| all.get("policies"))) {
        if policy["enabled"] == true {
            found.push(format!("the client policy {} is not applied", policy["name"]));
        }
    }
    found
}

fn differs(file: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |count: usize, text: &str| {
        if count > 0 {
            found.push(text.replace("{}", &count.to_string()));
        }
    };
    let clients: Vec<&Value> = items(file.get("clients")).collect();
    let is_on = |client: &&&Value| client["enabled"] != false && client["bearerOnly"] != true;
    let saml = |client: &&&Value| client["protocol"] == "saml";
    let built_in = |client: &&&Value| {
        matches!(client["clientId"].as_str(), Some("account" | "account-console" | "security-admin-console" | "broker"))
    };
    let own = clients.iter().filter(is_on).filter(|client| !built_in(client));
    say(
        own.clone().filter(|client| !saml(client) && client["standardFlowEnabled"] == true).count(),
        "{} clients log people in through the browser (authorization code), which is not offered here yet",
    );
    say(own.clone().filter(saml).count(), "{} SAML clients are kept and not served");
    say(
        clients.iter().filter(|client| client["authorizationSettings"].is_object()).count(),
        "{} clients decide by authorization services (UMA), which are kept and not served",
    );
    let components = file.get("components");
    let stores = items(components.and_then(|all| all.get("org.keycloak.storage.UserStorageProvider"))).count();
    say(
        stores,
        "users of {} user federations (LDAP, Kerberos, …) cannot log in here: import them into the realm first",
    );
    say(
        items(file.get("identityProviders")).filter(|provider| provider["enabled"] != false).count(),
        "login through {} identity providers is not offered; their assertions are taken where the JWT bearer grant is on",
    );
    say(
        usize::from(file.get("registrationAllowed") == Some(&Value::Bool(true))),
        "people cannot register themselves here",
    );
    say(items(file.get("organizations")).count(), "{} organizations are kept; tokens do not carry them");
    let policy = PasswordPolicy::new(file.get("passwordPolicy").and_then(Value::as_str));
    for rule in policy.unknown() {
        found.push(format!(
            "the password policy has the rule {rule}, which is not known: until it is taken out, no password can be set"
        ));
    }
    if let Some(after) = policy.expires_after() {
        found.push(format!(
            "passwords older than {} days are refused, and people cannot renew them in a browser here: \
             grantor user set-password, or take forceExpiredPasswordChange out",
            after / 86_400_000
        ));
    }
    if let Some(list) = policy.blacklist() {
        found.push(format!("passwords are compared with the list {list:?}: put it into password-blacklists/ of the data folder, or no password can be set"));
    }
    found.push(
        "no export holds sessions: people log in again, unless the realm takes refresh tokens of before for a while \
         (grantor realm take-over)"
            .to_owned(),
    );
    found
}
