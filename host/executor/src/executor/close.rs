//! Ends: of the executor, and of a worker.
//!
//! **Close.**
//! 1. Set the flag in the idle word. A spawn after that sees it once its task is listed, and takes the task back.
//! 2. Take every task out of the lists of live tasks and cancel it. One that is being polled is ended by its poller.
//! 3. Empty the queues: what is left in them are references to completed tasks.
//! 4. Unpark every worker; each finds the flag and returns.
//! 5. A wake or a stealer that was under way may still put a reference into a queue after 3. Its
//!    `notify` finds the flag, and empties the queues again. So no reference stays, and with the last
//!    task goes the last pointer back to the shared part.

use super::{enqueue::empty, shared::Shared, shared_ref::SharedRef, slot::OwnSlot};
use crate::{
    planted::{Planted, is_planted},
    platform::WorkerId,
    sync::Ordering::Acquire,
    task::{Reason, TaskRef},
};

impl Shared {
    pub(super) fn close(&self) {
        self.idle().close();
        let cancel = |task: TaskRef| {
            if is_planted(Planted::CloseForgetsIdle) && task.claim_for_queue().is_some() {
                return;
            }
            task.cancel_for(Reason::Closed);
        };
        for outside in &self.outside {
            outside.take_all(cancel);
        }
        for slot in self.slots().iter() {
            slot.registry.take_all(cancel);
        }
        self.empty_queues();
        for worker in 0..self.slots().len() {
            self.unpark(worker);
        }
    }

    /// Takes a place for a worker.
    pub(crate) fn add_worker(&self) -> WorkerId {
        let worker = self.slots().acquire();
        let domain = self.lanes().domain(self.platform().domain_of(worker));
        if let Some(slot) = self.slots().get(worker) {
            slot.set_domain(domain);
        }
        self.lanes().add_worker(worker, domain);
        worker
    }
}

impl SharedRef {
    /// Gives a worker's place back, and its tasks to the others.
    pub(crate) fn remove_worker(&self, slot: &OwnSlot) {
        // Acquire: see what the worker's last poll queued. It is this very thread, but loom cannot know.
        let _ = slot.run_woken.swap(false, Acquire);
        empty(&slot.queue, |task| self.injector().push(task));
        self.return_spare(slot);
        // Before another worker may get the place.
        self.lanes().remove_worker(slot.domain());
        self.slots().release(slot.worker());
        self.notify();
    }
}
