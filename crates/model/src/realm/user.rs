//! Users and their credentials.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{FederatedIdentityDocument, ListAttributes};

/// Keycloak's `UserRepresentation`. Credentials are members of the file and never of the stored document.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserDocument {
    /// The `sub` of tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Lower case, unique in the realm.
    pub username: String,
    /// The address, lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether the address was proved.
    pub email_verified: bool,
    /// Given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Whether the user may sign in.
    pub enabled: bool,
    /// Milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_timestamp: Option<i64>,
    /// Tokens issued before this second are dead.
    pub not_before: i64,
    /// Free lists of texts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: ListAttributes,
    /// What has to be done at the next login, such as `UPDATE_PASSWORD`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required_actions: Vec<String>,
    /// The client whose service account this is, by `clientId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_client_id: Option<String>,
    /// Passwords, one-time codes and the like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<CredentialDocument>,
    /// Names of realm roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub realm_roles: Vec<String>,
    /// Names of client roles by `clientId`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub client_roles: BTreeMap<String, Vec<String>>,
    /// Who the user is at identity providers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub federated_identities: Vec<FederatedIdentityDocument>,
    /// Paths of groups, such as `/staff/berlin`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Members not understood yet.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

/// A credential in any of the layouts that Keycloak reads: plain, hashed, and hashed as before version 8.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CredentialDocument {
    /// The key, opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `password`, `otp`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// A plain password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_date: Option<i64>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_label: Option<String>,
    /// JSON in a text: the secret part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_data: Option<String>,
    /// JSON in a text: the open part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_data: Option<String>,
    /// Before version 8: the hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashed_salted_value: Option<String>,
    /// Before version 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Before version 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_iterations: Option<i64>,
    /// Before version 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Members not understood yet.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

impl std::fmt::Debug for CredentialDocument {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "CredentialDocument {{ kind: {:?}, [redacted] }}", self.kind)
    }
}
