//! Runs: how one is begun, set up and waited for.

pub(crate) mod builder;
pub(crate) mod handle;
pub(crate) mod prepared;
pub(crate) mod start;
