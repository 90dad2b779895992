//! Rotation with overlap: a new key signs from now on, the old ones verify until their last token has expired.

use grantor_model::jose::Algorithm;
use grantor_model::{Error, Instant};
use grantor_store::{StoreError, keys as table, realms};

use super::create::{generated, sealed_row};
use crate::engine::{Engine, store_error};
use crate::realms::Realm;

/// What a rotation did.
#[derive(Debug)]
pub struct Rotated {
    /// The new key's id.
    pub kid: String,
    /// The old keys' ids.
    pub retired: Vec<String>,
    /// Until when the old ones are published.
    pub published_until: Instant,
}

impl Engine {
    /// Replaces the keys of an algorithm.
    ///
    /// # Errors
    /// When the new key cannot be made or stored, or another caller rotates at the same moment.
    pub async fn rotate_key(&self, realm: &Realm, algorithm: Algorithm, now: Instant) -> Result<Rotated, Error> {
        let old: Vec<_> = realm
            .keys
            .iter()
            .filter(|key| key.algorithm == algorithm.name() && key.retired_until.is_none())
            .map(|key| (key.id.clone(), key.kid.clone(), key.priority))
            .collect();
        let priority = old.iter().map(|(_, _, priority)| *priority).max().unwrap_or(100).max(100);
        let (name, new_kid) = (realm.name.clone(), self.entropy.uuid(now)?);
        let label = format!("{}-{}", algorithm.name().to_lowercase(), now.seconds());
        let made = tokio::task::spawn_blocking(move || generated(&name, now, algorithm, new_kid, &label, priority));
        let component = made.await.map_err(|error| Error::internal(error.to_string()))??;
        let row = sealed_row(&self.vault, &realm.id, self.entropy.uuid(now)?, &component)?;
        let id = row.id.clone();
        let published_until = now.plus_seconds(longest_life(realm, algorithm));
        let mut statements = vec![table::insert(&row)];
        statements.extend(old.iter().map(|(id, _, _)| table::retire(id, published_until)));
        statements.extend(realms::changed(&realm.id));
        self.store.apply(statements).await.map_err(|error| match error {
            StoreError::Guard { .. } => {
                Error::unavailable("another rotation was faster; list the keys before the next")
            }
            other => store_error(other),
        })?;
        let reloaded = self.reload(&realm.name, now).await?;
        let kid = reloaded.and_then(|realm| realm.keys.iter().find(|key| key.id == id).map(|key| key.kid.clone()));
        Ok(Rotated {
            kid: kid.unwrap_or_default(),
            retired: old.into_iter().map(|(_, kid, _)| kid).collect(),
            published_until,
        })
    }
}

/// Seconds that a token signed with this algorithm can still live: refresh and offline tokens for the internal
/// algorithm, else access and ID tokens of the client with the longest life.
fn longest_life(realm: &Realm, algorithm: Algorithm) -> i64 {
    let settings = &realm.settings;
    let session = settings.sso_session_max_lifespan;
    let of_client = |text: &str| match text.parse::<i64>() {
        Ok(seconds) if seconds < 0 => session.max(settings.offline_session_max_lifespan),
        Ok(seconds) => seconds,
        Err(_) => 0,
    };
    let clients = realm.clients.values().filter_map(|client| client.document.attribute("access.token.lifespan"));
    let access = clients.map(of_client).fold(settings.access_token_lifespan, i64::max);
    if algorithm.is_hmac() { access.max(session).max(settings.offline_session_idle_timeout) } else { access }
}
