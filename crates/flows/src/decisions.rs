//! Refusals on their way into the store: a bounded queue, so that a flood of bad requests costs memory only once.

use std::sync::Mutex;

use grantor_model::{Decision, Refused};
use grantor_store::{Store, StoreError};

use crate::engine::Call;

/// So many wait at most; a flood beyond that leaves no trace.
const WAITING: usize = 4_096;

/// So many are written together: a flood must not make the writes of others wait for long.
const AT_ONCE: usize = 256;

/// The queue.
#[derive(Debug, Default)]
pub struct Decisions {
    waiting: Mutex<Vec<Decision>>,
}

/// What the endpoint knew about the request when it was refused.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The realm's name.
    pub realm: String,
    /// The endpoint, such as `token`.
    pub endpoint: &'static str,
    /// The grant that was asked for.
    pub grant: Option<String>,
    /// The client that was named.
    pub client: Option<String>,
}

impl Decisions {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Decision>> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Puts a refusal into the queue.
    pub fn note(&self, id: &str, call: &Call<'_>, about: &About, refused: &Refused) {
        let error = refused.error();
        let decision = Decision {
            id: id.to_owned(),
            at: call.now,
            realm: short(&about.realm),
            endpoint: about.endpoint.to_owned(),
            grant: about.grant.as_deref().map(short),
            client: about.client.as_deref().map(short),
            address: call.address.to_string(),
            error: error.code.as_str().to_owned(),
            description: error.description.as_deref().map(short),
            reason: error.reason.as_deref().map(short),
            checks: refused.checks().to_vec(),
        };
        self.keep(decision);
    }

    /// Puts a decision that was made elsewhere into the queue.
    pub fn keep(&self, decision: Decision) {
        let mut waiting = self.lock();
        if waiting.len() < WAITING {
            waiting.push(decision);
        }
    }

    /// Writes what waits. The server calls this a few times a second and once at the end.
    ///
    /// # Errors
    /// When the database cannot be written; what waits goes on waiting then.
    pub async fn flush(&self, store: &Store) -> Result<(), StoreError> {
        let mut taken = std::mem::take(&mut *self.lock());
        if taken.is_empty() {
            return Ok(());
        }
        while !taken.is_empty() {
            let most = taken.len().min(AT_ONCE);
            if let Err(error) = store.keep_decisions(taken.get(..most).unwrap_or_default()).await {
                let mut waiting = self.lock();
                taken.append(&mut waiting);
                taken.drain(..taken.len().saturating_sub(WAITING));
                *waiting = taken;
                return Err(error);
            }
            taken.drain(..most);
        }
        Ok(())
    }
}

/// A text that may be the caller's: not longer than a line, and only one.
fn short(text: &str) -> String {
    text.chars().take(200).filter(|c| !c.is_control()).collect()
}
