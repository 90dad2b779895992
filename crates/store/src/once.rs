//! Tables `seen`, `revoked_tokens` and `one_time_links`: what may happen once, and what may not happen any more.

use grantor_model::Instant;
use grantor_model::revocation::{Revocation, What};

use crate::Store;
use crate::database::{Statement, StoreError};

/// Seconds for which a revocation outlives its tokens: gateways whose clocks are late still ask for it.
const LATE_CLOCKS: i64 = 60;

/// Seconds after which a gateway that was not heard of counts as gone.
const KEPT_GATEWAYS: i64 = 86_400;

/// Seconds after which a key set of others is too old to be of use.
const KEPT_KEY_SETS: i64 = 30 * 86_400;

/// Adds a link that works once. Only its hash is kept.
pub fn insert_link(hash: &[u8], purpose: &str, until: Instant) -> Statement {
    Statement::new(
        "INSERT INTO one_time_links (hash, purpose, until) VALUES ($1, $2, $3)",
        [hash.into(), purpose.into(), until.millis().into()],
    )
}

/// Removes all links of a purpose: a new one replaces them.
pub fn delete_links(purpose: &str) -> Statement {
    Statement::new("DELETE FROM one_time_links WHERE purpose = $1", [purpose.into()])
}

/// Uses a link up, in the batch that does what it allows.
pub fn use_link(hash: &[u8], purpose: &str, now: Instant) -> Statement {
    Statement::new(
        "DELETE FROM one_time_links WHERE hash = $1 AND purpose = $2 AND until > $3",
        [hash.into(), purpose.into(), now.millis().into()],
    )
    .must_touch(1)
}

/// Notes a use in the batch that does what it allows: [`StoreError::Duplicate`] when there was one before.
pub fn see(realm_id: &str, issuer: &str, jti: &str, until: Instant) -> Statement {
    Statement::new(
        "INSERT INTO seen (realm_id, issuer, jti, until) VALUES ($1, $2, $3, $4)",
        [realm_id.into(), issuer.into(), jti.into(), until.millis().into()],
    )
}

/// Ends an access token before its time, in a batch with more.
pub fn revoke(realm_id: &str, jti: &str, until: Instant) -> Statement {
    Statement::new(
        "INSERT INTO revoked_tokens (realm_id, jti, until) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        [realm_id.into(), jti.into(), until.millis().into()],
    )
}

impl Store {
    /// Notes that something was used: an assertion, a one-time code. `false` when it was used before.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn record_seen(
        &self,
        realm_id: &str,
        issuer: &str,
        jti: &str,
        until: Instant,
    ) -> Result<bool, StoreError> {
        match self.apply(vec![see(realm_id, issuer, jti, until)]).await {
            Ok(()) => Ok(true),
            Err(StoreError::Duplicate) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Whether something was used.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn was_seen(&self, realm_id: &str, issuer: &str, jti: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM seen WHERE realm_id = $1 AND issuer = $2 AND jti = $3";
        Ok(!self.read(Statement::new(sql, [realm_id.into(), issuer.into(), jti.into()])).await?.is_empty())
    }

    /// Ends one access token before its time.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn revoke_token(&self, realm_id: &str, jti: &str, until: Instant) -> Result<(), StoreError> {
        let mut statements = vec![revoke(realm_id, jti, until)];
        statements.extend(crate::revocations::add(&Revocation {
            position: 0,
            realm_id: realm_id.to_owned(),
            what: What::Token,
            subject: jti.to_owned(),
            before: 0,
            until: until.plus_seconds(LATE_CLOCKS),
        }));
        self.apply(statements).await
    }

    /// Whether a token was ended before its time.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn is_revoked(&self, realm_id: &str, jti: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM revoked_tokens WHERE realm_id = $1 AND jti = $2";
        Ok(!self.read(Statement::new(sql, [realm_id.into(), jti.into()])).await?.is_empty())
    }

    /// Whether a link of this hash and purpose would still work.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn is_link_open(&self, hash: &[u8], purpose: &str, now: Instant) -> Result<bool, StoreError> {
        let sql = "SELECT until FROM one_time_links WHERE hash = $1 AND purpose = $2 AND until > $3";
        let values = [hash.into(), purpose.into(), now.millis().into()];
        Ok(!self.read(Statement::new(sql, values)).await?.is_empty())
    }

    /// Removes what has passed: sessions, used assertions, revocations, links, old decisions, retired keys,
    /// failed logins of long ago, key sets of others that nobody has fetched for a month.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn sweep(&self, now: Instant, decisions_before: Instant) -> Result<(), StoreError> {
        let at = now.millis();
        self.apply(vec![
            Statement::new("DELETE FROM sessions WHERE ends < $1", [at.into()]),
            Statement::new("DELETE FROM seen WHERE until < $1", [at.into()]),
            Statement::new("DELETE FROM revoked_tokens WHERE until < $1", [at.into()]),
            Statement::new("DELETE FROM opaque_tokens WHERE until < $1", [at.into()]),
            Statement::new("DELETE FROM one_time_links WHERE until < $1", [at.into()]),
            Statement::new("DELETE FROM login_failures WHERE forgotten < $1", [at.into()]),
            crate::revocations::sweep(now),
            Statement::new("DELETE FROM gateways WHERE seen < $1", [now.plus_seconds(-KEPT_GATEWAYS).millis().into()]),
            Statement::new("DELETE FROM decisions WHERE made < $1", [decisions_before.millis().into()]),
            Statement::new("DELETE FROM realm_keys WHERE published_until < $1", [at.into()]),
            Statement::new(
                "DELETE FROM key_sets WHERE fetched < $1",
                [now.plus_seconds(-KEPT_KEY_SETS).millis().into()],
            ),
        ])
        .await
    }
}
