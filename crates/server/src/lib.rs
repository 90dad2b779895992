//! How Grantor is reached: URLs, forms, pages, configuration, the command line.
//!
//! `routes` is the table of public URLs; `edge` is what every request passes; `oauth` turns forms into calls of
//! `grantor-flows` and their outcome into answers; `http/error` alone knows statuses. No SQL and no OAuth decisions here.

pub mod app;
pub mod cli;
pub mod config;
pub mod edge;
pub mod gateway;
mod http;
pub mod listen;
mod log;
pub mod metrics;
mod oauth;
pub mod ops;
pub mod outbound;
mod pages;
pub mod routes;
pub mod start;
mod wso2;
