//! The suites.

pub(crate) mod executor;
pub(crate) mod latency;
pub(crate) mod parallel;
