//! HTTP in the small: bodies in, answers out.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod error;
pub(crate) mod inbound;

pub(crate) use inbound::Inbound;
