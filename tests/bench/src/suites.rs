//! The suites.

pub(crate) mod calls;
pub(crate) mod concurrent;
pub(crate) mod density;
pub(crate) mod executor;
pub(crate) mod fairness;
pub(crate) mod kill;
pub(crate) mod latency;
pub(crate) mod limits;
pub(crate) mod overhead;
pub(crate) mod parallel;
pub(crate) mod serve;
pub(crate) mod sim;
pub(crate) mod spawn;
pub(crate) mod startup;
pub(crate) mod timers;
pub(crate) mod work;
