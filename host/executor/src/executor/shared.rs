//! The part that all workers of one executor share.

use super::{
    slot::{Counts, OwnSlot, Slot},
    slots::Slots,
};
use crate::{
    fair::Lanes,
    idle::Idle,
    memory::LockedRegistry,
    platform::{CurrentWorker, Platform, WorkerId},
    queue::RunQueue,
    sync::{
        Apart, AtomicUsize, Counter,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};
use core::ptr::{self, NonNull};

/// Lists for tasks that are spawned outside every worker, so that threads that spawn rarely meet. Chosen, not measured.
#[cfg(not(any(loom, shuttle)))]
pub(super) const OUTSIDE: usize = 8;
#[cfg(any(loom, shuttle))]
pub(super) const OUTSIDE: usize = 1;

pub(crate) struct Shared {
    /// Counted pointers to this: see [`SharedRef`](super::shared_ref::SharedRef).
    pub(super) refs: Apart<AtomicUsize>,
    platform: alloc::sync::Arc<dyn Platform>,
    injector: RunQueue,
    lanes: Lanes,
    slots: Slots,
    idle: Idle,
    /// The live tasks that were spawned outside every worker.
    pub(super) outside: [LockedRegistry; OUTSIDE],
    /// How many were spawned there.
    pub(super) outside_spawned: Apart<AtomicUsize>,
    /// How many tasks ended there.
    pub(super) outside_ended: Apart<AtomicUsize>,
    /// `Executor`s and `Worker`s that refer to this: at zero it is closed.
    handles: AtomicUsize,
    next_id: Apart<AtomicUsize>,
    /// Wakes from outside every worker that no tick has reported yet.
    pub(super) external_wakes: Apart<AtomicUsize>,
}

impl Shared {
    pub(super) fn new(workers: usize, platform: alloc::sync::Arc<dyn Platform>) -> Self {
        Self {
            refs: Apart(AtomicUsize::new(1)),
            lanes: Lanes::new(platform.domains(workers), &platform),
            platform,
            injector: RunQueue::new(),
            slots: Slots::new(workers),
            idle: Idle::new(),
            outside: core::array::from_fn(|_| LockedRegistry::new()),
            outside_spawned: Apart(AtomicUsize::new(0)),
            outside_ended: Apart(AtomicUsize::new(0)),
            handles: AtomicUsize::new(1),
            next_id: Apart(AtomicUsize::new(1)),
            external_wakes: Apart(AtomicUsize::new(0)),
        }
    }

    pub(crate) fn platform(&self) -> &alloc::sync::Arc<dyn Platform> {
        &self.platform
    }

    pub(crate) fn injector(&self) -> &RunQueue {
        &self.injector
    }

    pub(crate) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(crate) fn idle(&self) -> &Idle {
        &self.idle
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.idle.is_closed()
    }

    /// The first of `n` consecutive ids.
    pub(crate) fn next_ids(&self, n: usize) -> usize {
        // Relaxed: only the numbers matter.
        self.next_id.fetch_add(n, Relaxed)
    }

    /// Exact if no task is spawned or ends meanwhile.
    pub(super) fn pending_tasks(&self) -> usize {
        // What ended is read first: a task that ends meanwhile is not counted as if it had never been. Acquire keeps the
        // loads in this order; it pairs with nothing.
        let sum = |outside: &AtomicUsize, count: fn(&Counts) -> &Counter| {
            let slots = self.slots.iter();
            let counts = slots.map(|slot| count(&slot.counts).get());
            counts.fold(outside.load(Acquire), usize::wrapping_add)
        };
        let ended = sum(&self.outside_ended, |counts| &counts.ended);
        let spawned = sum(&self.outside_spawned, |counts| &counts.spawned);
        usize::try_from(spawned.wrapping_sub(ended).cast_signed()).unwrap_or(0)
    }

    pub(crate) fn take_external_wakes(&self) -> usize {
        // The load keeps ticks without any from writing a shared line.
        if self.external_wakes.load(Relaxed) == 0 {
            return 0;
        }
        self.external_wakes.swap(0, Relaxed)
    }

    // === handles ===

    pub(super) fn add_handle(&self) {
        // Relaxed: the new handle is made from one that keeps the executor open.
        let before = self.handles.fetch_add(1, Relaxed);
        assert!(before < usize::MAX / 2, "handles to an executor are leaked");
    }

    /// Whether it was the last.
    pub(super) fn drop_handle(&self) -> bool {
        // AcqRel pairs with itself: the last one closes after what was done with the others.
        self.handles.fetch_sub(1, AcqRel) == 1
    }

    // === which worker runs here ===

    /// What tells this executor's worker from others in a per-core cell.
    pub(crate) fn current(&self, slot: &OwnSlot) -> CurrentWorker {
        let place: &Slot = slot;
        CurrentWorker::new(self.address(), slot.worker(), NonNull::from(place).cast())
    }

    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// This executor's worker on the calling core.
    pub(crate) fn current_worker(&self) -> Option<WorkerId> {
        self.current_slot().map(|slot| slot.worker())
    }

    /// The slot of this executor's worker on the calling core.
    #[inline]
    pub(crate) fn current_slot(&self) -> Option<&OwnSlot> {
        let current = self.platform.current_worker()?;
        let slot = current.slot_of(self.address())?.cast::<Slot>();
        // SAFETY: a worker of this executor wrote the cell in `current`, and is there until it restores the cell: nobody
        // else may write it (`set_current_worker`). Slots stay as long as `self`.
        let slot = unsafe { slot.as_ref() };
        // SAFETY: the cell is the calling core's, so the worker runs here, as `Platform` promises.
        Some(unsafe { slot.own() })
    }

    /// This slot, if the calling core runs its worker.
    pub(crate) fn own(&self, slot: &Slot) -> Option<&OwnSlot> {
        let is_it = |own: &&OwnSlot| ptr::eq::<Slot>(&***own, slot);
        self.current_slot().filter(is_it)
    }
}
