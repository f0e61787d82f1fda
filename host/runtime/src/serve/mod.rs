//! A server over services: connections, routes, the end.
//!
//! May use [`service`](crate::service) and everything below it.

pub(crate) mod access;
mod between;
mod compiled;
pub(crate) mod connection;
mod patience;
pub(crate) mod routes;
pub(crate) mod server;
mod sound;
