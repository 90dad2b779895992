//! Administration: realms, clients, users, and realm files. The command line uses these; what they change takes effect
//! in a running server within a tenth of a second.

pub mod apis;
pub mod bootstrap;
pub mod clients;
pub mod export;
pub mod external_systems;
pub mod identity_providers;
pub mod import;
mod new_passwords;
pub mod realms;
pub mod users;

use grantor_model::{Error, Kind};
use grantor_store::StoreError;

use crate::engine::store_error;

/// What an administrator is told: what is wrong, and what to do.
#[derive(Debug)]
pub struct AdminError {
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whose fault it is.
    pub kind: Kind,
}

impl AdminError {
    /// A problem without a hint.
    pub fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), hint: None, kind: Kind::Request }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for AdminError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.problem)?;
        match &self.hint {
            Some(hint) => write!(out, "\n{hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for AdminError {}

impl From<Error> for AdminError {
    fn from(error: Error) -> Self {
        let problem = error.reason.unwrap_or_else(|| error.code.as_str().to_owned());
        Self { kind: error.kind, ..Self::new(problem) }
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        store_error(error).into()
    }
}

/// A document as the text that is stored.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String, AdminError> {
    serde_json::to_string(value).map_err(|error| AdminError::new(error.to_string()))
}

/// Keys come from files of others: short, and without the characters that separate them in the store.
pub(crate) fn checked_id(id: &str, what: &str) -> Result<(), AdminError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if id.is_empty() || id.len() > 128 || !id.chars().all(fine) {
        return Err(AdminError::new(format!("the id {id:?} of {what} is not one that can be used"))
            .hint("ids have 1 to 128 letters, digits, '-', '_', '.' or ':'"));
    }
    Ok(())
}
