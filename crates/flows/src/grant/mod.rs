//! Grants: each proves something and says what may be issued. None of them mints.

pub mod client_credentials;
pub(crate) mod jwt_bearer;
pub mod password;
pub mod refresh_token;
mod scopes;
pub(crate) mod taken_over;

pub use scopes::GrantedScopes;
pub(crate) use scopes::granted as scopes_of;

use std::sync::Arc;

use grantor_model::{Error, Instant};
use grantor_store::sessions::{ChainRow, ClientSessionRow, SessionRow};

use crate::engine::{Call, Engine};
use crate::realms::{Client, Realm, User};
use crate::sessions::Limits;

/// The grants of the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 6749 section 4.3.
    Password,
    /// RFC 6749 section 6.
    RefreshToken,
    /// RFC 7523 section 2.1.
    JwtBearer,
}

impl Grant {
    const ALL: [Self; 4] = [Self::ClientCredentials, Self::Password, Self::RefreshToken, Self::JwtBearer];

    /// The value of `grant_type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
            Self::RefreshToken => "refresh_token",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }

    /// The grant of that name; names are case-sensitive.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.name() == name)
    }

    /// The names of those that this server offers.
    pub fn offered(engine: &Engine) -> Vec<&'static str> {
        Self::ALL.into_iter().filter(|grant| grant.is_offered(engine)).map(Self::name).collect()
    }

    /// Whether this server offers it.
    pub(crate) fn is_offered(self, engine: &Engine) -> bool {
        self != Self::JwtBearer || engine.assertions.offered
    }
}

/// What a grant proved: everything that issuing needs to know.
#[derive(Debug)]
pub struct Granted {
    /// Who the tokens speak of.
    pub user: Arc<User>,
    /// Who gets them.
    pub client: Arc<Client>,
    /// What they are good for.
    pub scopes: GrantedScopes,
    /// The session they belong to.
    pub session: Session,
    /// The two letters of the grant in `jti`.
    pub letters: &'static str,
    /// The refresh token to give out.
    pub refresh: Refresh,
}

/// The session that tokens belong to.
#[derive(Debug)]
pub enum Session {
    /// None is remembered: the tokens stand for themselves.
    Transient,
    /// A session that begins now; issuing stores it.
    New(SessionRow, ClientSessionRow),
    /// A session that was there.
    Known(SessionRow, ClientSessionRow),
}

/// The refresh token to give out.
#[derive(Debug)]
pub enum Refresh {
    /// None.
    No,
    /// A token; its `scope` is the whole of what was granted first.
    Yes {
        /// All granted scopes by name, also hidden ones.
        scope: String,
        /// The chain it belongs to where the realm rotates, and whether it has to be stored.
        chain: Option<(ChainRow, ChainState)>,
        /// The `jti` and the moment of issue, when both were decided before: a successor given out again.
        successor: Option<(String, Instant)>,
    },
}

/// Whether a chain is already in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainState {
    /// It begins with this token.
    Begins,
    /// The grant moved it on.
    Moved,
}

/// A session that begins now.
pub(crate) fn new_session(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Client,
    user_id: &str,
    offline: bool,
) -> Result<Session, Error> {
    let id = engine.entropy.session_id(call.now)?;
    let session = SessionRow {
        id: id.clone(),
        offline,
        realm_id: realm.id.clone(),
        user_id: user_id.to_owned(),
        started: call.now,
        used: call.now,
        ends: Limits::of(&realm.settings, client, offline).sweep_at(call.now),
    };
    let part =
        ClientSessionRow { session_id: id, offline, client_id: client.id.clone(), started: call.now, used: call.now };
    Ok(Session::New(session, part))
}
