//! Layer 3: a host, its builder, runs and their handles, shutdown.
//!
//! May use every other room.

pub(crate) mod backend;
pub(crate) mod builder;
mod compiled;
mod extensions;
pub(crate) mod handle;
pub(crate) mod loader;
pub(crate) mod metrics;
pub(crate) mod run;
pub(crate) mod shutdown;
pub mod simulate;
