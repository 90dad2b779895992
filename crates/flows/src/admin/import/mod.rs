//! Reading Keycloak realm files: settings, scopes, clients, roles, groups, keys and users, in one commit.
//!
//! What is not understood yet is kept, sealed, and named in the report; nothing is dropped in silence. The whole file
//! lands or nothing does: one with very many users is written in parts, and seen by nobody before the last. Names of
//! roles, scopes, groups and clients become keys here, and a name that leads nowhere is a note in the report, since
//! exports of partial realms have them.

mod clients;
mod differs;
mod identity_providers;
mod keys;
mod migrate;
mod names;
mod roles;
mod users;

use std::collections::HashSet;

use grantor_model::Instant;
use grantor_model::realm::{ClientScopeDocument, PasswordPolicy, RealmDocument, UserDocument};
use grantor_store::realms::{self as table, RealmRow};
use grantor_store::{Statement, StoreError, clients as client_table};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub(crate) use self::names::Names;
use super::realms::{built_in, checked_name};
use super::{AdminError, checked_id, json};
use crate::engine::Engine;
use crate::grant::taken_over;
use crate::passwords::Hashing;

/// What to do with a realm that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// Refuse the file.
    Fail,
    /// Leave the realm as it is.
    Skip,
    /// Replace the realm and everything in it.
    Overwrite,
}

/// What an import did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The realm's name.
    pub realm: String,
    /// Whether it was left as it is.
    pub skipped: bool,
    /// Clients in the file and built in.
    pub clients: usize,
    /// Client scopes.
    pub client_scopes: usize,
    /// Realm and client roles.
    pub roles: usize,
    /// Groups at all depths.
    pub groups: usize,
    /// Users, service accounts included.
    pub users: usize,
    /// Identity providers.
    pub identity_providers: usize,
    /// Keys.
    pub keys: usize,
    /// The version of Keycloak that the file was brought up to date from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrated_from: Option<String>,
    /// What guards access, and is left out or not acted on.
    pub guards: Vec<String>,
    /// What will behave differently, and what to do about it.
    pub differs: Vec<String>,
    /// Members that are kept and not understood yet.
    pub kept: Vec<String>,
    /// What was left out or could not be followed.
    pub notes: Vec<String>,
}

/// The work on one file.
#[derive(Debug)]
pub struct Importing<'a> {
    engine: &'a Engine,
    now: Instant,
    /// Whether nothing is written.
    rehearsal: bool,
    /// Whether a part of it is in the database.
    begun: bool,
    /// What tells this import from another one of the same realm.
    number: i64,
    /// Users among the statements.
    held: usize,
    /// Ids and names so far, hashed.
    seen: HashSet<u64>,
    /// Clients that act for themselves and have no user in the file, by key and `client_id`.
    accounts: Vec<(String, String)>,
    realm_id: String,
    realm: String,
    names: Names,
    /// How the realm wants passwords hashed.
    hashing: Hashing,
    /// What a client gets whose file does not say.
    default_scopes: Vec<String>,
    statements: Vec<Statement>,
    report: Report,
}

/// Members that carry nothing that could be lost.
const IDLE: [&str; 7] = [
    "id",
    "keycloakVersion",
    "requiredCredentials",
    "defaultRole",
    "access",
    "surrogateAuthRequired",
    "nodeReRegistrationTimeout",
];

/// Users that are held before they are written. A realm with no more of them is written in one step.
pub const AT_ONCE: usize = 2_000;

/// What an import begins with.
#[derive(Debug)]
pub enum Begun<'a> {
    /// There is such a realm, and it is left as it is.
    Skipped(Report),
    /// The realm is to be made.
    Importing(Box<Importing<'a>>),
}

impl Engine {
    /// Imports a realm from a file that fits into memory.
    ///
    /// # Errors
    /// When the file cannot be read, or the realm is there and `if_exists` says to fail.
    pub async fn import_realm(
        &self,
        mut file: Map<String, Value>,
        if_exists: IfExists,
        now: Instant,
    ) -> Result<Report, AdminError> {
        let users: Vec<UserDocument> = part(&mut file, "users")?.unwrap_or_default();
        let accounts = users.iter().filter_map(|user| user.service_account_client_id.clone()).collect();
        let mut importing = match self.begin_import(file, &accounts, if_exists, false, now).await? {
            Begun::Skipped(report) => return Ok(report),
            Begun::Importing(importing) => importing,
        };
        for user in users {
            importing.user(user).await?;
        }
        importing.finish().await
    }

    /// Begins an import with everything but the users; `accounts` names the clients that have theirs among those. Until
    /// it is finished nobody sees the realm. `rehearsal` does all but write.
    ///
    /// # Errors
    /// As [`Engine::import_realm`].
    pub async fn begin_import(
        &self,
        mut file: Map<String, Value>,
        accounts: &HashSet<String>,
        if_exists: IfExists,
        rehearsal: bool,
        now: Instant,
    ) -> Result<Begun<'_>, AdminError> {
        let name = file.get("realm").and_then(Value::as_str).unwrap_or_default().to_owned();
        checked_name(&name)?;
        let there = self.store.realm(&name).await?;
        let mut statements = Vec::new();
        match (&there, if_exists) {
            (Some(_), IfExists::Fail) => {
                return Err(AdminError::new(format!("there is a realm {name:?} already")).hint(
                    "--if-exists skip leaves it as it is, --if-exists overwrite replaces it and all that is in it",
                ));
            }
            (Some(_), IfExists::Skip) => {
                return Ok(Begun::Skipped(Report { realm: name, skipped: true, ..Report::default() }));
            }
            (Some(row), IfExists::Overwrite) => statements.push(table::delete(&row.id)),
            (None, _) => {}
        }
        // What an import that was cut off left behind.
        statements.extend(self.store.unfinished_realm(&name).await?.map(|id| table::delete(&id)));
        let realm_id: String = match file.get("id").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => self.entropy.uuid(now)?,
        };
        checked_id(&realm_id, "the realm")?;
        let mut importing = Importing {
            engine: self,
            now,
            rehearsal,
            begun: false,
            number: i64::from_be_bytes(self.entropy.bytes()?).saturating_abs().max(2),
            held: 0,
            seen: HashSet::new(),
            accounts: Vec::new(),
            realm_id,
            realm: name.clone(),
            names: Names::default(),
            hashing: Hashing::default(),
            default_scopes: Vec::new(),
            statements,
            report: Report { realm: name.clone(), ..Report::default() },
        };
        let built_in = built_in(&name)?;
        if file.contains_key("keycloakVersion") {
            let report = &mut importing.report;
            (report.guards, report.differs) = differs::found(&file);
            report.migrated_from = migrate::migrate(&mut file, &built_in, &mut report.notes, &mut report.guards);
        }
        importing.realm_row(&mut file, &built_in)?;
        importing.all(file, &built_in, accounts).await?;
        Ok(Begun::Importing(Box::new(importing)))
    }
}

impl Importing<'_> {
    /// Adds a user.
    ///
    /// # Errors
    /// When the user cannot be read, or what is held cannot be written.
    pub async fn user(&mut self, user: UserDocument) -> Result<(), AdminError> {
        self.add_user(user).await?;
        self.held += 1;
        if self.held >= AT_ONCE {
            self.write().await?;
        }
        Ok(())
    }

    /// Users so far.
    pub fn users(&self) -> usize {
        self.report.users
    }

    /// Writes what is held. The first time, the realm begins, unseen.
    async fn write(&mut self) -> Result<(), AdminError> {
        self.held = 0;
        let mut statements = std::mem::take(&mut self.statements);
        if self.rehearsal {
            return Ok(());
        }
        if !self.begun {
            statements.push(table::unfinished(&self.realm_id, self.number));
            // A realm that is replaced is gone from here on.
            statements.extend(table::changed(&self.realm_id));
        }
        if self.begun {
            statements.insert(0, table::still_unfinished(&self.realm_id, self.number));
        }
        self.apply(statements).await?;
        self.begun = true;
        Ok(())
    }

    async fn apply(&self, statements: Vec<Statement>) -> Result<(), AdminError> {
        match self.engine.store.apply_unhurried(statements).await {
            Ok(()) => Ok(()),
            Err(StoreError::Duplicate) => Err(AdminError::new("another realm has an id of this file already")
                .hint("ids are unique across realms: the same realm cannot come in under two names")),
            Err(StoreError::Guard { .. }) => {
                Err(AdminError::new("the realm was removed or imported by another command meanwhile")
                    .hint("wait until that one is done, and try again"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the import: the realm is there.
    ///
    /// # Errors
    /// When something cannot be written. What was written before is not seen by anybody, and goes with the next try.
    pub async fn finish(mut self) -> Result<Report, AdminError> {
        let accounts = std::mem::take(&mut self.accounts);
        self.service_accounts(accounts)?;
        let mut statements = std::mem::take(&mut self.statements);
        if self.rehearsal {
            return Ok(self.report);
        }
        if self.begun {
            statements.insert(0, table::still_unfinished(&self.realm_id, self.number));
            statements.push(table::finished(&self.realm_id, self.number));
        }
        statements.extend(self.engine.management(&self.realm, &self.realm_id, &self.names, self.now).await?);
        // Last, so that the numbers that tell of changes are locked for a moment only.
        statements.extend(table::changed(&self.realm_id));
        self.apply(statements).await?;
        self.engine.reload_known(&self.realm, self.now).await?;
        self.engine.reload_known(super::bootstrap::MASTER, self.now).await?;
        Ok(self.report)
    }
}

/// The parts of a file that are not settings.
struct Parts {
    client_scopes: Option<Vec<ClientScopeDocument>>,
    clients: Vec<grantor_model::realm::ClientDocument>,
    roles: roles::RolesPart,
    groups: Vec<grantor_model::realm::GroupDocument>,
    identity_providers: Vec<grantor_model::realm::IdentityProviderDocument>,
    scope_mappings: Vec<grantor_model::realm::ScopeMappingDocument>,
    client_scope_mappings: std::collections::BTreeMap<String, Vec<grantor_model::realm::ScopeMappingDocument>>,
    keys: Option<Vec<grantor_model::realm::ComponentDocument>>,
}

pub(crate) const KEY_PROVIDER: &str = "org.keycloak.keys.KeyProvider";

/// Takes a part out of a file.
fn part<T: DeserializeOwned>(file: &mut Map<String, Value>, name: &str) -> Result<Option<T>, AdminError> {
    match file.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value)
            .map(Some)
            .map_err(|error| AdminError::new(format!("the member {name:?} of the realm file: {error}"))),
    }
}

impl Parts {
    fn taken_from(file: &mut Map<String, Value>) -> Result<Self, AdminError> {
        let keys = match file.get_mut("components").and_then(Value::as_object_mut) {
            Some(components) => part(components, KEY_PROVIDER)?,
            None => None,
        };
        Ok(Self {
            client_scopes: part(file, "clientScopes")?,
            clients: part(file, "clients")?.unwrap_or_default(),
            roles: part(file, "roles")?.unwrap_or_default(),
            groups: part(file, "groups")?.unwrap_or_default(),
            identity_providers: part(file, "identityProviders")?.unwrap_or_default(),
            scope_mappings: part(file, "scopeMappings")?.unwrap_or_default(),
            client_scope_mappings: part(file, "clientScopeMappings")?.unwrap_or_default(),
            keys,
        })
    }
}

impl Importing<'_> {
    /// The realm's own row: understood settings in the open, the rest sealed.
    fn realm_row(&mut self, file: &mut Map<String, Value>, built_in: &Map<String, Value>) -> Result<(), AdminError> {
        let sections = [
            "clientScopes",
            "clients",
            "roles",
            "groups",
            "users",
            "identityProviders",
            "scopeMappings",
            "clientScopeMappings",
            "components",
        ];
        let (parts, mut rest): (Map<_, _>, Map<_, _>) =
            std::mem::take(file).into_iter().partition(|(name, _)| sections.contains(&name.as_str()));
        *file = parts;
        if !file.contains_key("clientScopes") {
            for name in ["defaultDefaultClientScopes", "defaultOptionalClientScopes"] {
                let standard = built_in.get(name).cloned().unwrap_or_default();
                rest.entry(name).or_insert(standard);
            }
        }
        let mut document: RealmDocument = serde_json::from_value(Value::Object(rest))
            .map_err(|error| AdminError::new(format!("realm settings: {error}")))?;
        if document.attributes.remove(taken_over::UNTIL).is_some() {
            // What was spent is not in the file: it is for who runs this server to say.
            self.note("the realm took refresh tokens of before; switch that on here with `grantor realm take-over`");
        }
        self.hashing = Hashing::of_policy(PasswordPolicy::new(document.password_policy.as_deref()));
        self.default_scopes.clone_from(&document.default_default_client_scopes);
        let mut kept = std::mem::take(&mut document.kept);
        let mut names: Vec<&str> = kept.keys().map(String::as_str).filter(|name| !IDLE.contains(name)).collect();
        let mut components = file.get("components").cloned().unwrap_or_default();
        if let Some(components) = components.as_object_mut() {
            components.remove(KEY_PROVIDER);
            names.extend(components.keys().map(String::as_str).filter(|name| !name.ends_with("UserProfileProvider")));
        }
        self.report.kept = names.into_iter().map(str::to_owned).collect();
        if components.as_object().is_some_and(|components| !components.is_empty()) {
            kept.insert("components".to_owned(), components);
        }
        let place = format!("realms/{}", self.realm_id);
        let sealed = self.engine.vault.seal(&place, json(&kept)?.as_bytes())?;
        self.statements.push(table::insert(&RealmRow {
            id: self.realm_id.clone(),
            name: self.realm.clone(),
            version: 0,
            document: json(&document)?,
            kept: sealed,
        }));
        Ok(())
    }

    async fn all(
        &mut self,
        mut file: Map<String, Value>,
        built_in: &Map<String, Value>,
        accounts: &HashSet<String>,
    ) -> Result<(), AdminError> {
        let mut parts = Parts::taken_from(&mut file)?;
        let mut standard = Parts::taken_from(&mut built_in.clone())?;
        let own_scopes = parts.client_scopes.is_some();
        self.client_scopes(parts.client_scopes.take().or(standard.client_scopes.take()).unwrap_or_default())?;
        standard.clients.retain(|client| parts.clients.iter().all(|own| own.client_id != client.client_id));
        let missing: Vec<String> = standard.clients.iter().map(|client| client.client_id.clone()).collect();
        parts.clients.append(&mut standard.clients);
        self.accounts = self.clients(&parts.clients, accounts)?;
        self.roles(&parts.roles, &standard.roles, &missing)?;
        if !own_scopes {
            parts.scope_mappings.append(&mut standard.scope_mappings);
        }
        for (owner, mut mappings) in standard.client_scope_mappings {
            parts.client_scope_mappings.entry(owner).or_insert_with(|| std::mem::take(&mut mappings));
        }
        self.scope_mappings(&parts.scope_mappings, &parts.client_scope_mappings)?;
        self.groups(&parts.groups)?;
        self.keys(parts.keys).await?;
        self.identity_providers(parts.identity_providers)
    }

    fn client_scopes(&mut self, scopes: Vec<ClientScopeDocument>) -> Result<(), AdminError> {
        for mut scope in scopes {
            let id = self.id(scope.id.take(), "a client scope")?;
            self.only("client scopes", &scope.name)?;
            self.names.client_scopes.insert(scope.name.clone(), id.clone());
            let row = client_table::ClientScopeRow {
                id,
                realm_id: self.realm_id.clone(),
                name: scope.name.clone(),
                document: json(&scope)?,
            };
            self.statements.push(client_table::insert_scope(&row));
            self.report.client_scopes += 1;
        }
        Ok(())
    }

    /// The id that the file gives, or a new one.
    fn id(&mut self, given: Option<String>, what: &str) -> Result<String, AdminError> {
        let Some(id) = given else { return Ok(self.engine.entropy.uuid(self.now)?) };
        checked_id(&id, what)?;
        if !self.is_new(what, &id) {
            return Err(AdminError::new(format!("the id {id:?} of {what} occurs twice")));
        }
        Ok(id)
    }

    /// Refuses a name that something of the kind has already.
    fn only(&mut self, kind: &'static str, name: &str) -> Result<(), AdminError> {
        if self.is_new(kind, name) {
            return Ok(());
        }
        Err(AdminError::new(format!("two {kind} are called {name:?}")))
    }

    /// Whether an id or a name of a kind comes for the first time. Of two that hash alike by chance the second is
    /// refused: of a million users that happens once in forty million files.
    fn is_new(&mut self, kind: &str, text: &str) -> bool {
        use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
        self.seen.insert(BuildHasherDefault::<DefaultHasher>::default().hash_one((kind, text)))
    }

    /// Names members that are kept and not understood yet, unless they say nothing.
    fn kept_of(&mut self, what: &str, kept: &Map<String, Value>) {
        let says_nothing = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Number(number) => number.as_i64().is_some_and(|number| number <= 0),
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Bool(true) => false,
        };
        for (name, _) in kept.iter().filter(|(name, value)| !IDLE.contains(&name.as_str()) && !says_nothing(value)) {
            let name = format!("{what}[].{name}");
            if !self.report.kept.contains(&name) {
                self.report.kept.push(name);
            }
        }
    }

    fn note(&mut self, text: impl Into<String>) {
        const MOST: usize = 200;
        if self.report.notes.len() < MOST {
            self.report.notes.push(text.into());
        }
    }
}
