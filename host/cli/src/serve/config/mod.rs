//! The configuration file: many apps in one process.

mod keys;
pub(super) mod plan;
pub(super) mod problem;
pub(super) mod read;
mod section;
