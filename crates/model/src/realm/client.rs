//! Clients, client scopes and their protocol mappers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Attributes, attribute};

/// Keycloak's `ClientRepresentation`. The secret is a member of the file and never of the stored document.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientDocument {
    /// The key, opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The OAuth `client_id`.
    pub client_id: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For people, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A client that is off is treated as unknown.
    pub enabled: bool,
    /// `openid-connect` or `saml`; absent is read as `openid-connect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The secret in clear, or `**********` in a masked export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// `client-secret`, `client-jwt`, `client-secret-jwt` or `client-x509`.
    pub client_authenticator_type: String,
    /// Whether the client has no credentials. Absent means yes when `protocol` is given, as Keycloak has it.
    pub public_client: Option<bool>,
    /// A client that only receives tokens.
    pub bearer_only: bool,
    /// Whether people are asked before the client gets a token.
    pub consent_required: bool,
    /// Authorization code.
    pub standard_flow_enabled: bool,
    /// Implicit and hybrid.
    pub implicit_flow_enabled: bool,
    /// Password grant. Absent means yes when `protocol` is given, as Keycloak has it.
    pub direct_access_grants_enabled: Option<bool>,
    /// Client credentials grant.
    pub service_accounts_enabled: bool,
    /// Whether tokens may carry every role of the subject.
    pub full_scope_allowed: bool,
    /// Exact URIs, or with one `*` at the end.
    pub redirect_uris: Vec<String>,
    /// Origins that may call from a browser; `+` stands for those of the redirect URIs, `*` for any. Absent is read as `+`.
    pub web_origins: Option<Vec<String>>,
    /// What relative URIs are resolved against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_url: Option<String>,
    /// Where the client itself is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Tokens issued before this second are dead.
    pub not_before: i64,
    /// Settings without a member of their own.
    pub attributes: Attributes,
    /// What this client adds to its tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub protocol_mappers: Vec<MapperDocument>,
    /// Client scopes that always apply; absent means the realm's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_client_scopes: Option<Vec<String>>,
    /// Client scopes that may be asked for; absent means the realm's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional_client_scopes: Option<Vec<String>>,
    /// Members not understood yet.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

impl Default for ClientDocument {
    fn default() -> Self {
        Self {
            id: None,
            client_id: String::new(),
            name: None,
            description: None,
            enabled: true,
            protocol: None,
            secret: None,
            client_authenticator_type: "client-secret".to_owned(),
            public_client: None,
            bearer_only: false,
            consent_required: false,
            standard_flow_enabled: true,
            implicit_flow_enabled: false,
            direct_access_grants_enabled: None,
            service_accounts_enabled: false,
            full_scope_allowed: true,
            redirect_uris: Vec::new(),
            web_origins: None,
            root_url: None,
            base_url: None,
            not_before: 0,
            attributes: Attributes::new(),
            protocol_mappers: Vec::new(),
            default_client_scopes: None,
            optional_client_scopes: None,
            kept: Map::new(),
        }
    }
}

impl ClientDocument {
    /// Whether the client has no credentials of its own.
    pub fn is_public(&self) -> bool {
        self.public_client.unwrap_or(self.protocol.is_some()) && !self.bearer_only
    }

    /// Whether the password grant is open to the client.
    pub fn allows_direct_access(&self) -> bool {
        self.direct_access_grants_enabled.unwrap_or(self.protocol.is_some())
    }

    /// Whether tokens of this protocol are ours to issue.
    pub fn is_openid(&self) -> bool {
        self.protocol.as_deref().is_none_or(|protocol| protocol == "openid-connect")
    }

    /// One attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        attribute(&self.attributes, name)
    }

    /// An attribute that is on only when it says `true`.
    pub fn switched_on(&self, name: &str) -> bool {
        self.attribute(name) == Some("true")
    }

    /// An attribute as a number of seconds; absent, empty or not a number gives `None`.
    pub fn seconds(&self, name: &str) -> Option<i64> {
        self.attribute(name).and_then(|text| text.parse().ok())
    }
}

/// A client scope: a name in `scope` with the mappers and roles that come with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientScopeDocument {
    /// The key, opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The word in `scope`.
    pub name: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `openid-connect` or `saml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `include.in.token.scope` and what consent pages show.
    pub attributes: Attributes,
    /// What this scope adds to tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub protocol_mappers: Vec<MapperDocument>,
    /// Members not understood yet.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

impl ClientScopeDocument {
    /// Whether the word shows in the answer's and the token's `scope`; absent means yes.
    pub fn is_visible(&self) -> bool {
        attribute(&self.attributes, "include.in.token.scope") != Some("false")
    }
}

/// A protocol mapper as it is configured; `mapper` compiles it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MapperDocument {
    /// The key, opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// For people.
    pub name: String,
    /// `openid-connect` or `saml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The kind, such as `oidc-usermodel-attribute-mapper`.
    pub protocol_mapper: String,
    /// Its settings.
    pub config: Attributes,
    /// Members not understood yet.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}
