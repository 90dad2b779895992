//! The memory of verified tokens: bounded, exact, without a lock.
//!
//! A token has one place, by a hash that nobody outside can foretell; the place holds the whole token, and only the
//! very same one is recognised. Two tokens with one place take turns, and are verified as if there were no memory. What
//! is remembered is the signature and the claims; times, audience and revocations are asked anew at each call.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::known::Known;

/// The memory.
#[derive(Debug)]
pub(crate) struct Memory {
    places: Box<[ArcSwapOption<Known>]>,
    hash: RandomState,
}

impl Memory {
    /// One for `tokens` tokens; 0 remembers nothing.
    pub(crate) fn of(tokens: usize) -> Self {
        Self { places: (0..tokens).map(|_| ArcSwapOption::empty()).collect(), hash: RandomState::new() }
    }

    fn place(&self, token: &[u8]) -> Option<&ArcSwapOption<Known>> {
        // The end of a token is the end of its signature, which differs where anything differs.
        const END: usize = 48;
        let end = token.get(token.len().saturating_sub(END)..)?;
        let count = u64::try_from(self.places.len()).ok().filter(|count| *count > 0)?;
        self.places.get(usize::try_from(self.hash.hash_one(end) % count).ok()?)
    }

    /// What is known of a token, if it was verified under this epoch of keys.
    pub(crate) fn recall(&self, token: &[u8], epoch: u64) -> Option<Arc<Known>> {
        let known = self.place(token)?.load_full()?;
        (known.epoch == epoch && known.token.as_bytes() == token).then_some(known)
    }

    /// Remembers a token that was verified.
    pub(crate) fn keep(&self, known: &Arc<Known>) {
        if let Some(place) = self.place(known.token.as_bytes()) {
            place.store(Some(known.clone()));
        }
    }
}
