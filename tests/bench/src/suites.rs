//! The suites.

pub(crate) mod executor;
pub(crate) mod parallel;
