//! A moment as a value. The clock is read once, at the edge; everything below gets an [`Instant`].

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(i64);

impl Instant {
    /// A moment in milliseconds, as the database and Keycloak's `createdTimestamp` hold it.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// A moment in whole seconds, as `iat` and `exp` hold it (RFC 7519 section 2, NumericDate).
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment and `seconds` more; far ends saturate instead of wrapping.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }
}

#[cfg(test)]
mod tests {
    use super::Instant;

    #[test]
    fn seconds_round_down_and_sums_saturate() {
        assert_eq!(Instant::from_millis(1999).seconds(), 1);
        assert_eq!(Instant::from_millis(-1).seconds(), -1);
        assert_eq!(Instant::from_seconds(1).plus_seconds(i64::MAX).millis(), i64::MAX);
    }
}
