//! Layer 2 for embedders who bring wasmtime along: runtime, groups, tenants.
//!
//! May use [`base`](crate::base), [`quota`](crate::quota) and [`sched`](crate::sched).

pub(crate) mod builder;
pub(crate) mod group;
pub(crate) mod handle;
pub(crate) mod task;
pub(crate) mod tenant;
pub(crate) mod timer;
