//! The queues of the fast lane.
//!
//! | file | what it has |
//! | --- | --- |
//! | `mpsc` | [`RunQueue`]: many push, one at a time takes. The injector, and each worker's backlog |
//! | `ring` | a ring of fixed size: its owner pushes, anyone takes |
//! | `local` | [`LocalQueue`], a worker's own: a slot, a ring and a backlog |
//!
//! The room uses `sync` and `task`. It notifies nobody: its functions say when their caller has to.

mod local;
#[cfg(all(loom, test))]
mod models;
mod mpsc;
mod ring;

pub(crate) use self::{
    local::{LocalOwner, LocalQueue},
    mpsc::{RunQueue, Taker},
};
