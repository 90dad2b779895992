//! Plain login: a user's name and password for a token, for APIs whose callers know nothing of OAuth.
//!
//! A realm takes it when one of its clients is set up for it: the attribute [`LOGIN`] says so and how the token is
//! handed over. That client's scopes, mappers, lifespan and algorithm are those of the tokens; it needs no other right.
//! The token belongs to a session like every user's, so that it can be revoked, and no refresh token comes with it.

use std::sync::Arc;

use grantor_model::{Code, Error, Kind, Refused, Trail};
use serde_json::Value;

use crate::client_auth;
use crate::engine::{Call, Engine};
use crate::grant::{Granted, Refresh, new_session, password, scopes_of};
use crate::issue;
use crate::parameters::Parameters;
use crate::realms::{Client, Realm};
use crate::token::{self, Seen};

/// The client attribute that switches plain login on: `body`, `header` or `cookie`.
pub const LOGIN: &str = "grantor.login";

/// How the token reaches the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// In the JSON body.
    Body,
    /// In the JSON body and in the response header `Authorization`.
    Header,
    /// In a cookie that scripts cannot read, and nowhere else.
    Cookie,
}

impl Delivery {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Body, Self::Header, Self::Cookie];

    /// As the attribute says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }

    /// The delivery of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|delivery| delivery.name() == name)
    }
}

/// A login that succeeded.
#[derive(Debug)]
pub struct LoggedIn {
    /// The access token.
    pub token: String,
    /// Seconds that it lives.
    pub expires_in: i64,
    /// How it is handed over.
    pub delivery: Delivery,
}

/// Checks a name and a password and issues a token. A user who is unknown, one who is off and one with another
/// password are told the same, after the same work.
///
/// # Errors
/// A refusal with the checks in order.
pub async fn login(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Arc<Realm>,
    parameters: &Parameters,
    seen: &mut Seen,
) -> Result<LoggedIn, Refused> {
    let mut trail = Trail::new();
    seen.about.realm.clone_from(&realm.name);
    seen.about.endpoint = "login";
    seen.about.grant = Some("login".to_owned());
    token::open(call, realm, &mut trail)?;
    let Some((client, delivery)) = set_up(realm) else {
        let error = Error::new(Kind::NotFound, Code::InvalidRequest, "This realm has no plain login");
        return Err(trail.refuse("plain login", "a client that is set up for it", "none", error));
    };
    seen.about.client = Some(client.client_id().to_owned());
    trail.found("client", client.client_id());
    // A page of this server needs no permission of the client's.
    if call.origin.is_some_and(|origin| origin != origin_of(call.base)) {
        token::origin(call, &client, seen, &mut trail)?;
    }
    token::no_repetition(parameters, &mut trail)?;
    client_auth::unbound(&client, &mut trail)?;
    for name in ["username", "password"] {
        if parameters.get(name).is_none_or(str::is_empty) {
            let error = Error::request(format!("The field '{name}' is missing"));
            return Err(trail.refuse("fields", "username and password", &format!("no {name}"), error));
        }
    }
    let username = parameters.get("username").unwrap_or_default();
    let user = password::authenticated(engine, call, realm, username, parameters, &mut trail).await;
    let user = user.map_err(|refused| refused.reworded(wrong))?;
    let scopes = scopes_of(&client, &user, &[]);
    let session = new_session(engine, call, realm, &client, &user.id, false).map_err(|error| trail.fail(error))?;
    let granted = Granted { user: Arc::new(user), client, scopes, session, letters: "ro", refresh: Refresh::No };
    let answer = issue::issue(engine, call, realm, granted).await.map_err(|error| trail.fail(error))?;
    let parts = parts(&answer.body).ok_or_else(|| trail.fail(Error::internal("an answer without a token")));
    let (token, expires_in) = parts?;
    Ok(LoggedIn { token, expires_in, delivery })
}

/// The client that plain login is set up with: the first by name, should there be several.
fn set_up(realm: &Realm) -> Option<(Arc<Client>, Delivery)> {
    let clients = realm.clients.values().filter(|client| client.document.enabled);
    let able = clients.filter_map(|client| Some((client, Delivery::parse(client.document.attribute(LOGIN)?)?)));
    let (client, delivery) = able.min_by(|(one, _), (other, _)| one.client_id().cmp(other.client_id()))?;
    Some((client.clone(), delivery))
}

/// Scheme and authority of a URL.
fn origin_of(url: &str) -> &str {
    let path = url.find("://").and_then(|at| url.get(at + 3..)?.find('/').map(|slash| at + 3 + slash));
    path.and_then(|at| url.get(..at)).unwrap_or(url)
}

/// What is said about the account at the token endpoint is not said here.
fn wrong(error: Error) -> Error {
    if error.code != Code::InvalidGrant {
        return error;
    }
    let told = Error::new(Kind::Unauthenticated, Code::InvalidGrant, "Wrong user name or password");
    Error { reason: error.reason, ..told }
}

/// The token and its seconds out of the answer of the token endpoint.
fn parts(body: &str) -> Option<(String, i64)> {
    let body: Value = serde_json::from_str(body).ok()?;
    Some((body.get("access_token")?.as_str()?.to_owned(), body.get("expires_in")?.as_i64()?))
}

#[cfg(test)]
mod tests {
    use super::origin_of;

    #[test]
    fn an_origin_is_scheme_and_authority() {
        assert_eq!(origin_of("https://id.example/auth/x"), "https://id.example");
        assert_eq!(origin_of("http://localhost:8080"), "http://localhost:8080");
        assert_eq!(origin_of(""), "");
    }
}
