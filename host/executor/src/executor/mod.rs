//! What all workers of one executor share, and the handle to it.
//!
//! The files, each of which uses only those above it:
//!
//! | file | what it has |
//! | --- | --- |
//! | `awaited`, `slot`, `slots` | what the executor has for each worker |
//! | `shared`, `shared_ref` | everything that workers share, and the counted pointer to it |
//! | `attached` | what the executor attaches to each task |
//! | `enqueue` | queueing tasks, and waking workers for them |
//! | `live` | the beginning and the end of a live task |
//! | `preempt` | preemption points |
//! | `close` | the end of the executor, and of a worker |
//! | `hooks` | how tasks reach their executor |
//! | `handle` | [`Executor`] |
//!
//! The room uses all rooms below it: `platform`, `task`, `memory`, `queue`, `idle` and `fair`.

mod attached;
mod awaited;
mod close;
mod enqueue;
mod handle;
mod hooks;
mod live;
mod preempt;
mod shared;
mod shared_ref;
mod slot;
mod slots;

pub use self::handle::Executor;
pub(crate) use self::{
    attached::{Attached, current_group, group_of, is_of},
    hooks::run,
    shared_ref::SharedRef,
    slot::{Counts, OwnSlot, Slot},
};
