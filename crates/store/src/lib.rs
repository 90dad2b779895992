//! What Grantor remembers.
//!
//! This crate owns the SQL: [`database`] runs statements on SQLite or PostgreSQL and promises the same
//! behaviour on both, [`migrate`] brings the schema up to date, and one module per table says which atomic
//! steps exist. It decides nothing about OAuth, reads no clock and draws no random numbers: instants and
//! identifiers arrive as arguments.

pub mod apis;
pub mod backup;
pub mod client_secrets;
pub mod clients;
pub mod database;
pub mod decisions;
pub mod identity_providers;
pub mod key_sets;
pub mod keys;
pub mod login_failures;
pub mod migrate;
pub mod once;
pub mod opaque_tokens;
pub mod realms;
pub mod revocations;
pub mod roles;
pub mod sessions;
mod store;
pub mod users;

pub use database::{BoxFuture, Database, Row, Statement, Statistics, StoreError, Value, connect};
pub use migrate::migrate;
pub use store::Store;
