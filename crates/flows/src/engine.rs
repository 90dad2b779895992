//! What lives as long as the process ([`Engine`]) and what one request brings ([`Call`]).

use std::net::IpAddr;
use std::sync::Arc;

use grantor_model::{Error, Instant};
use grantor_store::{Store, StoreError};

use crate::client_secrets::SecretUses;
use crate::decisions::Decisions;
use crate::entropy::Entropy;
use crate::fetch::Fetch;
use crate::key_sets::KeySets;
use crate::keys::Ahead;
use crate::passwords::Passwords;
use crate::realms::Realms;
use crate::signatures::Signatures;
use crate::vault::Vault;

/// What lives as long as the process.
pub struct Engine {
    /// What is remembered.
    pub store: Store,
    /// The realms in use, as snapshots.
    pub realms: Realms,
    /// The workers that hash passwords.
    pub passwords: Passwords,
    /// The master key.
    pub vault: Arc<Vault>,
    /// The dice.
    pub entropy: Entropy,
    /// The signatures so far.
    pub signatures: Signatures,
    /// Refusals on their way into the store.
    pub decisions: Arc<Decisions>,
    /// RSA keys on their way.
    pub keys_ahead: Ahead,
    /// How often secrets of clients are used.
    pub secret_uses: SecretUses,
    /// Key sets of others.
    pub key_sets: Arc<KeySets>,
    /// The way to others.
    pub fetch: Arc<dyn Fetch>,
    /// What is configured for assertions.
    pub assertions: crate::assertions::Settings,
    /// What WSO2's face is configured with.
    pub wso2: crate::wso2::Settings,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Engine({:?})", self.store)
    }
}

/// What one request brings.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The moment of the request: read once, at the edge.
    pub now: Instant,
    /// The caller, after trusted proxies.
    pub address: IpAddr,
    /// Whether the caller came over TLS, after trusted proxies.
    pub secure: bool,
    /// Where this server is reached, without a slash at the end: `https://id.example`.
    pub base: &'a str,
    /// The `Origin` header, when a browser calls.
    pub origin: Option<&'a str>,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
}

/// A failing store as an error for the caller: lost databases come back, the rest is a defect.
pub(crate) fn store_error(error: StoreError) -> Error {
    match error {
        StoreError::Unavailable(reason) => Error::unavailable(reason),
        // What the row belongs to was removed while the request was under way: the next one will see that.
        StoreError::Orphan => Error::unavailable("what the request speaks of was removed meanwhile"),
        other => Error::internal(other.to_string()),
    }
}
