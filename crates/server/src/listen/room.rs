//! How many connections there may be: a file descriptor each, of which the operating system gives a process so many.

/// What no connection may take: databases, requests to others, files.
const OTHER: u64 = 128;

/// Connections for operators, whatever strangers do.
const OPERATORS: u32 = 64;

/// The most for strangers at one listener; each takes some memory as well.
const MOST: u32 = 10_000;

/// How many connections each listener may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The issuer, and the gateway, each.
    pub strangers: u32,
    /// Health and metrics.
    pub operators: u32,
}

impl Room {
    /// Asks for as many descriptors as the process may have, and divides them.
    pub fn of_process() -> Self {
        Self::of(descriptors())
    }

    fn of(descriptors: u64) -> Self {
        let left = descriptors.saturating_sub(OTHER + u64::from(OPERATORS)) / 2;
        Self { strangers: u32::try_from(left).unwrap_or(MOST).clamp(16, MOST), operators: OPERATORS }
    }
}

#[cfg(unix)]
fn descriptors() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX).min(OTHER + u64::from(OPERATORS) + 2 * u64::from(MOST));
    let now = limit.current.unwrap_or(u64::MAX);
    if now >= most {
        return now;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }) {
        Ok(()) => most,
        Err(_) => now,
    }
}

#[cfg(not(unix))]
fn descriptors() -> u64 {
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn strangers_leave_descriptors_to_the_rest() {
        assert_eq!(Room::of(u64::MAX), Room { strangers: 10_000, operators: 64 });
        assert_eq!(Room::of(1_024), Room { strangers: 416, operators: 64 });
        assert_eq!(Room::of(64), Room { strangers: 16, operators: 64 });
    }
}
