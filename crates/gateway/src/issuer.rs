//! Who signs the tokens: a realm of this server, or somebody else's server. The gateway knows neither; it is handed
//! [`Issuer`]s and asks them.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use grantor_model::Instant;
use grantor_model::jose::Parsed;
use serde_json::{Map, Value};

/// A future on the heap.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What an issuer says of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// One of its keys made it.
    Good,
    /// The key that the header names did not.
    Bad,
    /// The algorithm is not one of those that its keys may be used with.
    Algorithm,
    /// It has no such key, as far as is known.
    NoKey,
}

/// What an issuer says of the client that a token was given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It may use tokens that were given out at this second or later.
    Since(i64),
    /// It is off.
    Off,
    /// There is no such client any more.
    Gone,
}

/// An issuer of access tokens.
pub trait Issuer: Send + Sync + Debug {
    /// What it is called in decisions.
    fn name(&self) -> &str;

    /// The key under which revocations name it, if it tells of any.
    fn realm_id(&self) -> Option<&str> {
        None
    }

    /// Its `iss`, for those who ask where tokens are to be had. `None` where that depends on the request.
    fn url(&self) -> Option<&str>;

    /// Whether `iss` of a token means it.
    fn is_called(&self, iss: &str) -> bool;

    /// Whether a key of its own signed this.
    fn signature(&self, token: &Parsed<'_>, now: Instant) -> Signature;

    /// Looks for a key that is not known yet. After this, [`Issuer::signature`] may say otherwise.
    fn learn<'a>(&'a self, _kid: Option<&'a str>, _now: Instant) -> Boxed<'a, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Whether a key that signed a token before is still one of its own.
    fn still_has(&self, _kid: Option<&str>) -> bool {
        true
    }

    /// Whether a look for keys is due, whatever is known.
    fn is_stale(&self, _now: Instant) -> bool {
        false
    }

    /// Whether its access tokens say `"typ":"Bearer"` among their claims, as Keycloak's do.
    fn types_its_tokens(&self) -> bool {
        false
    }

    /// The second before which all its tokens are dead.
    fn not_before(&self) -> i64 {
        0
    }

    /// The claims of a token that says nothing itself, or of which nobody tells whether it was revoked, if it is good and
    /// this issuer's.
    fn introspect<'a>(
        &'a self,
        _token: &'a str,
        _now: Instant,
    ) -> Boxed<'a, Result<Option<Map<String, Value>>, String>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Seconds for which such an answer holds, 30 at most.
    fn introspection_lasts(&self) -> i64 {
        30
    }

    /// The client that a token names in `azp` or `client_id`. Issuers that do not know their clients let all be.
    fn holder(&self, _client: &str) -> Holder {
        Holder::Since(0)
    }
}

/// An issuer that many share.
pub type SharedIssuer = Arc<dyn Issuer>;
