//! Signing tokens, and counting the signatures by algorithm.

use std::sync::atomic::{AtomicU64, Ordering};

use grantor_model::Error;
use grantor_model::jose::{Algorithm, sign_with_header};

use crate::keys::Signer;

/// How many tokens were signed with each algorithm since the start.
#[derive(Debug, Default)]
pub struct Signatures {
    counts: [AtomicU64; Algorithm::ALL.len()],
}

impl Signatures {
    /// Signs a payload; `at_jwt` writes the header of RFC 9068.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(&self, signer: &Signer, payload: &[u8], at_jwt: bool) -> Result<String, Error> {
        let header = if at_jwt { &signer.access_header } else { &signer.header };
        let token = sign_with_header(header, payload, &signer.key)
            .map_err(|error| Error::internal(format!("a key cannot sign: {error}")))?;
        let algorithm = signer.key.algorithm();
        let position = Algorithm::ALL.iter().position(|known| *known == algorithm);
        if let Some(count) = position.and_then(|position| self.counts.get(position)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(token)
    }

    /// The counts by algorithm.
    pub fn counts(&self) -> impl Iterator<Item = (Algorithm, u64)> {
        Algorithm::ALL
            .into_iter()
            .zip(&self.counts)
            .map(|(algorithm, count)| (algorithm, count.load(Ordering::Relaxed)))
    }
}
