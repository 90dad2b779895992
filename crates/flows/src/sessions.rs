//! How long sessions, access tokens and refresh tokens live.
//!
//! A client may shorten what the realm gives, never prolong it; no token outlives its session.

use grantor_model::Instant;
use grantor_model::realm::RealmDocument;
use grantor_store::sessions::{ClientSessionRow, SessionRow};

use crate::realms::{Client, Realm};

/// A touch younger than this is not written again, and a session may look older by as much.
const TOUCH: i64 = 60;

/// The limits of a client's part of a session, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    idle: i64,
    max: Option<i64>,
    session_idle: i64,
    session_max: Option<i64>,
}

/// Nothing lives longer, whatever a realm says: a hundred years, so that no sum of times runs over.
const CENTURY: i64 = 100 * 366 * 86_400;

fn positive(seconds: Option<i64>) -> Option<i64> {
    seconds.filter(|seconds| *seconds > 0).map(bounded)
}

fn bounded(seconds: i64) -> i64 {
    seconds.clamp(-1, CENTURY)
}

impl Limits {
    /// The limits of a realm, as a client may shorten them.
    pub fn of(settings: &RealmDocument, client: &Client, offline: bool) -> Self {
        let document = &client.document;
        let (session_idle, session_max, idle, max) = if offline {
            let limited = settings.offline_session_max_lifespan_enabled;
            (
                settings.offline_session_idle_timeout,
                limited.then_some(settings.offline_session_max_lifespan),
                document
                    .seconds("client.offline.session.idle.timeout")
                    .or(Some(settings.client_offline_session_idle_timeout)),
                document
                    .seconds("client.offline.session.max.lifespan")
                    .or(Some(settings.client_offline_session_max_lifespan))
                    .filter(|_| limited),
            )
        } else {
            (
                settings.sso_session_idle_timeout,
                Some(settings.sso_session_max_lifespan),
                document.seconds("client.session.idle.timeout").or(Some(settings.client_session_idle_timeout)),
                document.seconds("client.session.max.lifespan").or(Some(settings.client_session_max_lifespan)),
            )
        };
        let (session_idle, session_max) = (bounded(session_idle), session_max.map(bounded));
        Self {
            idle: positive(idle).map_or(session_idle, |idle| idle.min(session_idle)),
            max: positive(max).or(session_max),
            session_idle,
            session_max,
        }
    }

    /// The second after which the client's part cannot be used, whatever happens.
    fn end(&self, session: Instant, client: Instant) -> Option<i64> {
        let session = self.session_max.map(|max| session.seconds() + max);
        let client = self.max.map(|max| client.seconds() + max);
        [session, client].into_iter().flatten().min()
    }

    /// The second at which a refresh token given out at `now` expires.
    pub fn refresh_expiry(&self, session: Instant, client: Instant, now: Instant) -> i64 {
        let idle = now.seconds() + self.idle;
        self.end(session, client).map_or(idle, |end| end.min(idle))
    }

    /// The second at which an access token given out at `now` expires.
    pub fn access_expiry(&self, lifespan: i64, session: Instant, client: Instant, now: Instant) -> i64 {
        let end = self.end(session, client);
        let wanted = if lifespan < 0 { end } else { Some(now.seconds() + lifespan) };
        match (wanted, end) {
            (Some(wanted), Some(end)) => wanted.min(end),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => now.seconds() + self.session_idle,
        }
    }

    /// Whether a session is still alive.
    pub fn is_alive(&self, session: &SessionRow, now: Instant) -> bool {
        let idle = session.used.plus_seconds(self.session_idle + touch_interval(self.session_idle)) > now;
        idle && self.session_max.is_none_or(|max| session.started.plus_seconds(max) > now)
    }

    /// Whether a client's part of a session is still alive.
    pub fn is_client_alive(&self, client: &ClientSessionRow, now: Instant) -> bool {
        let idle = client.used.plus_seconds(self.idle + touch_interval(self.idle)) > now;
        idle && self.max.is_none_or(|max| client.started.plus_seconds(max) > now)
    }

    /// When a session used at `now` can be swept away.
    pub fn sweep_at(&self, now: Instant) -> Instant {
        now.plus_seconds(self.session_idle + 2 * TOUCH)
    }

    /// Whether a use at `now` has to be written: at most once a minute, and often enough for short limits.
    pub fn touch_is_due(&self, last: Instant, now: Instant) -> bool {
        now.millis() - last.millis() >= touch_interval(self.idle) * 1000
    }
}

/// At most a minute, and never more than a tenth of the limit.
fn touch_interval(idle: i64) -> i64 {
    (idle / 10).clamp(0, TOUCH)
}

/// The lifespan of a client's access tokens: `-1` is as long as the session.
pub fn access_lifespan(realm: &Realm, client: &Client) -> i64 {
    bounded(client.document.seconds("access.token.lifespan").unwrap_or(realm.settings.access_token_lifespan))
}
