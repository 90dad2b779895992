//! The front-door tests: the real router in process, a world of realms, whole answers in snapshots.
//!
//! One file for each URL and grant; `seeds` walks the acceptance rows of the task API (K) and the registry (R). Time is
//! the world's own, so that nothing sleeps and nothing is fuzzy. Worlds on PostgreSQL are ignored, never passed, where
//! its programs are missing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests stop at the first surprise"
)]

mod support;

mod authz;
mod body;
mod changes;
mod client_authentication;
mod decisions;
mod documents;
mod export;
mod first_administrator;
mod first_start;
mod gateway;
mod gateway_feed;
mod gateway_revocation;
mod gateway_streams;
mod gateway_tokens;
mod generated_realms;
mod guessing;
mod introspect;
mod jwt_bearer;
mod key_sets_of_others;
mod logout;
mod lost_database;
mod moved;
mod operations;
mod password;
mod password_policy;
mod races;
mod refresh;
mod revoke;
mod seeds;
mod taken_over;
mod urls;
mod userinfo;
mod wso2_management;
