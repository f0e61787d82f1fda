//! Workers, the epoch clock, the tasks that drive a store, and the trace.
//!
//! May use [`base`](crate::base) and [`quota`](crate::quota).

pub(crate) mod clock;
pub(crate) mod core;
pub(crate) mod io_threads;
pub(crate) mod kernel_slice;
pub(crate) mod machine;
pub(crate) mod platform;
pub(crate) mod preemption;
pub(crate) mod priority;
pub(crate) mod profile;
pub(crate) mod task;
pub(crate) mod this_worker;
pub(crate) mod threads;
pub(crate) mod trace;
pub(crate) mod workers;
