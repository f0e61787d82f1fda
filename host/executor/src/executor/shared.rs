//! Queues, sleepers and live tasks of one executor, and the protocols between them.
//!
//! **Enqueue.** A runnable task goes to its group's queue in the fair lane; without a group to the queue
//! of the worker on whose core this happens; from elsewhere to the injector. Then
//! [`notify`](Shared::notify), always: see [`idle`](crate::idle) for why that is enough.
//!
//! **Close.**
//! 1. Set the flag in the idle word. From here on `insert` into the list of live tasks fails.
//! 2. Take every task out of that list and cancel it. One that is being polled is ended by its poller.
//! 3. Empty the queues: what is left in them are references to completed tasks.
//! 4. Unpark every worker; each finds the flag and returns.
//! 5. A wake or a stealer that was under way may still put a reference into a queue after 3. Its
//!    `notify` finds the flag, and empties the queues again: so no reference stays, and with the last
//!    task goes the last pointer back to this struct.

use crate::{
    error::SpawnError,
    group::{DEFAULT_SLICE, GroupInner, Lane, lane::Pace},
    idle::{Idle, Notify},
    live::Live,
    planted::{Planted, is_planted},
    platform::{Core, Platform, WorkerId},
    queue::{RunQueue, Taker},
    scheduler::{Slot, Slots},
    sync::{
        Arc, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    task::{Id, Reason, TaskRef},
};
use core::time::Duration;

pub(crate) struct Shared {
    platform: alloc::sync::Arc<dyn Platform>,
    injector: RunQueue,
    lane: Lane,
    slots: Slots,
    idle: Idle,
    live: Live,
    /// `Executor`s and `Worker`s that refer to this: at zero it is closed.
    handles: AtomicUsize,
    next_id: AtomicUsize,
    /// Wakes from outside every worker that no tick has reported yet.
    external_wakes: AtomicUsize,
}

impl Shared {
    pub(super) fn new(workers: usize, platform: alloc::sync::Arc<dyn Platform>) -> Self {
        Self {
            platform,
            injector: RunQueue::new(),
            lane: Lane::new(),
            slots: Slots::new(workers),
            idle: Idle::new(workers),
            live: Live::new(),
            handles: AtomicUsize::new(1),
            next_id: AtomicUsize::new(1),
            external_wakes: AtomicUsize::new(0),
        }
    }

    pub(crate) fn platform(&self) -> &alloc::sync::Arc<dyn Platform> {
        &self.platform
    }

    pub(crate) fn injector(&self) -> &RunQueue {
        &self.injector
    }

    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(crate) fn idle(&self) -> &Idle {
        &self.idle
    }

    pub(crate) fn next_id(&self) -> Id {
        Id(self.next_id.fetch_add(1, Relaxed))
    }

    pub(crate) fn pending_tasks(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.idle.is_closed()
    }

    #[cfg(feature = "counters")]
    pub(crate) fn take_external_wakes(&self) -> usize {
        // The load keeps ticks without any from writing a shared line.
        if self.external_wakes.load(Relaxed) == 0 {
            return 0;
        }
        self.external_wakes.swap(0, Relaxed)
    }

    // === handles ===

    pub(super) fn add_handle(&self) {
        self.handles.fetch_add(1, Relaxed);
    }

    /// Whether it was the last.
    pub(super) fn drop_handle(&self) -> bool {
        self.handles.fetch_sub(1, AcqRel) == 1
    }

    // === who runs here ===

    /// What tells this executor from others in a per-core cell.
    pub(crate) fn core(&self, worker: WorkerId) -> Core {
        Core {
            executor: self.address(),
            worker,
        }
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// This executor's worker on the calling core.
    pub(crate) fn current_worker(&self) -> Option<WorkerId> {
        let core = self.platform.core()?;
        (core.executor == self.address()).then_some(core.worker)
    }

    fn current_slot(&self) -> Option<&Slot> {
        self.slots.get(self.current_worker()?)
    }

    /// The group of the task that is polled on the calling core.
    pub(crate) fn current_group(&self) -> Option<Arc<GroupInner>> {
        self.current_slot()?
            .current_task()?
            .header()
            .group()
            .cloned()
    }

    // === enqueue ===

    /// Queues a new task: `queued` is the queue's reference, `live` the list's.
    pub(crate) fn spawn(&self, queued: TaskRef, live: TaskRef) -> Result<(), SpawnError> {
        if !self.live.insert(live, || self.is_closed()) {
            return Err(SpawnError::Closed);
        }
        if let Some(group) = queued.header().group() {
            group.counts.spawned();
        }
        self.enqueue(queued, |slot| slot.counts.spawned.add(1));
        Ok(())
    }

    /// Queues a task that was woken.
    pub(crate) fn schedule_woken(&self, task: TaskRef) {
        let internal = self.enqueue(task, |slot| slot.counts.woken.add(1));
        if !internal && cfg!(feature = "counters") {
            self.external_wakes.fetch_add(1, Relaxed);
        }
    }

    /// Queues a task and notifies; whether this was on one of the executor's cores.
    fn enqueue(&self, task: TaskRef, count: impl FnOnce(&Slot)) -> bool {
        let slot = self.current_slot();
        if let Some(slot) = slot {
            count(slot);
        }
        self.push(slot, task);
        self.notify();
        slot.is_some()
    }

    /// Queues a task on the worker given, unless it has a group, and notifies.
    pub(crate) fn schedule_on(&self, slot: &Slot, task: TaskRef) {
        self.push(Some(slot), task);
        self.notify();
    }

    fn push(&self, slot: Option<&Slot>, task: TaskRef) {
        match (task.header().group(), slot) {
            (Some(group), _) => {
                let group = group.clone();
                self.lane.push(&group, task, self.platform.now());
            }
            (None, slot) => {
                let _ = slot.map_or(&self.injector, |slot| &slot.queue).push(task);
            }
        }
    }

    /// Queues a fast-lane task that `slot`'s worker has just polled and that was woken meanwhile.
    pub(crate) fn requeue(&self, slot: &Slot, task: TaskRef) {
        // Where it is alone, this very worker takes it in its next step, and waking another to steal it
        // would only move it. Should the worker do anything else first, it offers its queue before that
        // (`Worker::offer_queue`).
        let alone = slot.queue.push(task);
        if !alone {
            self.notify();
        }
    }

    /// Something was queued, or left in a queue that somebody turned away from.
    pub(crate) fn notify(&self) {
        match self.idle.notify() {
            Notify::Nothing => {}
            Notify::Unpark(worker) => self.platform.unpark(worker),
            Notify::Contended => self.contended(),
            Notify::Closed => self.empty_queues(),
        }
    }

    pub(crate) fn wake_one(&self) -> bool {
        match self.idle.wake_one() {
            Some(worker) => {
                self.platform.unpark(worker);
                true
            }
            None => false,
        }
    }

    /// The `run` future of `worker` was woken.
    pub(crate) fn wake_run(&self, worker: WorkerId) {
        // Pairs with the fence in `announce`: the worker looks at its flag after that.
        crate::sync::fence(crate::sync::Ordering::SeqCst);
        if self.idle.wake_this(worker) {
            self.platform.unpark(worker);
        } else {
            self.contended();
        }
    }

    fn contended(&self) {
        let slice = self.lane.shortest_slice().map(Duration::from_nanos);
        self.platform
            .contended_within(slice.unwrap_or(DEFAULT_SLICE));
    }

    // === what waits ===

    pub(crate) fn has_waiting(&self) -> bool {
        self.lane.len() > 0
            || self.has_fast_waiting()
            || self
                .lane
                .next_refill()
                .is_some_and(|refill| refill <= self.platform.now())
    }

    /// As `has_waiting`, but for the fair lane.
    fn has_fast_waiting(&self) -> bool {
        self.injector.len() > 0
            || self.is_closed()
            || self.slots.iter().any(|slot| slot.queue.len() > 0)
            || self
                .current_slot()
                .is_some_and(|slot| slot.run_woken.load(Relaxed))
    }

    /// Charges `group` for what the calling worker has used since its last charge, if it is polling a
    /// task of that group; whether it should make way.
    pub(crate) fn preemption_point(&self, group: &Arc<GroupInner>, by_time: bool) -> bool {
        let polled = self.current_slot().filter(|slot| {
            slot.current_task().is_some_and(|task| {
                task.header()
                    .group()
                    .is_some_and(|polled| Arc::ptr_eq(polled, group))
            })
        });
        let Some(slot) = polled else {
            return self.has_waiting();
        };
        let now = self.platform.now();
        let (began, cpu, poll_began) = slot.meter(|meter| {
            let began = meter.began();
            (began, meter.end(now, &*self.platform), meter.poll_began())
        });
        let cpu = if is_planted(Planted::ContinueIsFree) {
            0
        } else {
            cpu
        };
        group.counts.charge(cpu);
        let pace = if by_time {
            Pace::Time(now.saturating_sub(poll_began))
        } else {
            Pace::Slice
        };
        let turn = self.lane.charge(group, cpu, began, now, pace);
        turn || self.has_fast_waiting()
    }

    /// Lets groups compete again whose CPU rate allows it; returns when the next one will be.
    pub(crate) fn refill(&self) -> Option<u64> {
        for _ in 0..self.lane.refill(self.platform.now()) {
            self.notify();
        }
        self.lane.next_refill()
    }

    // === ends ===

    /// A task's result is there: it is not live any more.
    pub(crate) fn forget(&self, task: &TaskRef) {
        if let Some(group) = task.header().group() {
            group.counts.ended();
        }
        drop(self.live.remove(task));
    }

    pub(crate) fn close(&self) {
        self.idle.close();
        while let Some(task) = self.live.pop() {
            if is_planted(Planted::CloseForgetsIdle) && task.claim_for_queue().is_some() {
                continue;
            }
            task.cancel_for(Reason::Closed);
        }
        self.empty_queues();
        for worker in 0..self.slots.len() {
            self.idle.wake_this(worker);
            self.platform.unpark(worker);
        }
    }

    /// Drops what is queued after the close: references to tasks that are complete or about to be.
    fn empty_queues(&self) {
        while let Some(task) = self.lane.drain() {
            drop(task);
        }
        self.empty(&self.injector);
        for slot in self.slots.iter() {
            self.empty(&slot.queue);
        }
    }

    fn empty(&self, queue: &RunQueue) {
        // Who holds the queue now finds `WANTED` when it is done, notifies, and so empties it.
        while let Some(mut taker) = queue.try_take() {
            while let Some(task) = taker.pop() {
                drop(task);
            }
            if !Taker::release(taker) {
                break;
            }
        }
    }

    /// Takes a place for a worker.
    pub(crate) fn add_worker(&self) -> WorkerId {
        self.slots.acquire()
    }

    /// Gives a worker's place back, and its tasks to the others.
    pub(crate) fn remove_worker(&self, worker: WorkerId) {
        if let Some(slot) = self.slots.get(worker) {
            // Acquire: see what the worker's last poll queued. It is this very thread, but for loom.
            let _ = slot.run_woken.swap(false, Acquire);
            while let Some(mut taker) = slot.queue.try_take() {
                while let Some(task) = taker.pop() {
                    self.injector.push(task);
                }
                if !Taker::release(taker) {
                    break;
                }
            }
        }
        self.slots.release(worker);
        self.notify();
    }
}
