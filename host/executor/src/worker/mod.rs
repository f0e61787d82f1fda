//! The loop that runs tasks on one core.
//!
//! The files, each of which uses only those above it:
//!
//! | file | what it has |
//! | --- | --- |
//! | `state` | [`Worker`], and the phases of its loop |
//! | `search` | looking for work elsewhere |
//! | `choose` | which task is next |
//! | `poll` | polling tasks, and charging their groups |
//! | `step` | one pass of the loop, as a state machine |
//! | `tick`, `run` | loops over it: bounded passes, and driving a future |
//! | `stats` | what workers have done |
//!
//! The room uses `executor` and the rooms below that.

mod choose;
mod poll;
mod run;
mod search;
mod state;
mod stats;
mod step;
mod tick;

pub use self::{
    choose::{FAIR_SKIPS, INJECTOR_INTERVAL},
    state::Worker,
    stats::WorkerStats,
    step::Step,
    tick::Tick,
};
