//! Rate limits: so many requests in so many seconds, for each caller, kept in memory that is bounded.
//!
//! Each caller has one number: the moment up to which its requests so far are paid (the generic cell rate algorithm). Who
//! did nothing for the length of the limit may use it all at once.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use grantor_model::Instant;
use grantor_model::api::RateDocument;

/// Callers that one part keeps; beyond that, those go first that have nothing to pay.
const KEPT: usize = 4_096;

/// What the callers beyond that are counted as.
const OTHERS: &str = "\0others";

/// Parts, each with its own lock.
const PARTS: usize = 16;

/// How a request stands to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The limit, in requests.
    pub limit: u32,
    /// How many are left.
    pub left: u32,
    /// Seconds until all are.
    pub reset: u32,
    /// Seconds to wait, for a request that is too much.
    pub wait: Option<u32>,
}

/// The callers of one limit.
#[derive(Debug)]
pub(crate) struct Rate {
    /// Milliseconds that one request costs, in thousandths.
    cost: i64,
    length: i64,
    limit: u32,
    parts: Box<[Mutex<HashMap<String, i64>>]>,
    hash: RandomState,
}

impl Rate {
    /// A limit that nobody has used.
    pub(crate) fn new(document: &RateDocument) -> Self {
        let requests = i64::from(document.requests.max(1));
        let length = i64::from(document.seconds.max(1)) * 1_000_000;
        Self {
            cost: (length / requests).max(1),
            length,
            limit: document.requests.max(1),
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            hash: RandomState::new(),
        }
    }

    /// Counts a request.
    pub(crate) fn count(&self, caller: &str, now: Instant) -> Standing {
        let now = now.millis().saturating_mul(1_000);
        let at = usize::try_from(self.hash.hash_one(caller) % (PARTS as u64)).unwrap_or_default();
        let Some(part) = self.parts.get(at) else { return self.standing(0, None) };
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = match part.len() >= KEPT && !part.contains_key(caller) {
            false => caller,
            true => {
                part.retain(|_, paid| *paid > now);
                // More callers at once than can be told apart: the new ones share what the limit is for one.
                if part.len() >= KEPT { OTHERS } else { caller }
            }
        };
        let paid = part.get(caller).copied().unwrap_or(now).max(now);
        let next = paid.saturating_add(self.cost);
        let owed = next.saturating_sub(now);
        if owed > self.length {
            return self.standing(paid.saturating_sub(now), Some(owed.saturating_sub(self.length)));
        }
        match part.get_mut(caller) {
            Some(paid) => *paid = next,
            None => drop(part.insert(caller.to_owned(), next)),
        }
        self.standing(owed, None)
    }

    fn standing(&self, owed: i64, wait: Option<i64>) -> Standing {
        let seconds = |micros: i64| u32::try_from(micros.saturating_add(999_999) / 1_000_000).unwrap_or(u32::MAX);
        let left = (self.length.saturating_sub(owed)) / self.cost;
        Standing {
            limit: self.limit,
            left: u32::try_from(left.max(0)).unwrap_or(u32::MAX).min(self.limit),
            reset: seconds(owed),
            wait: wait.map(|micros| seconds(micros).max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use grantor_model::Instant;
    use grantor_model::api::{RateBy, RateDocument};

    use super::Rate;

    fn rate(requests: u32, seconds: u32) -> Rate {
        Rate::new(&RateDocument { requests, seconds, by: RateBy::Client })
    }

    fn at(millis: i64) -> Instant {
        Instant::from_millis(1_800_000_000_000 + millis)
    }

    #[test]
    fn a_burst_then_one_by_one() {
        let rate = rate(5, 1);
        let left: Vec<u32> = (0..5).map(|_| rate.count("a", at(0)).left).collect();
        assert_eq!(left, [4, 3, 2, 1, 0]);
        let too_much = rate.count("a", at(0));
        assert_eq!((too_much.wait, too_much.left, too_much.limit), (Some(1), 0, 5));
        assert_eq!(rate.count("b", at(0)).wait, None);
        assert_eq!(rate.count("a", at(199)).wait, Some(1));
        assert_eq!(rate.count("a", at(200)).wait, None);
        assert_eq!(rate.count("a", at(200)).wait, Some(1));
        assert_eq!(rate.count("a", at(10_000)).left, 4);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let rate = rate(1, 3600);
        for number in 0..100_000 {
            rate.count(&number.to_string(), at(0));
        }
        let kept: usize = rate.parts.iter().map(|part| part.lock().expect("a lock").len()).sum();
        assert!(kept <= (super::KEPT + 1) * super::PARTS, "{kept}");
    }
}
