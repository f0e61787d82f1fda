//! The counted pointer to the shared part.
//!
//! Every task holds one, because a waker may use it long after the last handle is gone. With a plain counter all
//! cores would write one line twice per task; so a worker takes [`BATCH`] counts at once, hands them to the tasks that
//! it spawns, and takes back those of tasks that it frees. What it has is in its [`Slot`], which only its own core
//! touches. A worker holds a count of its own, so the counter does not reach zero while counts are spare.

use super::Shared;
use crate::{
    scheduler::Slot,
    sync::Ordering::{AcqRel, Relaxed, Release},
};
use alloc::boxed::Box;
use core::{mem::ManuallyDrop, ops::Deref, ptr::NonNull};

/// Counts that a worker takes at once. Guessed: large enough that the counter's line is written once in many spawns.
const BATCH: usize = 1024;

pub(crate) struct Strong(NonNull<Shared>);

// SAFETY: a counted pointer to something that is `Send` and `Sync`, as `Arc` is.
unsafe impl Send for Strong {}
// SAFETY: as above.
unsafe impl Sync for Strong {}

impl Strong {
    /// The first one.
    pub(super) fn new(shared: Shared) -> Self {
        Self(NonNull::from(Box::leak(Box::new(shared))))
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
    pub(crate) fn clone_on(&self, slot: Option<&Slot>) -> Self {
        let Some(slot) = slot else {
            return self.clone();
        };
        slot.spare_counts(|spare| {
            if *spare == 0 {
                // Relaxed, as in `clone`.
                self.refs.fetch_add(BATCH, Relaxed);
                *spare = BATCH;
            }
            *spare -= 1;
        });
        Self(self.0)
    }

    /// Gives it to the spare counts of the worker on whose core this happens.
    pub(crate) fn drop_on(self, slot: Option<&Slot>) {
        let Some(slot) = slot else {
            return;
        };
        slot.spare_counts(|spare| {
            *spare += 1;
            if *spare > 2 * BATCH {
                *spare -= BATCH;
                // Release, as in `drop`. Not the last ones: the worker holds one itself.
                self.refs.fetch_sub(BATCH, Release);
            }
        });
        let _ = ManuallyDrop::new(self);
    }

    /// Gives back what a worker that goes away has to spare.
    pub(super) fn return_spare(&self, slot: &Slot) {
        let spare = slot.spare_counts(core::mem::take);
        // Release, as in `drop`. Not the last ones: we hold one.
        self.refs.fetch_sub(spare, Release);
    }
}

impl Deref for Strong {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        // SAFETY: a count of ours keeps it alive.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for Strong {
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

impl Drop for Strong {
    fn drop(&mut self) {
        // Release, so that whoever frees it sees all that was done with this count; Acquire, for who frees it.
        if self.refs.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: made by `Box::leak` in `new`, and this was the last count.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}
