//! What only the holder of the lane's lock may touch.
//!
//! Every lane has one [`LaneGuard`], which stays behind its lock: a reference to it proves that the lock is held. What a
//! group has in the lane is [`Guarded`]: it gives a reference out only for a reference to the guard.

use crate::sync::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Tells lanes apart.
pub(super) type LaneId = usize;

/// Proves that the lane's lock is held.
pub(super) struct LaneGuard {
    lane: LaneId,
    /// Which lane of its executor it is.
    index: usize,
    /// There is no other.
    alone: bool,
}

impl LaneGuard {
    /// The guard of a new lane, to be put behind its lock.
    pub(super) fn new(index: usize, alone: bool) -> Self {
        // Not loom's: an id orders nothing.
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self {
            lane: NEXT.fetch_add(1, Relaxed),
            index,
            alone,
        }
    }

    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn lane(&self) -> LaneId {
        self.lane
    }
}

/// A value that only the holder of one lane's lock may touch.
pub(super) struct Guarded<T> {
    lane: LaneId,
    value: UnsafeCell<T>,
}

impl<T> Guarded<T> {
    pub(super) fn new(lane: LaneId, value: T) -> Self {
        Self {
            lane,
            value: UnsafeCell::new(value),
        }
    }

    #[inline]
    pub(super) fn get<'a>(&'a self, guard: &'a LaneGuard) -> &'a T {
        debug_assert_eq!(self.lane, guard.lane, "the group is another executor's");
        // SAFETY: there is one guard with this id, and a shared reference to it lives as long as the result: nobody has
        // an exclusive one, and so nobody has the value exclusively. That the id is the same `Lane::lock_for` has
        // checked, where the group came in: a group of this executor has for each lane what was made for that lane.
        self.value.with(|value| unsafe { &*value })
    }

    #[inline]
    pub(super) fn get_mut<'a>(&'a self, guard: &'a mut LaneGuard) -> &'a mut T {
        debug_assert_eq!(self.lane, guard.lane, "the group is another executor's");
        // SAFETY: as in `get`. The reference to the guard is exclusive, so nobody else has the value at all.
        self.value.with_mut(|value| unsafe { &mut *value })
    }
}

// SAFETY: one thread at a time has the guard, so the value goes from one to the next as behind a lock.
unsafe impl<T: Send> Sync for Guarded<T> {}
// SAFETY: the cell owns the value.
unsafe impl<T: Send> Send for Guarded<T> {}
