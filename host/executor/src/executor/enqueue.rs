//! Queueing tasks, and waking workers for them.
//!
//! A runnable task goes to its group's queue in the fair lane; without a group to the queue of the worker on whose core
//! this happens; from elsewhere to the injector. Then [`notify`](Shared::notify), always: see [`idle`](crate::idle) for
//! why that is enough.

use super::{
    attached::group_of,
    shared::Shared,
    slot::{OwnSlot, Slot},
};
use crate::{
    events,
    fair::DEFAULT_SLICE,
    idle::Notify,
    platform::WorkerId,
    queue::{LocalQueue, RunQueue},
    sync::{
        Ordering::{Relaxed, SeqCst},
        fence,
    },
    task::TaskRef,
};
use core::time::Duration;

impl Shared {
    /// Queues a task that was woken.
    pub(super) fn schedule_woken(&self, task: TaskRef) {
        let slot = self.current_slot();
        let worker = slot.map(|slot| slot.worker());
        events::task_wake(task.id().as_u64(), worker);
        match slot {
            Some(slot) => slot.counts.woken.add(1),
            None => {
                self.external_wakes.fetch_add(1, Relaxed);
            }
        }
        let near = self.push(slot, task);
        self.notify_near(near);
    }

    /// Queues a task on the worker given, unless it has a group, and notifies.
    pub(crate) fn schedule_on(&self, slot: &Slot, task: TaskRef) {
        let own = self.own(slot);
        if own.is_some() || task.header().is_fair() {
            self.push(own, task);
        } else {
            slot.queue.backlog().push(task);
        }
        self.notify();
    }

    /// Queues a task. The caller notifies, near the worker that this gives. `slot` is that of the calling core's worker.
    pub(super) fn push(&self, slot: Option<&OwnSlot>, task: TaskRef) -> WorkerId {
        match (group_of(&task), slot) {
            (Some(group), _) => {
                let group = group.clone();
                let domain = slot.map(|slot| slot.domain());
                let now = self.platform().now();
                return self.lanes().push(&group, task, domain, now);
            }
            (None, Some(slot)) if slot.is_completing() => slot.own_queue().push_back(task),
            (None, Some(slot)) => slot.own_queue().push_next(task),
            (None, None) => self.injector().push(task),
        }
        0
    }

    /// Something was queued, or left in a queue that a worker turned away from. `false` if the executor is closed.
    pub(crate) fn notify(&self) -> bool {
        self.notify_near(0)
    }

    /// The same: of the workers that sleep, one from this on is woken first.
    pub(super) fn notify_near(&self, worker: WorkerId) -> bool {
        self.follow(self.idle().notify(self.slots().len(), worker))
    }

    fn follow(&self, notify: Notify) -> bool {
        match notify {
            Notify::Nothing => {}
            Notify::Unpark(worker) => self.unpark(worker),
            Notify::Contended => self.contended(),
            Notify::Closed => {
                self.empty_queues();
                return false;
            }
        }
        true
    }

    pub(super) fn unpark(&self, worker: WorkerId) {
        let slot = self.slots().get(worker);
        if !slot.is_some_and(|slot| slot.awaited.wake()) {
            self.platform().unpark(worker);
        }
    }

    pub(super) fn wake_one(&self) -> bool {
        let woken = self.idle().wake_one(self.slots().len());
        woken.inspect(|&worker| self.unpark(worker)).is_some()
    }

    /// The `run` future of `worker` was woken.
    pub(crate) fn wake_run(&self, worker: WorkerId) {
        // Pairs with the fence in `announce`: the worker looks at its flag after that.
        fence(SeqCst);
        self.follow(self.idle().wake_this(worker, self.slots().len()));
    }

    fn contended(&self) {
        let slice = self.lanes().shortest_slice().map(Duration::from_nanos);
        let platform = self.platform();
        platform.contended_within(slice.unwrap_or(DEFAULT_SLICE));
    }

    /// Drops what is queued after the close: references to tasks that are complete or about to be.
    pub(super) fn empty_queues(&self) {
        for slot in self.slots().iter() {
            let lane = self.lanes().of(slot.domain());
            let _ = lane.reclaim(core::iter::once(&slot.batch), 0);
        }
        while let Some(task) = self.lanes().drain() {
            drop(task);
        }
        drain(self.injector(), drop);
        for slot in self.slots().iter() {
            empty(&slot.queue, drop);
        }
    }
}

/// Gives every task of a worker's queue to `f`.
pub(super) fn empty(queue: &LocalQueue, mut f: impl FnMut(TaskRef)) {
    while let Some(task) = queue.take_unheld() {
        f(task);
    }
    drain(queue.backlog(), f);
}

fn drain(queue: &RunQueue, mut f: impl FnMut(TaskRef)) {
    // A holder of the queue finds `WANTED` when it is done, and notifies: after a close that empties the queue.
    while let Some(mut taker) = queue.try_take() {
        while let Some(task) = taker.pop() {
            f(task);
        }
        if !taker.release() {
            break;
        }
    }
}
