//! A revocation as a value: which tokens are dead before they expire.

use serde::{Deserialize, Serialize};

use crate::Instant;

/// What is named by a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// One token, by `jti`.
    Token,
    /// The tokens of one session, by `sid`; with a client behind a space, those of this client in it that were given
    /// out before a second.
    Session,
    /// The tokens of one client that were given out before a second.
    Client,
    /// The tokens of one user that were given out before a second. The last entry counts, so that it can be taken back.
    User,
    /// The tokens that one key signed, by `kid`.
    Key,
    /// All tokens of a realm that were given out before a second.
    All,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Token, Self::Session, Self::Client, Self::User, Self::Key, Self::All];

    /// As it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
            Self::Client => "client",
            Self::User => "user",
            Self::Key => "key",
            Self::All => "all",
        }
    }

    /// The one of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.name() == name)
    }
}

/// An entry of the log of revocations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Its place in the log; later ones are greater.
    pub position: i64,
    /// The key of the realm whose tokens are meant.
    pub realm_id: String,
    /// What is named.
    pub what: What,
    /// The name: `jti`, `sid`, `client_id`, `sub` or `kid`; empty for all.
    pub subject: String,
    /// For clients, users and all: tokens given out before this second are dead.
    pub before: i64,
    /// When every token that it names has expired, so that it can go.
    pub until: Instant,
}
