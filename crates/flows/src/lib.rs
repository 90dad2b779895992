//! What happens in Grantor: grants, userinfo, introspection, logout, keys, administration.
//!
//! A grant proves (`grant/`), one place mints (`issue`), and `token` does the steps that all grants share, once and
//! in order. Nothing here knows HTTP or SQL; the clock and the dice come in with [`Call`] and [`Engine`].

pub mod admin;
pub mod assertions;
pub mod client_auth;
pub mod client_secrets;
pub mod decisions;
pub mod engine;
pub mod entropy;
pub mod fetch;
pub mod grant;
pub mod introspect;
pub mod issue;
pub mod key_sets;
pub mod keys;
pub mod login;
pub mod logout;
pub mod otp;
pub mod parameters;
pub mod passwords;
pub mod realms;
pub mod revocations;
pub mod revoke;
pub mod sessions;
pub mod signatures;
pub mod throttle;
pub mod token;
pub mod userinfo;
pub mod vault;
pub mod verify;
pub mod wso2;

pub use engine::{Call, Engine};
pub use parameters::Parameters;
pub use realms::{Client, Realm, User};
