//! What guests have handles of: tasks, and options for their spawns.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::instance::ended::Ended;
use crate::instance::ending::{kill, kill_children};
use crate::instance::guest::Guest;
use crate::quota::kill::Kill;
use crate::wasi::rights::Rights;

/// A guest's handle of a task that it spawned.
#[derive(Clone)]
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export it inside this crate"
)]
pub struct TaskHandle {
    attached: Arc<Attached>,
}

/// Somebody may still join the task.
struct Attached {
    guest: Arc<Guest>,
}

/// What is counted as memory for a handle of a task: about what the host keeps for a task that has ended.
/// A guess on the safe side, or handles would be memory without a limit.
pub(super) const HANDLE_BYTES: u64 = 1024;

impl TaskHandle {
    /// For a task that was spawned with [`HANDLE_BYTES`] for it.
    pub(super) fn new(guest: Arc<Guest>) -> Self {
        Self {
            attached: Arc::new(Attached { guest }),
        }
    }

    pub(crate) fn guest(&self) -> &Arc<Guest> {
        &self.attached.guest
    }

    /// Ends the task and everything below it.
    pub(crate) fn cancel(&self) {
        let guest = self.guest();
        if guest.is_finished() {
            // What it left behind.
            kill_children(guest, Kill::Cancelled);
        } else {
            kill(guest, Kill::Cancelled);
        }
    }

    /// Takes the end of the task, which has come; `None` if it was taken before.
    pub(crate) fn take(&self) -> Option<Ended> {
        let guest = self.guest();
        let ended = guest.take_outcome()?;
        guest.run.account.joins.fetch_add(1, Ordering::Relaxed);
        guest.run.runtime.count(|worker| &worker.joins);
        Some(ended)
    }
}

impl Drop for Attached {
    /// Dropped by the guest or with its store: the task is detached.
    fn drop(&mut self) {
        self.guest.run.account.release(HANDLE_BYTES);
        self.guest.detach();
    }
}

/// What a guest wants for its spawns.
#[derive(Clone, Default)]
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export it inside this crate"
)]
pub struct Options {
    pub(super) name: String,
    pub(super) fuel: Option<u64>,
    pub(super) cpu_time: Option<Duration>,
    pub(super) memory: Option<u64>,
    pub(super) timeout: Option<Duration>,
    pub(super) max_tasks: Option<u32>,
    pub(super) denied: Rights,
    pub(super) reuse: bool,
    pub(super) anywhere: bool,
}
