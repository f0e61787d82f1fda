//! Programs that use hart-host as a stranger would: one for each of the layers among which its documentation has them choose,
//! and one that gives guests a capability of its own.
//! Each module is such a program; its test runs it.

pub mod budget;
pub mod commands;
pub mod http_in_axum;
pub mod own_store;
pub mod plugins;
pub mod sql;

/// What can go wrong in a program.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
