//! What goes into the log of revocations, which every gateway applies: each entry is written in the batch that revokes.
//!
//! What a realm's snapshot holds (keys, clients that are off, the seconds before which tokens are dead) reaches the
//! gateways with the snapshot, and needs no entry.

use grantor_model::Instant;
use grantor_model::revocation::{Revocation, What};
use grantor_store::Statement;
use grantor_store::users::UserRow;

use crate::realms::Realm;
use crate::sessions::access_lifespan;

/// An entry that names many tokens is kept for so many seconds at least: a realm may have given out tokens that live
/// longer than it gives out now.
const LEAST: i64 = 86_400;

/// When every access token that was given out by `now` has expired.
fn all_expired(realm: &Realm, now: Instant) -> Instant {
    let longest = |client: &std::sync::Arc<crate::Client>| match access_lifespan(realm, client) {
        // As long as the session.
        seconds if seconds < 0 => realm.settings.sso_session_max_lifespan,
        seconds => seconds,
    };
    let longest = realm.clients.values().map(longest).max().unwrap_or_default();
    now.plus_seconds(longest.max(LEAST))
}

/// A session has ended, or a client's part of it.
pub fn of_session(realm: &Realm, sid: &str, client: Option<&str>, now: Instant) -> Revocation {
    Revocation {
        position: 0,
        realm_id: realm.id.clone(),
        what: What::Session,
        subject: client.map_or_else(|| sid.to_owned(), |client| format!("{sid} {client}")),
        before: now.seconds().saturating_add(1),
        until: all_expired(realm, now),
    }
}

/// A user may not sign in any more, or may again.
pub(crate) fn of_user(realm: &Realm, user: &UserRow, on: bool, now: Instant) -> [Statement; 2] {
    grantor_store::revocations::add(&Revocation {
        position: 0,
        realm_id: realm.id.clone(),
        what: What::User,
        subject: user.id.clone(),
        before: if on { user.not_before } else { i64::MAX },
        until: all_expired(realm, now),
    })
}

/// A client is gone.
pub(crate) fn of_client(realm: &Realm, client_id: &str, now: Instant) -> [Statement; 2] {
    grantor_store::revocations::add(&Revocation {
        position: 0,
        realm_id: realm.id.clone(),
        what: What::Client,
        subject: client_id.to_owned(),
        before: now.seconds().saturating_add(1),
        until: all_expired(realm, now),
    })
}
