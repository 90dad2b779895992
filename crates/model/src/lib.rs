//! The words and rules of Grantor's domain: what a realm, a client, a claim and an OAuth error are.
//!
//! Nothing here waits, reads a clock, rolls dice, speaks HTTP or SQL. Time and randomness are arguments, so
//! every rule can be tested with plain values. What happens in which order is `grantor-flows`' matter.

pub mod api;
pub mod assertion;
pub mod claims;
pub mod decision;
pub mod error;
pub mod identity_provider;
pub mod jose;
pub mod mapper;
pub mod openapi;
pub mod realm;
pub mod revocation;
pub mod scope;
pub mod secret;
pub mod time;

pub use decision::{Decision, Refused, Trail};
pub use error::{Code, Error, Kind};
pub use secret::Secret;
pub use time::Instant;
