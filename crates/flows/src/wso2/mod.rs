//! WSO2 Identity Server's face: the same realms, clients and grants, told in its words.
//!
//! A tenant is a realm and an application is a client. What differs is how tokens are given out: an access token is
//! opaque unless the application wants a JWT, refresh tokens are always opaque, and both live in one table, where a
//! grant's tokens end together.

mod application;
mod mint;
mod read;
mod token;
mod words;

pub mod manage;

pub use application::{Application, setting};
pub(crate) use read::claims_of;
pub use read::{Introspected, introspect, revoke, userinfo};
pub use token::token;

use crate::realms::Realm;

/// What the face is configured with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The realm of URLs that name none.
    pub default_realm: String,
    /// Audiences of applications that list none.
    pub audiences: Vec<String>,
}

/// The tenant that is never named in URLs.
pub const SUPER_TENANT: &str = "carbon.super";

impl Settings {
    /// The realm that a request is for, by the tenant in its path and the one in its query. `None` when they disagree.
    pub fn realm_of<'a>(&'a self, in_path: Option<&'a str>, in_query: Option<&'a str>) -> Option<&'a str> {
        let named = |tenant: &'a str| if tenant == SUPER_TENANT { self.default_realm.as_str() } else { tenant };
        match (in_path.map(named), in_query.map(named)) {
            (Some(one), Some(other)) if one != other => None,
            (Some(one), _) | (None, Some(one)) => Some(one),
            (None, None) => Some(&self.default_realm),
        }
    }

    /// Where a realm's endpoints are, without a slash at the end.
    pub fn oauth2_of(&self, realm: &Realm, base: &str) -> String {
        let base = realm.frontend().unwrap_or(base);
        if realm.name == self.default_realm {
            format!("{base}/oauth2")
        } else {
            format!("{base}/t/{}/oauth2", realm.name)
        }
    }

    /// The issuer of a realm's tokens on this face: its token endpoint.
    pub fn issuer_of(&self, realm: &Realm, base: &str) -> String {
        self.oauth2_of(realm, base) + "/token"
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn path_and_query_must_agree() {
        let settings = Settings { default_realm: "demo".to_owned(), audiences: Vec::new() };
        assert_eq!(settings.realm_of(None, None), Some("demo"));
        assert_eq!(settings.realm_of(Some("a.example"), None), Some("a.example"));
        assert_eq!(settings.realm_of(None, Some("a.example")), Some("a.example"));
        assert_eq!(settings.realm_of(Some("a"), Some("a")), Some("a"));
        assert_eq!(settings.realm_of(Some("a"), Some("b")), None);
        assert_eq!(settings.realm_of(Some("carbon.super"), Some("demo")), Some("demo"));
    }
}
