//! The configuration file: many apps in one process.

pub(crate) mod app;
mod keys;
pub(crate) mod plan;
pub(crate) mod problem;
pub(crate) mod read;
mod section;
mod work;
