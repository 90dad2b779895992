//! The settings of a realm.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Attributes, BruteForce};

/// Keycloak's `RealmRepresentation` without its lists of clients, users, roles, groups, scopes and components.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RealmDocument {
    /// The realm's name in URLs.
    pub realm: String,
    /// The name on pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// A realm that is off gives no tokens; its documents stay readable.
    pub enabled: bool,
    /// `all`, `external` (private addresses may use plain HTTP) or `none`.
    pub ssl_required: String,
    /// Seconds that an access token lives.
    pub access_token_lifespan: i64,
    /// Seconds without use after which a session ends.
    pub sso_session_idle_timeout: i64,
    /// Seconds after which a session ends in any case.
    pub sso_session_max_lifespan: i64,
    /// The same for offline sessions.
    pub offline_session_idle_timeout: i64,
    /// Whether offline sessions have a maximum at all.
    pub offline_session_max_lifespan_enabled: bool,
    /// Seconds after which an offline session ends, if it has a maximum.
    pub offline_session_max_lifespan: i64,
    /// Seconds; 0 inherits the session's.
    pub client_session_idle_timeout: i64,
    /// Seconds; 0 inherits the session's.
    pub client_session_max_lifespan: i64,
    /// Seconds; 0 inherits the offline session's.
    pub client_offline_session_idle_timeout: i64,
    /// Seconds; 0 inherits the offline session's.
    pub client_offline_session_max_lifespan: i64,
    /// Whether a refresh token is replaced at each use.
    pub revoke_refresh_token: bool,
    /// How often a refresh token may be used again where it is replaced.
    pub refresh_token_max_reuse: i64,
    /// Tokens issued before this second are dead.
    pub not_before: i64,
    /// Whether users may sign in by e-mail address.
    pub login_with_email_allowed: bool,
    /// Whether two users may share an address.
    pub duplicate_emails_allowed: bool,
    /// Whether people may register themselves.
    pub registration_allowed: bool,
    /// The algorithm of tokens when the client names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_signature_algorithm: Option<String>,
    /// What guessing passwords leads to.
    #[serde(flatten)]
    pub brute_force: BruteForce,
    /// Such as `length(8) and hashIterations(5)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_policy: Option<String>,
    /// One-time codes count this many steps beside the current one.
    pub otp_policy_look_ahead_window: i64,
    /// Whether a time-based code may be used again while it is current.
    pub otp_policy_code_reusable: bool,
    /// Security headers by Keycloak's names.
    pub browser_security_headers: BTreeMap<String, String>,
    /// Client scopes that new clients get.
    pub default_default_client_scopes: Vec<String>,
    /// Client scopes that new clients may ask for.
    pub default_optional_client_scopes: Vec<String>,
    /// Settings without a member of their own.
    pub attributes: Attributes,
    /// Members not understood yet.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

impl Default for RealmDocument {
    fn default() -> Self {
        Self {
            realm: String::new(),
            display_name: None,
            enabled: false,
            ssl_required: "external".to_owned(),
            access_token_lifespan: 300,
            sso_session_idle_timeout: 1800,
            sso_session_max_lifespan: 36_000,
            offline_session_idle_timeout: 2_592_000,
            offline_session_max_lifespan_enabled: false,
            offline_session_max_lifespan: 5_184_000,
            client_session_idle_timeout: 0,
            client_session_max_lifespan: 0,
            client_offline_session_idle_timeout: 0,
            client_offline_session_max_lifespan: 0,
            revoke_refresh_token: false,
            refresh_token_max_reuse: 0,
            not_before: 0,
            login_with_email_allowed: true,
            duplicate_emails_allowed: false,
            registration_allowed: false,
            default_signature_algorithm: None,
            brute_force: BruteForce::default(),
            password_policy: None,
            otp_policy_look_ahead_window: 1,
            otp_policy_code_reusable: false,
            browser_security_headers: standard_security_headers(),
            default_default_client_scopes: Vec::new(),
            default_optional_client_scopes: Vec::new(),
            attributes: Attributes::new(),
            kept: Map::new(),
        }
    }
}

/// The security headers of a new realm, under the names of their settings.
pub const SECURITY_HEADERS: [(&str, &str); 7] = [
    ("contentSecurityPolicy", "frame-src 'self'; frame-ancestors 'self'; object-src 'none';"),
    ("contentSecurityPolicyReportOnly", ""),
    ("referrerPolicy", "no-referrer"),
    ("strictTransportSecurity", "max-age=31536000; includeSubDomains"),
    ("xContentTypeOptions", "nosniff"),
    ("xFrameOptions", "SAMEORIGIN"),
    ("xRobotsTag", "none"),
];

fn standard_security_headers() -> BTreeMap<String, String> {
    SECURITY_HEADERS.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
