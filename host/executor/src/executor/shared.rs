//! Queues, sleepers and live tasks of one executor, and the protocols between them.
//!
//! **Enqueue.** A runnable task goes to its group's queue in the fair lane; without a group to the queue
//! of the worker on whose core this happens; from elsewhere to the injector. Then
//! [`notify`](Shared::notify), always: see [`idle`](crate::idle) for why that is enough.
//!
//! **Close.**
//! 1. Set the flag in the idle word. Whoever spawns after that sees it, when its task is listed, and takes it back.
//! 2. Take every task out of the lists of live tasks and cancel it. One that is being polled is ended by its poller.
//! 3. Empty the queues: what is left in them are references to completed tasks.
//! 4. Unpark every worker; each finds the flag and returns.
//! 5. A wake or a stealer that was under way may still put a reference into a queue after 3. Its
//!    `notify` finds the flag, and empties the queues again: so no reference stays, and with the last
//!    task goes the last pointer back to this struct.

use super::Strong;
use crate::{
    error::SpawnError,
    group::{DEFAULT_SLICE, GroupInner, Lane, lane::Pace},
    idle::{Idle, Notify},
    live::{Listed, OUTSIDE, Outside},
    planted::{Planted, is_planted},
    platform::{Core, Platform, WorkerId},
    queue::{LocalQueue, RunQueue},
    scheduler::{Slot, Slots},
    sync::{
        Arc, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    task::{Id, Metadata, Reason, SpawnParts, TaskRef},
};
use core::{alloc::Layout, ptr::NonNull, time::Duration};

pub(crate) struct Shared {
    /// Counted pointers to this: see [`Strong`].
    pub(super) refs: AtomicUsize,
    platform: alloc::sync::Arc<dyn Platform>,
    injector: RunQueue,
    lane: Lane,
    slots: Slots,
    idle: Idle,
    /// The live tasks that were spawned outside every worker.
    outside: [Outside; OUTSIDE],
    /// How many were spawned there.
    outside_spawned: AtomicUsize,
    /// How many tasks ended there.
    outside_ended: AtomicUsize,
    /// `Executor`s and `Worker`s that refer to this: at zero it is closed.
    handles: AtomicUsize,
    next_id: AtomicUsize,
    /// Wakes from outside every worker that no tick has reported yet.
    external_wakes: AtomicUsize,
}

impl Shared {
    pub(super) fn new(workers: usize, platform: alloc::sync::Arc<dyn Platform>) -> Self {
        Self {
            refs: AtomicUsize::new(1),
            platform,
            injector: RunQueue::new(),
            lane: Lane::new(),
            slots: Slots::new(workers),
            idle: Idle::new(workers),
            outside: core::array::from_fn(|_| Outside::new()),
            outside_spawned: AtomicUsize::new(0),
            outside_ended: AtomicUsize::new(0),
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

    /// The first of `n` consecutive ids.
    pub(crate) fn next_ids(&self, n: usize) -> usize {
        self.next_id.fetch_add(n, Relaxed)
    }

    /// Exact where nobody spawns or ends a task meanwhile.
    pub(crate) fn pending_tasks(&self) -> usize {
        // What ended is read first: a task that ended meanwhile is not counted as if it had never been.
        let ended = self
            .slots
            .iter()
            .map(|slot| slot.counts.ended.get())
            .fold(self.outside_ended.load(Acquire), usize::wrapping_add);
        let spawned = self
            .slots
            .iter()
            .map(|slot| slot.counts.spawned.get())
            .fold(self.outside_spawned.load(Acquire), usize::wrapping_add);
        usize::try_from(spawned.wrapping_sub(ended).cast_signed()).unwrap_or(0)
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
        let before = self.handles.fetch_add(1, Relaxed);
        assert!(before < usize::MAX / 2, "handles to an executor are leaked");
    }

    /// Whether it was the last.
    pub(super) fn drop_handle(&self) -> bool {
        self.handles.fetch_sub(1, AcqRel) == 1
    }

    // === who runs here ===

    /// What tells this executor's worker from others in a per-core cell.
    pub(crate) fn core(&self, slot: &Slot) -> Core {
        Core {
            executor: self.address(),
            worker: slot.worker(),
            slot: NonNull::from(slot),
        }
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// This executor's worker on the calling core.
    pub(crate) fn current_worker(&self) -> Option<WorkerId> {
        self.current_slot().map(Slot::worker)
    }

    /// The place of this executor's worker on the calling core.
    #[inline]
    pub(crate) fn current_slot(&self) -> Option<&Slot> {
        let core = self.platform.core()?;
        if core.executor != self.address() {
            return None;
        }
        // SAFETY: the cell was written by a worker of this executor which is there until it restores the cell, and
        // places stay as long as `self`.
        Some(unsafe { core.slot.as_ref() })
    }

    // === spawn ===

    /// Takes back what [`Strong::parts`] reserved, where the task could not be made.
    pub(crate) fn unreserve(&self, slot: Option<&Slot>, listed: Listed) {
        // SAFETY: it was reserved, for a task that does not exist; the list is ours.
        unsafe { listed.give_back(slot.map(|slot| &slot.live)) };
    }

    /// Lists and queues a new task: `queued` is the queue's reference, `live` the list's. `false` if the executor was
    /// closed meanwhile: the caller cancels the task, which `close` may have missed.
    pub(crate) fn spawn(&self, slot: Option<&Slot>, queued: TaskRef, live: TaskRef) -> bool {
        if let Some(group) = queued.header().group() {
            group.counts.spawned();
        }
        match slot {
            Some(slot) => slot.counts.spawned.add(1),
            None => {
                self.outside_spawned.fetch_add(1, Relaxed);
            }
        }
        let listed = live.header().listed();
        // SAFETY: `parts` reserved it for this task; the list is ours.
        unsafe { listed.publish(live) };
        self.push(slot, queued);
        self.notify()
    }

    // === enqueue ===

    /// Queues a task that was woken.
    pub(crate) fn schedule_woken(&self, task: TaskRef) {
        let slot = self.current_slot();
        match slot {
            Some(slot) => slot.counts.woken.add(1),
            None if cfg!(feature = "counters") => {
                self.external_wakes.fetch_add(1, Relaxed);
            }
            None => {}
        }
        self.push(slot, task);
        self.notify();
    }

    /// As [`schedule_woken`](Self::schedule_woken), where nobody but the task may keep the executor.
    pub(crate) fn schedule_woken_by_value(task: TaskRef) {
        let shared: NonNull<Self> = NonNull::from(&**task.executor());
        // SAFETY: the task keeps the executor, and is not given away yet.
        if unsafe { shared.as_ref() }.current_slot().is_some() {
            // SAFETY: the worker that runs on this core keeps the executor until we return to it.
            unsafe { shared.as_ref() }.schedule_woken(task);
        } else {
            let shared = task.executor().clone();
            shared.schedule_woken(task);
        }
    }

    /// Queues a task on the worker given, unless it has a group, and notifies.
    pub(crate) fn schedule_on(&self, slot: &Slot, task: TaskRef) {
        if task.header().group().is_some() || self.is_own(slot) {
            self.push(Some(slot), task);
        } else {
            slot.queue.backlog().push(task);
        }
        self.notify();
    }

    /// Whether the calling core runs the worker of `slot`.
    pub(crate) fn is_own(&self, slot: &Slot) -> bool {
        self.current_slot()
            .is_some_and(|current| core::ptr::eq(current, slot))
    }

    fn push(&self, slot: Option<&Slot>, task: TaskRef) {
        match (task.header().group(), slot) {
            (Some(group), _) => {
                let group = group.clone();
                self.lane.push(&group, task, self.platform.now());
            }
            (None, Some(slot)) if slot.is_completing() => slot.queue.push_back(task),
            (None, Some(slot)) => slot.queue.push_next(task),
            (None, None) => self.injector.push(task),
        }
    }

    /// Queues a fast-lane task that `slot`'s worker has just polled and that was woken meanwhile. Without a
    /// notification: see rule 1 of [`idle`](crate::idle).
    pub(crate) fn requeue(&self, slot: &Slot, task: TaskRef) {
        slot.queue.push_back(task);
    }

    /// Something was queued, or left in a queue that somebody turned away from. `false` if the executor is closed.
    pub(crate) fn notify(&self) -> bool {
        match self.idle.notify() {
            Notify::Nothing => {}
            Notify::Unpark(worker) => self.platform.unpark(worker),
            Notify::Contended => self.contended(),
            Notify::Closed => {
                self.empty_queues();
                return false;
            }
        }
        true
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
        self.lane_has_due()
            || self.has_fast_waiting()
            || self
                .lane
                .has_tasks(self.slots.iter().map(|slot| &slot.turn))
    }

    /// Whether a task of the fair lane may run now.
    pub(crate) fn lane_has_due(&self) -> bool {
        let is_due = |refill| refill <= self.platform.now();
        self.lane.len() > 0 || self.lane.next_refill().is_some_and(is_due)
    }

    /// As `has_waiting`, but for the fair lane.
    fn has_fast_waiting(&self) -> bool {
        self.injector.len() > 0
            || self.is_closed()
            || self.slots.iter().any(|slot| !slot.queue.is_empty())
            || self
                .current_slot()
                .is_some_and(|slot| slot.run_woken.load(Relaxed))
    }

    /// The calling worker's slot, if it is polling a task of `group`.
    fn slot_polling(&self, group: &Arc<GroupInner>) -> Option<&Slot> {
        self.current_slot().filter(|slot| {
            slot.current_task().is_some_and(|task| {
                task.header()
                    .group()
                    .is_some_and(|polled| Arc::ptr_eq(polled, group))
            })
        })
    }

    /// Makes the group's statistics exact in the middle of a poll. Those of a short one are: they count what is in
    /// flight by the clock, and that is what will be charged.
    pub(crate) fn charge_poll(&self, group: &Arc<GroupInner>) {
        if let Some(slot) = self.slot_polling(group)
            && !slot.meter(|meter| meter.is_short(self.platform.now()))
        {
            self.preemption_point(group, true);
        }
    }

    /// Charges `group` for what the calling worker has used since its last charge, if it is polling a
    /// task of that group; whether it should make way.
    pub(crate) fn preemption_point(&self, group: &Arc<GroupInner>, by_time: bool) -> bool {
        let Some(slot) = self.slot_polling(group) else {
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
        let charged = self.lane.charge(group, cpu, began, now, pace, &slot.turn);
        for _ in 0..charged.gave_back {
            self.notify();
        }
        charged.is_others_turn || self.has_fast_waiting()
    }

    /// Lets groups compete again whose CPU rate allows it; returns when the next one will be.
    pub(crate) fn refill(&self) -> Option<u64> {
        for _ in 0..self.lane.refill(self.platform.now()) {
            self.notify();
        }
        self.lane.next_refill()
    }

    // === ends ===

    /// A task's result is there: it is not live any more. Gives the list's reference, unless `close` has it. `slot` is
    /// that of the calling core's worker.
    pub(crate) fn forget(&self, task: &TaskRef, slot: Option<&Slot>) -> Option<TaskRef> {
        if let Some(group) = task.header().group() {
            group.counts.ended();
        }
        match slot {
            Some(slot) => slot.counts.ended.add(1),
            None => {
                self.outside_ended.fetch_add(1, Relaxed);
            }
        }
        // SAFETY: a task ends once, and the list is ours.
        unsafe { task.header().listed().take(slot.map(|slot| &slot.live)) }
    }

    pub(crate) fn close(&self) {
        self.idle.close();
        let cancel = |task: TaskRef| {
            if is_planted(Planted::CloseForgetsIdle) && task.claim_for_queue().is_some() {
                return;
            }
            task.cancel_for(Reason::Closed);
        };
        for outside in &self.outside {
            outside.take_all(cancel);
        }
        for slot in self.slots.iter() {
            slot.live.take_all(cancel);
        }
        self.empty_queues();
        for worker in 0..self.slots.len() {
            self.idle.wake_this(worker);
            self.platform.unpark(worker);
        }
    }

    /// Drops what is queued after the close: references to tasks that are complete or about to be.
    fn empty_queues(&self) {
        for slot in self.slots.iter() {
            let _ = self.lane.reclaim(&slot.turn, 0);
        }
        while let Some(task) = self.lane.drain() {
            drop(task);
        }
        self.drain(&self.injector);
        for slot in self.slots.iter() {
            self.empty(&slot.queue);
        }
    }

    fn empty(&self, queue: &LocalQueue) {
        while let Some(task) = queue.take_unheld() {
            drop(task);
        }
        self.drain(queue.backlog());
    }

    fn drain(&self, queue: &RunQueue) {
        // Who holds the queue now finds `WANTED` when it is done, notifies, and so empties it.
        while let Some(mut taker) = queue.try_take() {
            while let Some(task) = taker.pop() {
                drop(task);
            }
            if !taker.release() {
                break;
            }
        }
    }

    /// Takes a place for a worker.
    pub(crate) fn add_worker(&self) -> WorkerId {
        let worker = self.slots.acquire();
        self.lane.set_workers(self.slots.active());
        worker
    }
}

impl Strong {
    /// Gives a worker's place back, and its tasks to the others.
    pub(crate) fn remove_worker(&self, worker: WorkerId) {
        if let Some(slot) = self.slots.get(worker) {
            // Acquire: see what the worker's last poll queued. It is this very thread, but for loom.
            let _ = slot.run_woken.swap(false, Acquire);
            while let Some(task) = slot.queue.take_unheld() {
                self.injector.push(task);
            }
            while let Some(mut taker) = slot.queue.backlog().try_take() {
                while let Some(task) = taker.pop() {
                    self.injector.push(task);
                }
                if !taker.release() {
                    break;
                }
            }
            self.return_spare(slot);
        }
        self.slots.release(worker);
        self.lane.set_workers(self.slots.active());
        self.notify();
    }

    /// What a new task needs: `slot` is that of the calling core's worker, `layout` that of the memory, if it is to
    /// come from the pool.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Closed`], or [`SpawnError::Alloc`] where there is no memory to list it.
    #[inline]
    pub(crate) fn parts(
        &self,
        slot: Option<&Slot>,
        group: Option<Arc<GroupInner>>,
        metadata: Metadata,
        layout: Option<Layout>,
    ) -> Result<SpawnParts, SpawnError> {
        if self.is_closed() {
            return Err(SpawnError::Closed);
        }
        let (id, (listed, block)) = match slot {
            Some(slot) => (
                slot.next_id(|n| self.next_ids(n)),
                slot.live.reserve(layout)?,
            ),
            None => {
                let id = self.next_ids(1);
                (Id(id), self.outside[id % OUTSIDE].reserve(layout)?)
            }
        };
        Ok(SpawnParts {
            executor: self.clone_on(slot),
            group,
            listed,
            block,
            id,
            metadata,
        })
    }
}
