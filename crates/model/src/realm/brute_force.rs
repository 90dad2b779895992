//! How a realm answers to somebody who guesses passwords, with Keycloak's settings and arithmetic.

use serde::{Deserialize, Serialize};

use crate::Instant;

/// Keycloak's brute force settings of a realm. Numbers below zero count as zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BruteForce {
    /// Whether failed logins are counted at all.
    pub brute_force_protected: bool,
    /// Whether a user is locked for good, after `max_temporary_lockouts` locks that end.
    pub permanent_lockout: bool,
    /// How many locks that end come before the one that does not; 0 locks for good at once.
    pub max_temporary_lockouts: i64,
    /// How locks grow.
    pub brute_force_strategy: Strategy,
    /// Seconds that a lock lasts at most.
    pub max_failure_wait_seconds: i64,
    /// Seconds of the lock after two failures in quick succession.
    pub minimum_quick_login_wait_seconds: i64,
    /// Seconds that locks grow by.
    pub wait_increment_seconds: i64,
    /// Milliseconds between two failures that count as quick; 0 switches this off.
    pub quick_login_check_milli_seconds: i64,
    /// Seconds without a failure after which the count begins anew, unless users are locked for good at once.
    pub max_delta_time_seconds: i64,
    /// Failures before the first lock.
    pub failure_factor: i64,
    /// Wrong one-time codes before a user is locked for good; 0 is no limit.
    pub max_secondary_auth_failures: i64,
}

/// How locks grow with the failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Strategy {
    /// By one step each time the failures reach another multiple of the factor.
    Multiple,
    /// By one step with each failure from the factor on.
    Linear,
}

impl Default for BruteForce {
    fn default() -> Self {
        Self {
            brute_force_protected: false,
            permanent_lockout: false,
            max_temporary_lockouts: 0,
            brute_force_strategy: Strategy::Multiple,
            max_failure_wait_seconds: 900,
            minimum_quick_login_wait_seconds: 60,
            wait_increment_seconds: 60,
            quick_login_check_milli_seconds: 1000,
            max_delta_time_seconds: 43_200,
            failure_factor: 30,
            max_secondary_auth_failures: 0,
        }
    }
}

/// What was wrong at a failed login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// The password, or the name.
    First,
    /// The one-time code behind a right password.
    Second,
}

/// The failed logins of one user since the last one that went well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginFailures {
    /// How many.
    pub failures: i64,
    /// How many of one-time codes. These outlive a pause.
    pub second_factor: i64,
    /// How many locks there were, without those for haste.
    pub lockouts: i64,
    /// When the last one was.
    pub last: Option<Instant>,
    /// When the lock ends. In whole seconds, as Keycloak's `failedLoginNotBefore`.
    pub locked_until: Option<Instant>,
    /// Whether only an administrator ends the lock.
    pub for_good: bool,
}

/// A lock that holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Until that moment.
    Until(Instant),
    /// Until an administrator ends it.
    ForGood,
}

impl LoginFailures {
    /// The lock that holds at `now`.
    pub fn lock(&self, now: Instant) -> Option<Lock> {
        if self.for_good {
            return Some(Lock::ForGood);
        }
        self.locked_until.filter(|until| now < *until).map(Lock::Until)
    }
}

impl BruteForce {
    /// Whether the first lock is already one for good.
    fn locks_for_good_at_once(&self) -> bool {
        self.permanent_lockout && self.max_temporary_lockouts <= 0
    }

    /// The failures after one more. Somebody who is locked is not asked for a password, and so cannot fail.
    #[must_use]
    pub fn after(&self, before: &LoginFailures, factor: Factor, now: Instant) -> LoginFailures {
        let pause = before.last.map(|last| now.millis().saturating_sub(last.millis()).max(0));
        let longest = self.max_delta_time_seconds.max(0).saturating_mul(1000);
        let forgotten = !self.locks_for_good_at_once() && pause.is_some_and(|pause| pause > longest);
        let mut after = match forgotten {
            true => LoginFailures { second_factor: before.second_factor, ..LoginFailures::default() },
            false => before.clone(),
        };
        after.failures = after.failures.saturating_add(1);
        after.last = Some(now);
        self.wait(&mut after, pause, now);
        if factor == Factor::Second {
            after.second_factor = after.second_factor.saturating_add(1);
            let most = self.max_secondary_auth_failures;
            after.for_good |= most > 0 && after.second_factor > most;
        }
        if self.permanent_lockout {
            let reached = self.max_temporary_lockouts <= 0 && after.failures >= self.failure_factor;
            after.for_good |= reached || after.lockouts > self.max_temporary_lockouts.max(0);
        }
        after
    }

    /// Locks for a while, where it is time for that.
    fn wait(&self, after: &mut LoginFailures, pause: Option<i64>, now: Instant) {
        let steps = match self.brute_force_strategy {
            _ if self.locks_for_good_at_once() => 0,
            Strategy::Multiple => after.failures / self.failure_factor.max(1),
            Strategy::Linear => after.failures.saturating_add(1).saturating_sub(self.failure_factor).max(0),
        };
        let mut seconds = self.wait_increment_seconds.max(0).saturating_mul(steps);
        let slow = seconds > 0;
        if !slow && pause.is_some_and(|pause| pause < self.quick_login_check_milli_seconds) {
            seconds = self.minimum_quick_login_wait_seconds.max(0);
        }
        if seconds == 0 {
            return;
        }
        if slow {
            after.lockouts = after.lockouts.saturating_add(1);
        }
        let seconds = match self.locks_for_good_at_once() {
            true => seconds,
            false => seconds.min(self.max_failure_wait_seconds.max(0)),
        };
        after.locked_until = Some(Instant::from_seconds(now.seconds()).plus_seconds(seconds));
    }

    /// When the failures say nothing any more, and can be forgotten; `None` is never.
    pub fn forgotten(&self, failures: &LoginFailures) -> Option<Instant> {
        let kept = failures.for_good || self.locks_for_good_at_once() || failures.second_factor > 0;
        let last = failures.last.filter(|_| !kept)?;
        let pause = last.plus_seconds(self.max_delta_time_seconds.max(0));
        Some(failures.locked_until.map_or(pause, |until| until.max(pause)))
    }
}

#[cfg(test)]
mod tests {
    use super::{BruteForce, Factor, Lock, LoginFailures, Strategy};
    use crate::Instant;

    /// What Keycloak's admin API says after each failure: failures, temporary lockouts, and our seconds of lock.
    fn played(settings: &BruteForce, pauses: &[i64]) -> Vec<(i64, i64, Option<i64>)> {
        let (mut failures, mut now) = (LoginFailures::default(), Instant::from_seconds(1_800_000_000));
        let one = |pause: &i64| {
            now = Instant::from_millis(now.millis() + pause);
            failures = settings.after(&failures, Factor::First, now);
            let wait = match failures.lock(now) {
                Some(Lock::Until(until)) => Some(until.seconds() - now.seconds()),
                Some(Lock::ForGood) => Some(i64::MAX),
                None => None,
            };
            (failures.failures, failures.lockouts, wait)
        };
        pauses.iter().map(one).collect()
    }

    fn slow(failure_factor: i64, wait_increment_seconds: i64) -> BruteForce {
        BruteForce {
            failure_factor,
            wait_increment_seconds,
            quick_login_check_milli_seconds: 0,
            ..BruteForce::default()
        }
    }

    #[test]
    fn locks_grow_as_in_keycloak() {
        let multiple = played(&slow(3, 1), &[5000; 7]);
        let some = |seconds| Some(seconds);
        assert_eq!(multiple[..3], [(1, 0, None), (2, 0, None), (3, 1, some(1))]);
        assert_eq!(multiple[3..], [(4, 2, some(1)), (5, 3, some(1)), (6, 4, some(2)), (7, 5, some(2))]);
        let linear = BruteForce { brute_force_strategy: Strategy::Linear, ..slow(3, 1) };
        let linear = played(&linear, &[5000; 5]);
        assert_eq!(linear[1..], [(2, 0, None), (3, 1, some(1)), (4, 2, some(2)), (5, 3, some(3))]);
        let short = BruteForce { max_failure_wait_seconds: 1, ..slow(2, 60) };
        assert_eq!(played(&short, &[5000; 3])[1..], [(2, 1, some(1)), (3, 2, some(1))]);
    }

    #[test]
    fn haste_locks_without_counting_as_a_lock() {
        assert_eq!(
            played(&BruteForce::default(), &[0, 1000, 999, 0]),
            [(1, 0, None), (2, 0, None), (3, 0, Some(60)), (4, 0, Some(60))]
        );
    }

    #[test]
    fn a_pause_begins_anew() {
        let settings = BruteForce { max_delta_time_seconds: 2, ..slow(3, 60) };
        assert_eq!(played(&settings, &[0, 2200, 2000, 2200]), [(1, 0, None), (1, 0, None), (2, 0, None), (1, 0, None)]);
    }

    #[test]
    fn locks_for_good() {
        let at_once = BruteForce { permanent_lockout: true, ..slow(3, 60) };
        let year = 366 * 86_400 * 1000;
        assert_eq!(played(&at_once, &[0, year, year]), [(1, 0, None), (2, 0, None), (3, 0, Some(i64::MAX))]);
        let later = BruteForce { max_temporary_lockouts: 1, ..BruteForce { permanent_lockout: true, ..slow(2, 1) } };
        assert_eq!(played(&later, &[5000; 3])[1..], [(2, 1, Some(1)), (3, 2, Some(i64::MAX))]);
    }

    #[test]
    fn wrong_codes_lock_for_good_where_they_are_limited() {
        let settings = BruteForce { max_secondary_auth_failures: 2, ..slow(30, 60) };
        let (mut failures, now) = (LoginFailures::default(), Instant::from_seconds(0));
        for expected in [None, None, Some(Lock::ForGood)] {
            failures = settings.after(&failures, Factor::Second, now);
            assert_eq!(failures.lock(now), expected);
        }
    }

    #[test]
    fn no_setting_overflows() {
        for number in [i64::MIN, -1, 0, 1, i64::MAX] {
            for strategy in [Strategy::Multiple, Strategy::Linear] {
                for permanent in [false, true] {
                    let settings = BruteForce {
                        brute_force_protected: true,
                        permanent_lockout: permanent,
                        max_temporary_lockouts: number,
                        brute_force_strategy: strategy,
                        max_failure_wait_seconds: number,
                        minimum_quick_login_wait_seconds: number,
                        wait_increment_seconds: number,
                        quick_login_check_milli_seconds: number,
                        max_delta_time_seconds: number,
                        failure_factor: number,
                        max_secondary_auth_failures: number,
                    };
                    assert_eq!(played(&settings, &[0, 0, 1000, 5000]).len(), 4);
                }
            }
        }
    }
}
