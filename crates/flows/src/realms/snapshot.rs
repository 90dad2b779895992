//! A realm in memory: settings, keys, clients, scopes, roles and groups, compiled to what issuing needs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use grantor_model::claims::{GroupFacts, ResolvedRoles, Subject};
use grantor_model::identity_provider::IdentityProvider;
use grantor_model::mapper::Mapper;
use grantor_model::realm::{ClientDocument, ListAttributes, RealmDocument, UserDocument};
use grantor_store::users::UserRow;

use crate::client_secrets::LiveSecret;
use crate::issue::Templates;
use crate::keys::KeyRing;

/// Groups nested deeper than any real tree form a ring.
pub(crate) const DEEPEST: usize = 100;

/// A realm.
#[derive(Debug)]
pub struct Realm {
    /// The key.
    pub id: String,
    /// The name in URLs.
    pub name: String,
    /// The version that was loaded.
    pub version: i64,
    /// The settings.
    pub settings: RealmDocument,
    /// The keys.
    pub keys: KeyRing,
    /// Clients by `client_id`.
    pub clients: HashMap<String, Arc<Client>>,
    /// Client scopes by name.
    pub scopes: BTreeMap<String, Arc<ClientScope>>,
    /// Roles; everything else refers to them by position.
    pub roles: Vec<Role>,
    /// Groups; users refer to them by position.
    pub groups: Vec<Group>,
    /// Identity providers, by alias in order.
    pub providers: Vec<Arc<IdentityProvider>>,
    /// What a user must have to be fully set up; empty where nobody checks.
    pub required_profile: Vec<String>,
    pub(super) role_positions: HashMap<String, usize>,
    pub(super) group_positions: HashMap<String, usize>,
    /// Tokens that differ only in time and id, built once.
    pub(crate) templates: Templates,
}

/// A role.
#[derive(Debug)]
pub struct Role {
    /// The key.
    pub id: String,
    /// The `client_id` whose role it is.
    pub client: Option<String>,
    /// The name.
    pub name: String,
    /// Positions of the roles that come with it.
    pub members: Vec<usize>,
}

/// A group.
#[derive(Debug)]
pub struct Group {
    /// Such as `/staff/berlin`.
    pub path: String,
    /// Such as `berlin`.
    pub name: String,
    /// The position of the group above.
    pub parent: Option<usize>,
    /// Inherited by members.
    pub attributes: ListAttributes,
    /// Positions of the roles that members have.
    pub roles: Vec<usize>,
}

/// A client scope.
#[derive(Debug)]
pub struct ClientScope {
    /// The word in `scope`.
    pub name: String,
    /// Whether the word shows.
    pub visible: bool,
    /// Whether only members of an organization get it.
    pub for_members: bool,
    /// What it adds to tokens.
    pub mappers: Vec<Mapper>,
    /// Positions of its roles with all that come with them: only users with one of them get the scope.
    pub roles: BTreeSet<usize>,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    /// The key.
    pub id: String,
    /// Its settings.
    pub document: ClientDocument,
    /// The secrets that it may show: none, one, or two while one is being replaced.
    pub secrets: Vec<LiveSecret>,
    /// What it adds to its tokens.
    pub mappers: Vec<Mapper>,
    /// Scopes that always apply.
    pub default_scopes: Vec<Arc<ClientScope>>,
    /// Scopes that may be asked for.
    pub optional_scopes: Vec<Arc<ClientScope>>,
    /// Positions of the roles that its tokens may carry when full scope is off.
    pub scope_roles: BTreeSet<usize>,
    /// Its user.
    pub service_account: Option<Arc<User>>,
    /// Origins that may call from a browser, `+` resolved.
    pub allowed_origins: Vec<String>,
    /// The host of its redirect URIs, if they agree on one: the sector of pairwise subjects.
    pub sector: Option<String>,
    /// What it calls the context class of a login that was checked now.
    pub acr: String,
}

impl Client {
    /// The OAuth `client_id`.
    pub fn client_id(&self) -> &str {
        &self.document.client_id
    }

    /// A scope that the client lists, by name.
    pub fn scope(&self, name: &str) -> Option<&Arc<ClientScope>> {
        self.default_scopes.iter().chain(&self.optional_scopes).find(|scope| scope.name == name)
    }

    /// Whether a browser at this origin may call.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed == "*" || allowed == origin)
    }
}

/// A user with positions instead of keys.
#[derive(Debug)]
pub struct User {
    /// The key: the `sub` of tokens.
    pub id: String,
    /// The name to sign in with.
    pub username: String,
    /// The address.
    pub email: Option<String>,
    /// Whether the user may sign in.
    pub enabled: bool,
    /// Whether this is a client's own account.
    pub is_service_account: bool,
    /// The alias of the identity provider whose user this is, and not ours.
    pub provider: Option<String>,
    /// Tokens issued before this second are dead.
    pub not_before: i64,
    /// Names, attributes, required actions.
    pub document: UserDocument,
    /// Positions of all roles: given directly, by groups, and those that come with them.
    pub roles: BTreeSet<usize>,
    /// Positions of the groups the user is in.
    pub groups: Vec<usize>,
}

impl Realm {
    /// The issuer of this realm's tokens for callers who reach the server at `base`.
    pub fn issuer(&self, base: &str) -> String {
        let base = self.frontend().unwrap_or(base);
        let mut issuer = String::with_capacity(base.len() + self.name.len() + 8);
        issuer.push_str(base);
        issuer.push_str("/realms/");
        issuer.push_str(&self.name);
        issuer
    }

    /// The realm's own address, when it has one (attribute `frontendUrl`).
    pub fn frontend(&self) -> Option<&str> {
        let url = grantor_model::realm::attribute(&self.settings.attributes, "frontendUrl")?;
        Some(url.trim_end_matches('/')).filter(|url| !url.is_empty())
    }

    /// A switch among the realm's attributes that is off unless it says `true`.
    pub fn switched_on(&self, attribute: &str) -> bool {
        grantor_model::realm::attribute(&self.settings.attributes, attribute) == Some("true")
    }

    /// Roles and all that come with them.
    pub(crate) fn with_members(&self, roles: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> = roles.into_iter().collect();
        while let Some(position) = open.pop() {
            if let Some(role) = self.roles.get(position)
                && found.insert(position)
            {
                open.extend(&role.members);
            }
        }
        found
    }

    /// A stored user as this realm sees it. Keys of roles and groups that are gone are left out.
    ///
    /// # Errors
    /// When the stored document cannot be read.
    pub(crate) fn user(&self, row: UserRow) -> Result<User, serde_json::Error> {
        let document: UserDocument = serde_json::from_str(&row.document)?;
        let groups: Vec<usize> = row.groups.iter().filter_map(|id| self.group_positions.get(id).copied()).collect();
        let given = row.roles.iter().filter_map(|id| self.role_positions.get(id).copied());
        let by_groups =
            groups.iter().flat_map(|group| self.lineage(*group)).flat_map(|group| group.roles.iter().copied());
        let roles = self.with_members(given.chain(by_groups));
        Ok(User {
            id: row.id,
            username: row.username,
            email: row.email,
            enabled: row.enabled,
            is_service_account: row.service_client.is_some(),
            provider: None,
            not_before: row.not_before,
            document,
            roles,
            groups,
        })
    }

    /// What a user lacks of what everybody must have here.
    pub(crate) fn lacks_in_profile(&self, user: &User) -> Option<&str> {
        let has = |name: &str| {
            let value = match name {
                "email" => user.email.as_deref(),
                "firstName" => user.document.first_name.as_deref(),
                "lastName" => user.document.last_name.as_deref(),
                other => user.document.attributes.get(other).and_then(|values| values.first()).map(String::as_str),
            };
            value.is_some_and(|value| !value.is_empty())
        };
        self.required_profile.iter().map(String::as_str).find(|name| !has(name))
    }

    /// The keys of all groups with their positions.
    pub(crate) fn group_keys(&self) -> impl Iterator<Item = (&str, usize)> {
        self.group_positions.iter().map(|(key, position)| (key.as_str(), *position))
    }

    /// A group and those above it.
    pub(crate) fn lineage(&self, group: usize) -> impl Iterator<Item = &Group> {
        let up = std::iter::successors(self.groups.get(group), |group| self.groups.get(group.parent?));
        up.take(DEEPEST)
    }

    /// A user as mappers see it.
    pub(crate) fn subject<'a>(&'a self, user: &'a User) -> Subject<'a> {
        let groups = user.groups.iter().filter_map(|position| {
            let group = self.groups.get(*position)?;
            let attributes = self.lineage(*position).map(|group| &group.attributes).collect();
            Some(GroupFacts { path: &group.path, name: &group.name, attributes })
        });
        Subject {
            id: &user.id,
            username: &user.username,
            email: user.email.as_deref(),
            email_verified: user.document.email_verified,
            first_name: user.document.first_name.as_deref(),
            last_name: user.document.last_name.as_deref(),
            attributes: &user.document.attributes,
            groups: groups.collect(),
        }
    }

    /// The roles of a user that a client's token may carry: all with full scope, else those that the client or a
    /// granted scope lists, and the client's own.
    pub(crate) fn roles_for(&self, user: &User, client: &Client, scopes: &[Arc<ClientScope>]) -> ResolvedRoles {
        let full = client.document.full_scope_allowed;
        let mut resolved = ResolvedRoles::default();
        for position in &user.roles {
            let Some(role) = self.roles.get(*position) else { continue };
            let own = role.client.as_deref() == Some(client.client_id());
            let listed = || client.scope_roles.contains(position) || scopes.iter().any(|s| s.roles.contains(position));
            if full || own || listed() {
                resolved.push(role.client.as_deref(), &role.name);
            }
        }
        resolved
    }
}
