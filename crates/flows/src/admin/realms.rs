//! Realms: adding one with Keycloak's built-in scopes, clients, roles and keys.

use grantor_model::Instant;
use grantor_model::realm::{ClientDocument, RealmDocument};
use grantor_store::roles::{self, RoleRow};
use grantor_store::{Statement, clients};
use serde_json::{Map, Value, json};

use super::AdminError;
use super::bootstrap::MASTER;
use super::import::{IfExists, Names, Report};
use crate::engine::Engine;
use crate::grant::taken_over;

/// What every realm has: client scopes, clients, roles. `${realm}` stands for its name.
const BUILT_IN: &str = include_str!("builtin.json");

/// The built-in parts for a realm.
///
/// # Errors
/// Never, as long as the embedded file is JSON; a test reads it.
pub(crate) fn built_in(realm: &str) -> Result<Map<String, Value>, AdminError> {
    // A realm's name is checked to hold nothing that JSON would have to escape.
    let mut text = BUILT_IN.replace("${realm}", realm);
    if realm == MASTER {
        // Realm master is administered through `master-realm`, as every other one is through `NAME-realm` in master.
        text = text.replace("\"realm-management\"", &format!("\"{}\"", management_client(MASTER)));
    }
    serde_json::from_str(&text).map_err(|error| AdminError::new(format!("built-in parts: {error}")))
}

/// Whether a name can stand in URLs and messages.
///
/// # Errors
/// When it cannot.
pub(crate) fn checked_name(name: &str) -> Result<(), AdminError> {
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ' | '@' | '+' | '~');
    if name.is_empty() || name.len() > 255 || !name.chars().all(fine) || name.trim() != name || name.starts_with('.') {
        return Err(AdminError::new(format!("{name:?} is not a name for a realm"))
            .hint("a realm's name has letters, digits, '-', '_' and '.', since it stands in URLs"));
    }
    Ok(())
}

impl Engine {
    /// Adds a realm that is on, with everything built in.
    ///
    /// # Errors
    /// When the name is taken or cannot be used.
    pub async fn add_realm(&self, name: &str, now: Instant) -> Result<Report, AdminError> {
        let mut file = Map::new();
        file.insert("realm".to_owned(), json!(name));
        file.insert("enabled".to_owned(), json!(true));
        // Keycloak leaves this off; twenty guesses are enough for everybody who is at home here.
        file.insert("bruteForceProtected".to_owned(), json!(true));
        file.insert("failureFactor".to_owned(), json!(20));
        if name == MASTER {
            file.extend(master_parts()?);
        }
        if self.store.realm(name).await?.is_some() {
            return Err(AdminError::new(format!("there is a realm {name:?} already")));
        }
        self.import_realm(file, IfExists::Fail, now).await
    }

    /// A realm that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub async fn required_realm(&self, name: &str, now: Instant) -> Result<std::sync::Arc<crate::Realm>, AdminError> {
        if let Some(realm) = self.realm(name, now).await? {
            return Ok(realm);
        }
        let names: Vec<String> = self.store.realm_versions().await?.into_iter().map(|(name, _)| name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Err(AdminError::new(format!("there is no realm {name:?}")).hint(nearest_hint(name, &names, "realm")))
    }
}

/// The client of realm master whose roles administer a realm.
pub(crate) fn management_client(realm: &str) -> String {
    format!("{realm}-realm")
}

/// The roles of a client among the built-in parts.
fn client_roles(built_in: &Map<String, Value>, client: &str) -> Vec<Value> {
    let roles = built_in.get("roles").and_then(|roles| roles.get("client")?.get(client)?.as_array());
    roles.cloned().unwrap_or_default()
}

/// What realm master has beside the built-in parts: shorter tokens, the role `admin`, and administrators without an
/// address.
fn master_parts() -> Result<Map<String, Value>, AdminError> {
    let client = management_client(MASTER);
    let built_in = built_in(MASTER)?;
    let roles = client_roles(&built_in, &client);
    let names: Vec<&str> = roles.iter().filter_map(|role| role["name"].as_str()).collect();
    let profile =
        json!({"attributes": [{"name": "username"}, {"name": "email"}, {"name": "firstName"}, {"name": "lastName"}]});
    let parts = json!({
        "accessTokenLifespan": 60,
        "roles": {"realm": [
            {"name": "create-realm", "description": "${role_create-realm}"},
            {"name": "admin", "description": "${role_admin}",
             "composites": {"realm": ["create-realm"], "client": {client: names}}},
        ]},
        "components": {"org.keycloak.userprofile.UserProfileProvider": [
            {"providerId": "declarative-user-profile", "config": {"kc.user.profile.config": [profile.to_string()]}},
        ]},
    });
    Ok(parts.as_object().cloned().unwrap_or_default())
}

impl Engine {
    /// Lets clients go on with refresh tokens that an older server of the realm gave out, each once, until a moment;
    /// `None` ends it.
    ///
    /// # Errors
    /// When there is no such realm, or the moment is past or too far away.
    pub async fn take_over_tokens(&self, realm: &str, until: Option<Instant>, now: Instant) -> Result<(), AdminError> {
        let left = until.map(|until| until.seconds().saturating_sub(now.seconds()));
        if left.is_some_and(|left| !(1..=taken_over::LONGEST).contains(&left)) {
            return Err(AdminError::new("the day is past, or more than 400 days away")
                .hint("tokens of before are taken for a while: as long as the longest session of before may live"));
        }
        let id = self.required_realm(realm, now).await?.id.clone();
        let Some(row) = self.store.realm(realm).await? else { return Ok(()) };
        let mut document: RealmDocument = serde_json::from_str(&row.document)
            .map_err(|error| AdminError::new(format!("the realm's settings cannot be read: {error}")))?;
        match until {
            Some(until) => {
                document.attributes.insert(taken_over::UNTIL.to_owned(), Some(until.seconds().to_string()));
            }
            None => drop(document.attributes.remove(taken_over::UNTIL)),
        }
        let mut statements = vec![grantor_store::realms::update_document(&id, &super::json(&document)?)];
        statements.extend(grantor_store::realms::changed(&id));
        self.store.apply(statements).await?;
        self.reload(realm, now).await?;
        Ok(())
    }

    /// What an import adds to realm master: for each realm the client whose roles administer it, as part of the role
    /// `admin`. A new realm brings its own; a new realm master brings those of all others.
    pub(crate) async fn management(
        &self,
        realm: &str,
        realm_id: &str,
        names: &Names,
        now: Instant,
    ) -> Result<Vec<Statement>, AdminError> {
        let mut statements = Vec::new();
        if realm == MASTER {
            let admin = names.realm_roles.get("admin").map(String::as_str);
            for (other, _) in self.store.realm_versions().await? {
                if other != MASTER && !names.clients.contains_key(&management_client(&other)) {
                    statements.extend(self.management_of(&other, realm_id, admin, now)?);
                }
            }
            return Ok(statements);
        }
        // Realm master has a client for each realm: with very many, its snapshot is nothing to load for this.
        let Some(master) = self.store.realm(MASTER).await? else { return Ok(statements) };
        if self.store.client(&master.id, &management_client(realm)).await?.is_none() {
            let admin = self.store.realm_role_key(&master.id, "admin").await?;
            statements = self.management_of(realm, &master.id, admin.as_deref(), now)?;
            statements.extend(grantor_store::realms::changed(&master.id));
        }
        Ok(statements)
    }

    fn management_of(
        &self,
        name: &str,
        master: &str,
        admin: Option<&str>,
        now: Instant,
    ) -> Result<Vec<Statement>, AdminError> {
        let client = self.entropy.uuid(now)?;
        let document = ClientDocument {
            client_id: management_client(name),
            name: Some(format!("{name} Realm")),
            bearer_only: true,
            secret: Some(self.entropy.secret::<32>()?),
            public_client: Some(false),
            full_scope_allowed: false,
            ..ClientDocument::default()
        };
        let mut statements = vec![clients::insert(&super::clients::row(&self.vault, master, &client, document)?)];
        let built_in = built_in(name)?;
        let parts = client_roles(&built_in, "realm-management");
        for role in parts.iter().filter(|role| role["name"] != "realm-admin") {
            let id = self.entropy.uuid(now)?;
            let name = role["name"].as_str().unwrap_or_default().to_owned();
            let document = super::json(&json!({"name": name, "description": role["description"]}))?;
            let row = RoleRow { id: id.clone(), realm_id: master.to_owned(), owner: client.clone(), name, document };
            statements.push(roles::insert(&row));
            statements.extend(admin.map(|admin| roles::insert_composite(admin, &id)));
        }
        Ok(statements)
    }
}

/// Names what is there, the likeliest first.
pub(crate) fn nearest_hint(wanted: &str, names: &[&str], what: &str) -> String {
    let mut names: Vec<&str> = names.to_vec();
    names.sort_by_key(|name| (distance(&wanted.to_lowercase(), &name.to_lowercase()), *name));
    let shown: Vec<&str> = names.iter().take(8).copied().collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    if shown.is_empty() { format!("there is no {what} yet") } else { format!("known: {}{more}", shown.join(", ")) }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (to, above) in b.iter().zip(row.iter().skip(1)) {
            let cost = (diagonal + usize::from(from != *to)).min(above + 1).min(left + 1);
            diagonal = *above;
            left = cost;
            next.push(cost);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{built_in, checked_name, distance};

    #[test]
    fn the_built_in_parts_are_readable() {
        let parts = built_in("x").expect("JSON");
        assert_eq!(parts["roles"]["realm"][2]["name"], "default-roles-x");
        assert_eq!(parts["clients"].as_array().map(Vec::len), Some(6));
    }

    #[test]
    fn names() {
        for good in ["demo", "consent-02-external-system", "Ünïcode", "a b"] {
            assert!(checked_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "a\"b", "..", ".", " a", "a\n", "a;b", "a\\b", "a%b"] {
            assert!(checked_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
