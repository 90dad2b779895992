//! What was revoked, in memory: asked at every call, whatever is remembered of its token.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use grantor_model::revocation::{Revocation, What};

/// Everything that was revoked, up to a position in the log. Replaced whole.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    /// The last entry of the log that is in here.
    pub position: i64,
    realms: HashMap<String, Arc<OfRealm>>,
    /// What came lately: small, since all of it is copied for what comes next.
    recent: HashMap<String, OfRealm>,
    recent_entries: usize,
}

/// So many entries are recent; then they join the others.
const RECENT: usize = 1_024;

/// What was revoked of one issuer.
#[derive(Clone, Debug, Default)]
struct OfRealm {
    tokens: HashSet<String>,
    sessions: HashMap<String, Ended>,
    clients: HashMap<String, i64>,
    users: HashMap<String, i64>,
    keys: HashSet<String>,
    all_before: i64,
}

/// What of a session has ended.
#[derive(Clone, Debug, Default)]
struct Ended {
    /// All of it.
    whole: bool,
    /// The part of these clients, for tokens given out before a second.
    clients: HashMap<String, i64>,
}

/// What a token says of itself, as far as revocations name it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named<'a> {
    /// `jti`.
    pub token: Option<&'a str>,
    /// `sid`.
    pub session: Option<&'a str>,
    /// `azp`.
    pub client: Option<&'a str>,
    /// `sub`.
    pub user: Option<&'a str>,
    /// `kid`.
    pub key: Option<&'a str>,
    /// `iat`.
    pub issued: i64,
}

impl Revoked {
    /// With these entries as well.
    #[must_use]
    pub fn with(&self, entries: &[Revocation]) -> Self {
        let mut all = self.clone();
        for entry in entries {
            all.recent.entry(entry.realm_id.clone()).or_default().add(entry);
            all.position = all.position.max(entry.position);
        }
        all.recent_entries += entries.len();
        if all.recent_entries > RECENT {
            for (realm_id, recent) in all.recent.drain() {
                Arc::make_mut(all.realms.entry(realm_id).or_default()).join(recent);
            }
            all.recent_entries = 0;
        }
        all
    }

    /// What of an issuer's token was revoked, if anything.
    pub fn of(&self, realm_id: &str, token: Named<'_>) -> Option<&'static str> {
        let recent = self.recent.get(realm_id);
        // The last word on a user counts.
        let user = token.user.filter(|user| !recent.is_some_and(|recent| recent.users.contains_key(*user)));
        let before = Named { user, ..token };
        recent
            .and_then(|recent| recent.of(token))
            .or_else(|| self.realms.get(realm_id).and_then(|realm| realm.of(before)))
    }

    /// How many entries count.
    pub fn len(&self) -> usize {
        let all = self.realms.values().map(|realm| realm.len()).sum::<usize>();
        all + self.recent.values().map(OfRealm::len).sum::<usize>()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl OfRealm {
    fn add(&mut self, entry: &Revocation) {
        let later = |map: &mut HashMap<String, i64>| {
            let before = map.entry(entry.subject.clone()).or_default();
            *before = (*before).max(entry.before);
        };
        match entry.what {
            What::Token => drop(self.tokens.insert(entry.subject.clone())),
            What::Session => {
                let (session, client) = match entry.subject.split_once(' ') {
                    Some((session, client)) => (session, Some(client)),
                    None => (entry.subject.as_str(), None),
                };
                let ended = self.sessions.entry(session.to_owned()).or_default();
                match client {
                    None => ended.whole = true,
                    Some(client) => {
                        let before = ended.clients.entry(client.to_owned()).or_default();
                        *before = (*before).max(entry.before);
                    }
                }
            }
            What::Key => drop(self.keys.insert(entry.subject.clone())),
            What::Client => later(&mut self.clients),
            // The last word counts: a user who may sign in again has tokens again.
            What::User => drop(self.users.insert(entry.subject.clone(), entry.before)),
            What::All => self.all_before = self.all_before.max(entry.before),
        }
    }

    /// Takes in what came later.
    fn join(&mut self, recent: Self) {
        let later = |map: &mut HashMap<String, i64>, more: HashMap<String, i64>| {
            for (name, before) in more {
                let known = map.entry(name).or_default();
                *known = (*known).max(before);
            }
        };
        self.tokens.extend(recent.tokens);
        self.keys.extend(recent.keys);
        self.users.extend(recent.users);
        later(&mut self.clients, recent.clients);
        for (session, ended) in recent.sessions {
            let known = self.sessions.entry(session).or_default();
            known.whole |= ended.whole;
            later(&mut known.clients, ended.clients);
        }
        self.all_before = self.all_before.max(recent.all_before);
    }

    fn len(&self) -> usize {
        let sets = self.tokens.len() + self.sessions.len() + self.keys.len();
        sets + self.clients.len() + self.users.len() + usize::from(self.all_before > 0)
    }

    /// What of a token was revoked, if anything.
    fn of(&self, token: Named<'_>) -> Option<&'static str> {
        let has = |set: &HashSet<String>, name: Option<&str>| name.is_some_and(|name| set.contains(name));
        let since = |map: &HashMap<String, i64>, name: Option<&str>| {
            name.and_then(|name| map.get(name)).is_some_and(|before| token.issued < *before)
        };
        if has(&self.tokens, token.token) {
            return Some("the token");
        }
        let ended = token.session.and_then(|session| self.sessions.get(session));
        if ended.is_some_and(|ended| ended.whole || since(&ended.clients, token.client)) {
            return Some("its session");
        }
        if since(&self.clients, token.client) {
            return Some("its client's tokens");
        }
        if since(&self.users, token.user) {
            return Some("its user's tokens");
        }
        if has(&self.keys, token.key) {
            return Some("the key that signed it");
        }
        (token.issued < self.all_before).then_some("all tokens of that time")
    }
}

#[cfg(test)]
mod tests {
    use grantor_model::Instant;
    use grantor_model::revocation::{Revocation, What};

    use super::{Named, Revoked};

    fn entry(position: i64, what: What, subject: &str, before: i64) -> Revocation {
        let realm_id = "r".to_owned();
        Revocation { position, realm_id, what, subject: subject.to_owned(), before, until: Instant::from_seconds(0) }
    }

    #[test]
    fn what_was_revoked_is_told_and_nothing_else() {
        let revoked = Revoked::default().with(&[
            entry(1, What::Token, "t", 0),
            entry(2, What::Session, "s", 0),
            entry(3, What::Client, "c", 100),
            entry(4, What::User, "u", i64::MAX),
            entry(5, What::User, "u", 200),
            entry(6, What::Key, "k", 0),
            entry(7, What::All, "", 50),
            entry(8, What::Session, "p c2", 120),
        ]);
        assert_eq!((revoked.position, revoked.len()), (8, 7));
        let of = |token: Named<'_>| revoked.of("r", token);
        let free = Named { issued: 300, ..Named::default() };
        assert_eq!(of(Named { token: Some("t"), ..free }), Some("the token"));
        assert_eq!(of(Named { session: Some("s"), ..free }), Some("its session"));
        assert_eq!(of(Named { key: Some("k"), ..free }), Some("the key that signed it"));
        assert_eq!(of(Named { client: Some("c"), issued: 99, ..free }), Some("its client's tokens"));
        assert_eq!(of(Named { client: Some("c"), issued: 100, ..free }), None);
        assert_eq!(of(Named { user: Some("u"), issued: 199, ..free }), Some("its user's tokens"));
        assert_eq!(of(Named { user: Some("u"), issued: 200, ..free }), None);
        assert_eq!(of(Named { issued: 49, ..free }), Some("all tokens of that time"));
        let part = Named { session: Some("p"), ..free };
        assert_eq!(of(Named { client: Some("c2"), issued: 119, ..part }), Some("its session"));
        assert_eq!(of(Named { client: Some("c2"), ..part }), None);
        assert_eq!(of(Named { client: Some("c3"), issued: 119, ..part }), None);
        // A name means what it is a name of.
        assert_eq!(of(Named { token: Some("s"), session: Some("t"), client: Some("u"), ..free }), None);
        assert!(revoked.of("other", Named { token: Some("t"), ..free }).is_none());
    }

    #[test]
    fn many_entries_are_as_few() {
        let mut revoked = Revoked::default().with(&[entry(0, What::User, "u", i64::MAX)]);
        for number in 1..3_000 {
            revoked = revoked.with(&[entry(number, What::Token, &number.to_string(), 0)]);
        }
        assert_eq!(revoked.len(), 3_000);
        let of = |revoked: &Revoked, token: Named<'_>| revoked.of("r", token);
        let named = Named { token: Some("1"), issued: 300, ..Named::default() };
        assert!(of(&revoked, named).is_some() && of(&revoked, Named { token: Some("2999"), ..named }).is_some());
        assert!(of(&revoked, Named { token: Some("3000"), ..named }).is_none());
        let user = Named { user: Some("u"), token: None, ..named };
        assert!(of(&revoked, user).is_some());
        assert!(of(&revoked.with(&[entry(3_000, What::User, "u", 0)]), user).is_none());
    }
}
