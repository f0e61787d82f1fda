//! Groups: tasks that are one run, and tenants: groups of groups.
//!
//! Tasks of a group go through the fair lane. What the group uses is counted while it runs.
//!
//! Shares follow weights across the whole machine: of those groups that want to run, the one that has
//! used the least CPU time for its weight is next, on the next worker that asks. A group that slept is served
//! soon after it wakes, but sleep is not saved up and debts are kept. A group with a shorter slice gets
//! earlier and shorter turns, and the same share.

// The room is the public face of `fair`: handles that hold the executor and what its lane knows of a group. It uses
// `fair` and `executor`.

mod builder;
mod handle;
mod tenant;

pub use self::{
    builder::{Builder, GroupBuilder, TenantBuilder},
    handle::{Group, Verdict},
    tenant::Tenant,
};
pub use crate::fair::{
    DEFAULT_SLICE, DEFAULT_WEIGHT, GroupStats, Id, LONGEST_SLICE, LONGEST_TICK, RATE_WINDOW,
    SHORTEST_SLICE,
};
