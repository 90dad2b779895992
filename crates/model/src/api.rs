//! An API behind the gateway, as people write it down: in a routes file, or by `grantor api`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An API: where calls to it come in, where they go, and what they must prove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiDocument {
    /// Its name, unique at a gateway.
    pub name: String,
    /// The realm of this server whose tokens count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// Other issuers whose tokens count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<IssuerDocument>,
    /// What `aud` of a token must hold; the name where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Whether tokens of the realm without any `aud` count as well.
    #[serde(skip_serializing_if = "is_false")]
    pub without_audience: bool,
    /// Names in the `Host` header; `*.example.org` stands for all below. None at all stands for every name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The path below which it is reached.
    pub path: String,
    /// Whether that path is left out towards the upstream.
    #[serde(skip_serializing_if = "is_false")]
    pub strip_path: bool,
    /// Where it runs: `http://`, `https://`, or `h2c://` for HTTP/2 without TLS. Several take turns.
    pub upstreams: Vec<String>,
    /// A path that answers 2xx when an upstream is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// How the upstream gets the token.
    pub pass_token: PassToken,
    /// Whether the upstream gets the gateway's own signed word on who calls.
    #[serde(skip_serializing_if = "is_false")]
    pub identity_jwt: bool,
    /// Seconds that an upstream may take to begin its answer.
    pub timeout_seconds: u32,
    /// The most bytes of a request's body; 0 is no limit.
    pub body_bytes: u64,
    /// How often it may be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateDocument>,
    /// What happens when this gateway has not heard of revocations for a while.
    pub when_stale: WhenStale,
    /// Who may do what; the first that fits method and path decides. What none fits is refused.
    pub rules: Vec<RuleDocument>,
}

impl Default for ApiDocument {
    fn default() -> Self {
        Self {
            name: String::new(),
            realm: None,
            issuers: Vec::new(),
            audience: None,
            without_audience: false,
            hosts: Vec::new(),
            path: "/".to_owned(),
            strip_path: false,
            upstreams: Vec::new(),
            health: None,
            pass_token: PassToken::Authorization,
            identity_jwt: false,
            timeout_seconds: 30,
            body_bytes: 10 * 1024 * 1024,
            rate: None,
            when_stale: WhenStale::AcceptShort,
            rules: Vec::new(),
        }
    }
}

impl ApiDocument {
    /// What `aud` must hold.
    pub fn audience(&self) -> &str {
        self.audience.as_deref().unwrap_or(&self.name)
    }
}

/// An issuer that is no realm of this server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IssuerDocument {
    /// Its `iss`.
    pub issuer: String,
    /// Where its keys are; found by discovery where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// The algorithms that it may sign with; RS256, PS256, ES256 and EdDSA where nothing is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<String>,
    /// Where it is asked about tokens that say nothing themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection: Option<IntrospectionDocument>,
}

/// Where an issuer is asked about opaque tokens (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionDocument {
    /// Its introspection endpoint.
    pub url: String,
    /// The client that asks.
    pub client_id: String,
    /// The file with its secret, at the gateway.
    pub client_secret_file: String,
}

/// Who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleDocument {
    /// Methods; none at all stands for every one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// A path below that of the API: `/orders/{id}`, `/files/*` (one segment), `/docs/**` (whatever follows).
    pub path: String,
    /// Whether nobody is asked for a token.
    #[serde(skip_serializing_if = "is_false")]
    pub public: bool,
    /// Whether the rule refuses everybody.
    #[serde(skip_serializing_if = "is_false")]
    pub deny: bool,
    /// Scopes, all of which the token must have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Roles, one of which the token must have: `admin` is a role of the realm, `orders:clerk` one of the client orders.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Clients, one of which must have got the token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<String>,
    /// Claims, each with the values that it may have; a dot leads into an object.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Vec<String>>,
    /// How often what the rule allows may be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateDocument>,
}

/// How often something may be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateDocument {
    /// So many requests, at once or spread.
    pub requests: u32,
    /// In so many seconds.
    #[serde(default = "one")]
    pub seconds: u32,
    /// Who shares the limit.
    #[serde(default)]
    pub by: RateBy,
}

const fn one() -> u32 {
    1
}

/// Who shares a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateBy {
    /// Each client has its own; without a token, each address.
    #[default]
    Client,
    /// Each user has its own; without a token, each address.
    User,
    /// Each address has its own.
    Address,
    /// All together.
    All,
}

/// How the upstream gets the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PassToken {
    /// As it came.
    #[default]
    Authorization,
    /// In `X-Access-Token` instead of `Authorization`.
    XAccessToken,
    /// Not at all.
    None,
}

/// What happens to calls while a gateway has not heard of revocations for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenStale {
    /// Tokens count as before.
    Accept,
    /// Only tokens that live five minutes at most count.
    #[default]
    AcceptShort,
    /// A token counts when its issuer says so, and for half a minute after that.
    Introspect,
    /// None counts.
    Refuse,
}

fn is_false(value: &bool) -> bool {
    !value
}
