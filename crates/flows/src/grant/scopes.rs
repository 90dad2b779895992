//! Which scopes a request is granted.

use std::sync::Arc;

use grantor_model::scope::{self, OFFLINE_ACCESS, OPENID};
use grantor_model::{Code, Error, Kind, Refused, Trail};

use crate::realms::{Client, ClientScope, User};

/// The scopes of a token.
#[derive(Clone, Debug)]
pub struct GrantedScopes {
    /// Whether `openid` was asked for: it makes an ID token.
    pub openid: bool,
    /// Client scopes, defaults first.
    pub scopes: Vec<Arc<ClientScope>>,
}

impl GrantedScopes {
    /// Whether an offline session was asked for and granted.
    pub fn offline(&self) -> bool {
        self.scopes.iter().any(|scope| scope.name == OFFLINE_ACCESS)
    }

    /// The words of the answer's and the access token's `scope`.
    pub fn visible(&self) -> String {
        self.words(|scope| scope.visible)
    }

    /// The words of a refresh token's `scope`: hidden scopes as well.
    pub fn all(&self) -> String {
        self.words(|_| true)
    }

    fn words(&self, shows: impl Fn(&ClientScope) -> bool) -> String {
        let shown = self.scopes.iter().filter(|scope| shows(scope)).map(|scope| scope.name.as_str());
        let words: Vec<&str> = self.openid.then_some(OPENID).into_iter().chain(shown).collect();
        words.join(" ")
    }
}

/// The scopes that were asked for, each of which the client lists.
///
/// # Errors
/// `invalid_scope`.
pub(super) fn requested<'a>(
    client: &Client,
    parameter: Option<&'a str>,
    trail: &mut Trail,
) -> Result<Vec<&'a str>, Refused> {
    let text = parameter.unwrap_or_default();
    let known = |name: &str| name == OPENID || client.scope(name).is_some();
    match scope::requested(parameter) {
        Ok(names) if names.iter().all(|name| known(name)) => {
            trail.found("scope", text);
            Ok(names)
        }
        _ => {
            let listed = client.default_scopes.iter().chain(&client.optional_scopes).map(|scope| scope.name.as_str());
            let expected = listed.fold(format!("words out of: {OPENID}"), |text, name| text + " " + name);
            let error = Error::new(Kind::Request, Code::InvalidScope, format!("Invalid scopes: {text}"));
            Err(trail.refuse("scope", expected, text, error))
        }
    }
}

/// The client's default scopes and what was asked for, without scopes whose roles the user lacks.
pub(crate) fn granted(client: &Client, user: &User, requested: &[&str]) -> GrantedScopes {
    let asked = client.optional_scopes.iter().filter(|scope| requested.contains(&scope.name.as_str()));
    let open = |scope: &&Arc<ClientScope>| {
        !scope.for_members && (scope.roles.is_empty() || !scope.roles.is_disjoint(&user.roles))
    };
    GrantedScopes {
        openid: requested.contains(&OPENID),
        scopes: client.default_scopes.iter().chain(asked).filter(open).cloned().collect(),
    }
}
