//! A decision as a value: the checks of one request in order, what was expected and what was found.
//!
//! A [`Refused`] can only come out of a [`Trail`], so refusing without a decision does not type-check. The
//! trail of a request that succeeds is dropped; what it costs is a few pushes of pointers.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Error, Instant};

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It held.
    Passed,
    /// It did not hold: the last entry of a refusal.
    Failed,
}

/// One check: what was looked at, what was expected, what was found. No secret, no token, no password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at, in the field's own words.
    pub check: Cow<'static, str>,
    /// How it ended.
    pub outcome: Outcome,
    /// What would have passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Cow<'static, str>>,
    /// What was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
}

/// The checks of one request so far.
#[derive(Debug, Default)]
pub struct Trail {
    checks: Vec<Check>,
}

impl Trail {
    /// An empty trail.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a check that held.
    pub fn pass(&mut self, check: &'static str) {
        self.checks.push(Check { check: Cow::Borrowed(check), outcome: Outcome::Passed, expected: None, actual: None });
    }

    /// Notes a check that held and what was found, for a later reader to see what the request was.
    pub fn found(&mut self, check: &'static str, actual: &str) {
        self.checks.push(Check {
            check: Cow::Borrowed(check),
            outcome: Outcome::Passed,
            expected: None,
            actual: Some(shortened(actual)),
        });
    }

    /// Ends the request: `check` did not hold.
    #[must_use]
    pub fn refuse(
        &mut self,
        check: &'static str,
        expected: impl Into<Cow<'static, str>>,
        actual: &str,
        error: Error,
    ) -> Refused {
        self.checks.push(Check {
            check: Cow::Borrowed(check),
            outcome: Outcome::Failed,
            expected: Some(expected.into()),
            actual: Some(shortened(actual)),
        });
        self.end(error)
    }

    /// Ends the request for a reason of ours: the database is gone, a key cannot sign.
    #[must_use]
    pub fn fail(&mut self, error: Error) -> Refused {
        let reason = error.reason.clone().unwrap_or_default();
        self.refuse("server", "an answer", &reason, error)
    }

    /// The checks so far, for who wants to see them although all held.
    pub fn so_far(&self) -> &[Check] {
        &self.checks
    }

    fn end(&mut self, error: Error) -> Refused {
        Refused { error: Box::new(error), checks: std::mem::take(&mut self.checks) }
    }
}

/// A refusal with its checks. Only a [`Trail`] makes one.
#[derive(Debug)]
pub struct Refused {
    error: Box<Error>,
    checks: Vec<Check>,
}

impl Refused {
    /// What the caller is told.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The checks in order; the last one failed.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The same refusal in other words, where an endpoint has its own.
    #[must_use]
    pub fn reworded(self, words: impl FnOnce(Error) -> Error) -> Self {
        Self { error: Box::new(words(*self.error)), checks: self.checks }
    }

    /// Both parts.
    pub fn into_parts(self) -> (Error, Vec<Check>) {
        (*self.error, self.checks)
    }
}

/// A refusal as it is kept and explained: `grantor explain ID` prints it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// The id that the answer's header `Grantor-Decision` carries.
    pub id: String,
    /// When.
    pub at: Instant,
    /// Where: the realm's name.
    pub realm: String,
    /// At which endpoint.
    pub endpoint: String,
    /// The grant that was asked for, if it was readable.
    pub grant: Option<String>,
    /// The client that was named, if any.
    pub client: Option<String>,
    /// From which address.
    pub address: String,
    /// The public code.
    pub error: String,
    /// The public text.
    pub description: Option<String>,
    /// The private reason.
    pub reason: Option<String>,
    /// The checks in order.
    pub checks: Vec<Check>,
}

/// Values of a request are kept short: a decision must not become a store of what callers send.
fn shortened(value: &str) -> String {
    const LONGEST: usize = 200;
    if value.len() <= LONGEST && !value.bytes().any(|byte| byte.is_ascii_control()) && value.is_ascii() {
        return value.to_owned();
    }
    let mut text: String = value.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if value.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Trail};
    use crate::Error;

    #[test]
    fn a_refusal_keeps_the_order_and_ends_with_what_failed() {
        let mut trail = Trail::new();
        trail.pass("realm is enabled");
        let refused = trail.refuse("client", "a known client", "nope\n", Error::request("x"));
        let outcomes: Vec<_> = refused.checks().iter().map(|c| c.outcome).collect();
        assert_eq!(outcomes, [Outcome::Passed, Outcome::Failed]);
        assert_eq!(refused.checks()[1].actual.as_deref(), Some("nope "));
    }

    #[test]
    fn long_values_are_cut() {
        let refused = Trail::new().refuse("scope", "short", &"a".repeat(5000), Error::request("x"));
        assert_eq!(refused.checks()[0].actual.as_ref().map(|a| a.chars().count()), Some(201));
    }
}
