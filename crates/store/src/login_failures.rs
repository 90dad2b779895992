//! Table `login_failures`: what is known of those who guess passwords.

use grantor_model::Instant;
use grantor_model::realm::LoginFailures;

use crate::Store;
use crate::database::{Row, Statement, StoreError};

/// The failed logins of a user, or of names that nobody has.
#[derive(Clone, Debug)]
pub struct LoginFailureRow {
    /// The realm's key.
    pub realm_id: String,
    /// The user's key, or a mark for names that nobody has.
    pub subject: String,
    /// How many, and what they brought.
    pub failures: LoginFailures,
    /// Where the last one came from.
    pub address: String,
    /// When the row says nothing any more.
    pub forgotten: Option<Instant>,
    /// How often the row was written; 0 for one that was not yet.
    pub revision: i64,
}

fn row(row: &Row) -> Result<LoginFailureRow, StoreError> {
    Ok(LoginFailureRow {
        realm_id: row.text(0)?.to_owned(),
        subject: row.text(1)?.to_owned(),
        failures: LoginFailures {
            failures: row.int(2)?,
            second_factor: row.int(3)?,
            lockouts: row.int(4)?,
            last: Some(Instant::from_millis(row.int(5)?)),
            locked_until: row.opt_int(6)?.map(Instant::from_millis),
            for_good: row.bool(7)?,
        },
        address: row.text(8)?.to_owned(),
        forgotten: row.opt_int(9)?.map(Instant::from_millis),
        revision: row.int(10)?,
    })
}

/// Writes failures, unless somebody else wrote since `row.revision` was read.
pub fn write(row: &LoginFailureRow) -> Statement {
    let failures = &row.failures;
    let sql = match row.revision {
        0 => {
            "INSERT INTO login_failures (realm_id, subject, failures, second_factor, lockouts, last, locked_until, \
             for_good, address, forgotten, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 + 1) \
             ON CONFLICT DO NOTHING"
        }
        _ => {
            "UPDATE login_failures SET failures = $3, second_factor = $4, lockouts = $5, last = $6, \
             locked_until = $7, for_good = $8, address = $9, forgotten = $10, revision = $11 + 1 \
             WHERE realm_id = $1 AND subject = $2 AND revision = $11"
        }
    };
    let values = [
        row.realm_id.as_str().into(),
        row.subject.as_str().into(),
        failures.failures.into(),
        failures.second_factor.into(),
        failures.lockouts.into(),
        failures.last.map_or(0, Instant::millis).into(),
        failures.locked_until.map(Instant::millis).into(),
        failures.for_good.into(),
        row.address.as_str().into(),
        row.forgotten.map(Instant::millis).into(),
        row.revision.into(),
    ];
    Statement::new(sql, values).must_touch(1)
}

/// Forgets failures.
pub fn forget(realm_id: &str, subject: &str) -> Statement {
    let sql = "DELETE FROM login_failures WHERE realm_id = $1 AND subject = $2";
    Statement::new(sql, [realm_id.into(), subject.into()])
}

impl Store {
    /// What is known of one user, or of names that nobody has.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn login_failures(&self, realm_id: &str, subject: &str) -> Result<Option<LoginFailureRow>, StoreError> {
        let sql = "SELECT realm_id, subject, failures, second_factor, lockouts, last, locked_until, for_good, address, \
                   forgotten, revision FROM login_failures WHERE realm_id = $1 AND subject = $2";
        self.one(Statement::new(sql, [realm_id.into(), subject.into()]), row).await
    }

    /// The users who failed, the last one first, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn users_who_failed(
        &self,
        realm_id: &str,
        limit: i64,
    ) -> Result<Vec<(String, LoginFailureRow)>, StoreError> {
        let sql = "SELECT f.realm_id, f.subject, f.failures, f.second_factor, f.lockouts, f.last, f.locked_until, \
                   f.for_good, f.address, f.forgotten, f.revision, u.username FROM login_failures f \
                   JOIN users u ON u.id = f.subject WHERE f.realm_id = $1 ORDER BY f.last DESC, u.username LIMIT $2";
        let named = |one: &Row| Ok((one.text(11)?.to_owned(), row(one)?));
        self.all(Statement::new(sql, [realm_id.into(), limit.into()]), named).await
    }
}
