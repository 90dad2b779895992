//! A token that was verified, and what it says of who calls.

use std::sync::atomic::AtomicI64;

use arc_swap::ArcSwapOption;
use serde_json::{Map, Value};

use crate::identity::Identity;
use crate::issuer::SharedIssuer;
use crate::statement::Made;

/// A token that was verified.
#[derive(Debug)]
pub struct Known {
    pub(crate) token: Box<str>,
    pub(crate) epoch: u64,
    /// Whose it is.
    pub issuer: SharedIssuer,
    pub(crate) kid: Option<String>,
    /// The claims.
    pub claims: Map<String, Value>,
    /// When it has to be asked for again, if it says nothing itself.
    pub(crate) ask_again: Option<i64>,
    pub(crate) times: Times,
    /// The second until which its issuer's word holds, while nobody tells of revocations.
    pub(crate) vouched: AtomicI64,
    /// The gateway's last signed word on it.
    pub(crate) statement: ArcSwapOption<Made>,
    scopes: Vec<String>,
    /// What the upstream is told.
    pub identity: Identity,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) exp: i64,
    pub(crate) nbf: Option<i64>,
    pub(crate) iat: i64,
}

impl Known {
    pub(crate) fn of(
        epoch: u64,
        token: &str,
        issuer: SharedIssuer,
        kid: Option<String>,
        claims: Map<String, Value>,
        times: Times,
        ask_again: Option<i64>,
    ) -> Self {
        let scopes = match claims.get("scope").or_else(|| claims.get("scp")) {
            Some(Value::String(text)) => text.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect(),
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let identity = Identity::default();
        let vouched = AtomicI64::new(i64::MIN);
        let statement = ArcSwapOption::empty();
        let token = token.into();
        let mut known =
            Self { token, epoch, issuer, kid, claims, ask_again, times, vouched, statement, scopes, identity };
        known.identity = Identity::of(&known);
        known
    }

    /// The token itself.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The client that got it (`azp`, or `client_id` as in RFC 9068).
    pub fn client(&self) -> Option<&str> {
        let claim = self.claims.get("azp").or_else(|| self.claims.get("client_id"));
        claim.and_then(Value::as_str)
    }

    /// Its scopes.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    fn listed(value: Option<&Value>) -> impl Iterator<Item = &str> {
        value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// Roles of the realm: `realm_access.roles`, and `roles` where a token has them at the top.
    fn realm_roles(&self) -> impl Iterator<Item = &str> {
        let nested = self.claims.get("realm_access").and_then(|access| access.get("roles"));
        Self::listed(nested).chain(Self::listed(self.claims.get("roles")))
    }

    pub(crate) fn has_role(&self, role: &str) -> bool {
        if self.realm_roles().any(|own| own == role) {
            return true;
        }
        let Some((client, role)) = role.split_once(':') else { return false };
        let access = self.claims.get("resource_access").and_then(|access| access.get(client));
        Self::listed(access.and_then(|access| access.get("roles"))).any(|own| own == role)
    }

    /// All roles, those of clients behind the client's name.
    pub fn roles(&self) -> Vec<String> {
        let mut roles: Vec<String> = self.realm_roles().map(str::to_owned).collect();
        let clients = self.claims.get("resource_access").and_then(Value::as_object);
        for (client, access) in clients.into_iter().flatten() {
            roles.extend(Self::listed(access.get("roles")).map(|role| format!("{client}:{role}")));
        }
        roles
    }

    /// A claim as texts; a dot leads into an object.
    pub(crate) fn claim(&self, name: &str) -> Vec<String> {
        let whole = self.claims.get(name);
        let nested = || {
            name.split_once('.').and_then(|(first, rest)| {
                rest.split('.').try_fold(self.claims.get(first)?, |value, part| value.get(part))
            })
        };
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            _ => None,
        };
        match whole.or_else(nested) {
            Some(Value::Array(all)) => all.iter().filter_map(text).collect(),
            Some(one) => text(one).into_iter().collect(),
            None => Vec::new(),
        }
    }
}
