//! Identity providers, and who users are there.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Attributes, attribute};

/// Keycloak's `IdentityProviderRepresentation`. What the provider knows this server by (`clientSecret`) is a setting of
/// the file and never of the stored document.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IdentityProviderDocument {
    /// The key, opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_id: Option<String>,
    /// The name in URLs and settings, unique in the realm.
    pub alias: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// `oidc`, `jwt-authorization-grant`, `saml`, `google`, …
    pub provider_id: String,
    /// A provider that is off is treated as unknown.
    pub enabled: bool,
    /// Its settings.
    pub config: Attributes,
    /// Members not understood yet.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

impl Default for IdentityProviderDocument {
    fn default() -> Self {
        Self {
            internal_id: None,
            alias: String::new(),
            display_name: None,
            provider_id: "oidc".to_owned(),
            enabled: true,
            config: Attributes::new(),
            kept: Map::new(),
        }
    }
}

impl IdentityProviderDocument {
    /// One setting, unless it is empty.
    pub fn setting(&self, name: &str) -> Option<&str> {
        attribute(&self.config, name).filter(|value| !value.is_empty())
    }

    /// A setting that is on only when it says `true`.
    pub fn switched_on(&self, name: &str) -> bool {
        self.setting(name) == Some("true")
    }
}

/// Who a user is at an identity provider.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FederatedIdentityDocument {
    /// The provider's alias.
    pub identity_provider: String,
    /// The subject there.
    pub user_id: String,
    /// The name there, for people.
    pub user_name: String,
}
