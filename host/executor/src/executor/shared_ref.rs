//! The counted pointer to the shared part.
//!
//! Every task holds one, because a waker may use it long after the last handle is gone. With a plain counter all
//! cores would write one line twice per task. So a worker takes [`BATCH`] counts at once, hands them to the tasks that
//! it spawns, and takes back those of tasks that it frees. What it has is in its [`OwnSlot`]. A worker holds a count of
//! its own, so the counter does not reach zero while counts are spare.

use super::{shared::Shared, slot::OwnSlot};
use crate::{
    platform::Platform,
    sync::Ordering::{AcqRel, Relaxed, Release},
};
use alloc::boxed::Box;
use core::{mem::ManuallyDrop, ops::Deref, ptr::NonNull};

/// Counts that a worker takes at once. Chosen, not measured: the counter's line is written once in so many spawns.
const BATCH: usize = 1024;

pub(crate) struct SharedRef(NonNull<Shared>);

// SAFETY: a counted pointer to something that is `Send` and `Sync`, as `Arc` is.
unsafe impl Send for SharedRef {}
// SAFETY: as above.
unsafe impl Sync for SharedRef {}

impl SharedRef {
    /// The first one, to a new shared part.
    pub(super) fn new(workers: usize, platform: alloc::sync::Arc<dyn Platform>) -> Self {
        let shared = Box::new(Shared::new(workers, platform));
        Self(NonNull::from(Box::leak(shared)))
    }

    /// The same pointer once more, not counted.
    ///
    /// # Safety
    ///
    /// What is counted must outlive the result, which must not be dropped, or dropped instead of it.
    pub(super) unsafe fn alias(&self) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self(self.0))
    }

    pub(crate) fn ptr_eq(a: &Self, b: &Self) -> bool {
        a.0 == b.0
    }

    /// A further one, out of the spare counts of the worker on whose core this happens.
    #[inline]
    pub(super) fn clone_on(&self, slot: Option<&OwnSlot>) -> Self {
        let Some(slot) = slot else {
            return self.clone();
        };
        let mut spare = slot.spare_counts().get();
        if spare == 0 {
            // Relaxed, as in `clone`.
            self.refs.fetch_add(BATCH, Relaxed);
            spare = BATCH;
        }
        slot.spare_counts().set(spare - 1);
        Self(self.0)
    }

    /// Gives it to the spare counts of the worker on whose core this happens.
    #[inline]
    pub(super) fn drop_on(self, slot: Option<&OwnSlot>) {
        let Some(slot) = slot else {
            return;
        };
        let mut spare = slot.spare_counts().get() + 1;
        if spare > 2 * BATCH {
            spare -= BATCH;
            // Release, as in `drop`. Not the last ones: the worker holds one itself.
            self.refs.fetch_sub(BATCH, Release);
        }
        slot.spare_counts().set(spare);
        let _ = ManuallyDrop::new(self);
    }

    /// Gives back what a worker that goes away has to spare.
    pub(super) fn return_spare(&self, slot: &OwnSlot) {
        let spare = slot.spare_counts().take();
        // Release, as in `drop`. Not the last ones: we hold one.
        self.refs.fetch_sub(spare, Release);
    }
}

impl Deref for SharedRef {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        // SAFETY: a count of ours keeps it alive.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for SharedRef {
    fn clone(&self) -> Self {
        // Relaxed: the new count is made from one that keeps the shared part alive.
        let before = self.refs.fetch_add(1, Relaxed);
        assert!(
            before < usize::MAX / 2,
            "references to an executor are leaked"
        );
        Self(self.0)
    }
}

impl Drop for SharedRef {
    fn drop(&mut self) {
        // AcqRel pairs with itself, and with the Release of spare counts: the last one frees after what was done with the
        // others.
        if self.refs.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: made by `Box::leak` in `new`, and this was the last count.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}
