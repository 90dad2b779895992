//! Limits on guessing passwords: failed logins are counted for each user as the realm's settings say, and a name that
//! nobody has is counted and locked like any other, so that a lock does not show who exists.
//!
//! The counts lie in the database, so that neither a restart nor another node gives new tries. A realm that does not
//! protect its users costs nothing here.

use grantor_model::realm::{Factor, Lock, LoginFailures, UserDocument};
use grantor_model::{Code, Error, Instant, Kind, Refused, Trail};
use grantor_store::login_failures::{self as table, LoginFailureRow};
use grantor_store::users::{self, UserRow};
use grantor_store::{Statement, StoreError};

use crate::engine::{Call, Engine, store_error};
use crate::realms::Realm;
use crate::revocations;

/// The user attribute in which Keycloak notes why a user is off, and the reason that guessing leads to.
const DISABLED_REASON: &str = "disabledReason";
const PERMANENT_LOCKOUT: &str = "permanentLockout";

/// Seconds for which names that nobody has stay locked for good.
const FOR_GOOD: i64 = 30 * 86_400;

/// How many counts there are for names that nobody has: a bound on what strangers can fill.
const MARKS: u64 = 1 << 20;

/// How often a count is tried again that others write as well.
const ATTEMPTS: usize = 50;

/// What is known of the guesses at one name.
pub(crate) struct Guesses<'a> {
    engine: &'a Engine,
    call: &'a Call<'a>,
    realm: &'a Realm,
    /// The mark of the name, whether somebody has it or not: it says what the caller is told.
    mark: String,
    /// The user's key, whose count locks.
    user: Option<String>,
    /// Whether the user was switched off for guesses before.
    off: bool,
    /// Whether there was a count to clear.
    counted: bool,
}

impl<'a> Guesses<'a> {
    /// Those at the name that somebody wants to log in with.
    pub(crate) fn at(
        engine: &'a Engine,
        call: &'a Call<'a>,
        realm: &'a Realm,
        user: Option<&UserRow>,
        name: &str,
    ) -> Self {
        let mark = format!("?{:05x}", engine.vault.mark(&realm.id, &name.trim().to_lowercase()) % MARKS);
        let off = user.is_some_and(|user| !user.enabled && is_locked_for_good(&user.document));
        Self { engine, call, realm, mark, user: user.map(|user| user.id.clone()), off, counted: false }
    }

    fn protected(&self) -> bool {
        self.realm.settings.brute_force.brute_force_protected
    }

    /// Refuses who guessed too often to be heard now, whatever the password.
    pub(crate) async fn none_too_many(&mut self, wrong: Error, trail: &mut Trail) -> Result<(), Refused> {
        const CHECK: &str = "failed logins";
        if self.off {
            return Err(trail.refuse(CHECK, "fewer than lock the user for good", "the user is locked", wrong));
        }
        if !self.protected() {
            return Ok(());
        }
        let subject = self.user.as_ref().unwrap_or(&self.mark);
        let row = self.read(subject).await.map_err(|error| trail.fail(error))?;
        let Some(row) = row else { return Ok(()) };
        self.counted = true;
        let now = self.call.now;
        let Some(lock) = row.failures.lock(now) else { return Ok(()) };
        let Lock::Until(until) = lock else {
            let actual = format!("{}, locked for good", row.failures.failures);
            return Err(trail.refuse(CHECK, "fewer than lock the user for good", &actual, wrong));
        };
        let left = |until: Instant| until.millis().saturating_sub(now.millis()).saturating_add(999) / 1000;
        let actual = format!("{}, locked for {} s more", row.failures.failures, left(until));
        // A user has a name and an address. Whoever guessed at the one is not told of it at the other: that would say
        // whose both are, and that there is somebody.
        let told = match self.user.is_some() {
            false => Some(until),
            true => {
                let named = self.read(&self.mark).await.map_err(|error| trail.fail(error))?;
                named.and_then(|row| match row.failures.lock(now) {
                    Some(Lock::Until(until)) => Some(until),
                    _ => None,
                })
            }
        };
        let error = match told {
            None => wrong,
            Some(until) => {
                let text = "Too many failed logins, try again later";
                Error::new(Kind::Throttled(left(until)), Code::TemporarilyUnavailable, text)
            }
        };
        Err(trail.refuse(CHECK, "no lock", &actual, error))
    }

    async fn read(&self, subject: &str) -> Result<Option<LoginFailureRow>, Error> {
        self.engine.store.login_failures(&self.realm.id, subject).await.map_err(store_error)
    }

    /// Counts one more. Who is locked meanwhile fails no more.
    pub(crate) async fn failed(&self, factor: Factor) -> Result<(), Error> {
        if !self.protected() {
            return Ok(());
        }
        for subject in self.user.iter().chain([&self.mark]) {
            self.count(subject, factor).await?;
        }
        Ok(())
    }

    async fn count(&self, subject: &str, factor: Factor) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let before = self.read(subject).await?;
            let (failures, revision) = before.map_or((LoginFailures::default(), 0), |row| (row.failures, row.revision));
            if failures.lock(self.call.now).is_some() {
                return Ok(());
            }
            let statements = self.counted(subject, &failures, revision, factor).await?;
            match self.engine.store.apply(statements).await {
                Ok(()) => return Ok(()),
                // Another failure was faster.
                Err(StoreError::Guard { .. }) => {}
                Err(error) => return Err(store_error(error)),
            }
        }
        Err(Error::unavailable("failed logins of one user come faster than they can be counted"))
    }

    /// The statements for one more failure.
    async fn counted(
        &self,
        subject: &str,
        before: &LoginFailures,
        revision: i64,
        factor: Factor,
    ) -> Result<Vec<Statement>, Error> {
        let settings = &self.realm.settings.brute_force;
        let failures = settings.after(before, factor, self.call.now);
        let mut forgotten = settings.forgotten(&failures);
        let is_user = self.user.as_deref() == Some(subject);
        if !is_user {
            let latest = self.call.now.plus_seconds(FOR_GOOD);
            forgotten = Some(forgotten.map_or(latest, |moment| moment.min(latest)));
        }
        let for_good = failures.for_good;
        let mut statements = vec![table::write(&LoginFailureRow {
            realm_id: self.realm.id.clone(),
            subject: subject.to_owned(),
            failures,
            address: self.call.address.to_string(),
            forgotten,
            revision,
        })];
        if for_good && is_user {
            let user = self.engine.store.user(&self.realm.id, subject).await.map_err(store_error)?;
            if let Some(user) = user {
                statements.extend(revocations::of_user(self.realm, &user, false, self.call.now));
                statements.push(switched(user, false)?);
            }
        }
        Ok(statements)
    }

    /// Forgets what failed before.
    pub(crate) async fn succeeded(&self) -> Result<(), Error> {
        if !self.counted {
            return Ok(());
        }
        let forget = self.user.iter().chain([&self.mark]).map(|subject| table::forget(&self.realm.id, subject));
        self.engine.store.apply(forget.collect()).await.map_err(store_error)
    }
}

/// Whether a user's document says that guesses switched it off.
pub(crate) fn is_locked_for_good(document: &str) -> bool {
    // Most documents do not mention it, and are not read for this.
    document.contains(DISABLED_REASON)
        && serde_json::from_str(document).is_ok_and(|document: UserDocument| {
            let reason = document.attributes.get(DISABLED_REASON).and_then(|reasons| reasons.first());
            reason.is_some_and(|reason| reason == PERMANENT_LOCKOUT)
        })
}

/// Switches a user off for guesses, or on again, and notes or forgets why.
pub(crate) fn switched(mut user: UserRow, on: bool) -> Result<Statement, Error> {
    let read = std::mem::take(&mut user.document);
    let bad = |error: serde_json::Error| Error::internal(format!("a user: {error}"));
    let mut document: UserDocument = serde_json::from_str(&read).map_err(bad)?;
    if on {
        document.attributes.remove(DISABLED_REASON);
    } else {
        document.attributes.insert(DISABLED_REASON.to_owned(), vec![PERMANENT_LOCKOUT.to_owned()]);
    }
    user.enabled = on;
    document.enabled = on;
    user.document = serde_json::to_string(&document).map_err(bad)?;
    Ok(users::update(&user, &read))
}

/// What a user's failed logins came to, for those who may end a lock.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The user's name.
    pub username: String,
    /// How many logins failed.
    pub failures: i64,
    /// When the last one did.
    pub last: Option<Instant>,
    /// Where it came from.
    pub address: String,
    /// The lock that holds now.
    pub lock: Option<Lock>,
}

impl Failed {
    pub(crate) fn of(username: String, row: LoginFailureRow, now: Instant) -> Self {
        Self {
            username,
            failures: row.failures.failures,
            last: row.failures.last,
            lock: row.failures.lock(now),
            address: row.address,
        }
    }
}
