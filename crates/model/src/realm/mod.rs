//! A realm as documents: the members of Keycloak's representations that Grantor understands, and the rest kept.
//!
//! Member names and defaults are Keycloak's (`RealmRepresentation` and its parts), since files and the Admin API
//! hold them. What is not understood yet lands in `kept`, is stored, and comes back on export; the importer names it.

mod brute_force;
mod client;
mod identity_provider;
mod password_policy;
mod settings;
mod user;

pub use brute_force::{BruteForce, Factor, Lock, LoginFailures, Strategy};
pub use client::{ClientDocument, ClientScopeDocument, MapperDocument};
pub use identity_provider::{FederatedIdentityDocument, IdentityProviderDocument};
pub use password_policy::PasswordPolicy;
pub use settings::{RealmDocument, SECURITY_HEADERS};
pub use user::{CredentialDocument, UserDocument};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Text values by name, as in Keycloak's `attributes` of realms, clients and scopes. A `null` counts as absent.
pub type Attributes = BTreeMap<String, Option<String>>;

/// Lists of texts by name, as in Keycloak's `attributes` of users, groups and roles.
pub type ListAttributes = BTreeMap<String, Vec<String>>;

/// One attribute, if it is there and not `null`.
pub fn attribute<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.get(name).and_then(Option::as_deref)
}

/// A realm or client role.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleDocument {
    /// The key, opaque; made on import when the file has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Unique among the realm's or the client's roles.
    pub name: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Free lists of texts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: ListAttributes,
    /// The roles that come with this one, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composites: Option<Composites>,
    /// Members not understood yet.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

/// The roles that a composite role brings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Composites {
    /// Names of realm roles.
    pub realm: Vec<String>,
    /// Names of client roles by `clientId`.
    pub client: BTreeMap<String, Vec<String>>,
}

/// A group and the groups below it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupDocument {
    /// The key, opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Unique among its siblings.
    pub name: String,
    /// Lists of texts that members inherit.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: ListAttributes,
    /// Names of realm roles that members have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub realm_roles: Vec<String>,
    /// Names of client roles that members have, by `clientId`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub client_roles: BTreeMap<String, Vec<String>>,
    /// The groups below.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sub_groups: Vec<GroupDocument>,
    /// Members not understood yet.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

/// A component: a signing key, the user profile, a user federation. Each config value is a list of texts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ComponentDocument {
    /// The key, opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// For people; the user profile has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What kind of component, such as `rsa-generated`.
    pub provider_id: String,
    /// Settings; a list of one text each.
    pub config: BTreeMap<String, Vec<String>>,
    /// Members not understood yet.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

impl ComponentDocument {
    /// The first value of a setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.config.get(name).and_then(|values| values.first()).map(String::as_str)
    }

    /// A switch whose absence means `true`, as `active` and `enabled` of keys.
    pub fn switch(&self, name: &str) -> bool {
        self.setting(name) != Some("false")
    }
}

/// Roles that a client or a client scope may put into tokens although full scope is off.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScopeMappingDocument {
    /// The client, by `clientId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Or the client scope, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_scope: Option<String>,
    /// Names of the roles.
    pub roles: Vec<String>,
}
