//! What a workload sees: spawn, join, spend, sleep.

mod guard;
mod handle;
mod join;
mod sleep;

pub(crate) use self::{
    guard::Guard,
    handle::{GuestHost, Inner},
};
pub use self::{
    handle::{Sim, SimGroup},
    join::{Join, TaskBuilder},
    sleep::Sleep,
};
