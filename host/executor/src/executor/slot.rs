//! What the executor has for one worker.
//!
//! Any thread may look at a [`Slot`]. What only the worker's own core may touch is reached through an [`OwnSlot`], which
//! is the same slot as that core sees it.

use super::awaited::Awaited;
use crate::{
    error::SpawnError,
    fair::{Batch, Flight, Look, Meter},
    memory::{Block, Registry, RegistryEntry},
    platform::WorkerId,
    queue::{LocalOwner, LocalQueue},
    sync::{AtomicBool, AtomicUsize, Counter, Ordering::Relaxed},
    task::{Header, Id, TaskRef},
};
use core::{
    alloc::Layout,
    cell::Cell,
    marker::PhantomData,
    ops::Deref,
    ptr::{self, NonNull},
};

/// Ids that a worker takes from the executor at once. Chosen, not measured: the counter's line is written once in so many
/// spawns.
const ID_BATCH: usize = 256;

/// One worker's place. Aligned so that no two workers write the same cache line (or the same pair of lines, which
/// some machines fetch together).
#[repr(align(128))]
pub(crate) struct Slot {
    /// Whose place it is.
    worker: WorkerId,
    /// The domain of the present worker. Written before that runs.
    domain: AtomicUsize,
    pub(crate) queue: LocalQueue,
    /// The live tasks that were spawned here.
    pub(super) registry: Registry,
    /// The waker of the worker's `run` future was called.
    pub(crate) run_woken: AtomicBool,
    /// The waker of the executor that polls the worker, if one does.
    pub(crate) awaited: Awaited,
    /// Tasks of the fair lane that the worker took together.
    pub(crate) batch: Batch,
    /// What the present poll has used, for other cores to see.
    pub(crate) flight: Flight,
    pub(crate) counts: Counts,
    own: Own,
}

/// What only the worker's own core touches.
struct Own {
    /// The task that is polled.
    current: Cell<Option<NonNull<Header>>>,
    /// What the present poll has used.
    meter: Cell<Meter>,
    /// Counts of the shared part that tasks spawned here will hold.
    spare_counts: Cell<usize>,
    /// Ids for tasks that are spawned here: the next one, and how many are left.
    ids: Cell<(usize, usize)>,
    /// A task completes, and its joiner is woken.
    completing: Cell<bool>,
    /// When the worker looks at other domains.
    look: Cell<Look>,
}

/// What a worker did since the executor was made.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) polls: Counter,
    pub(crate) completed: Counter,
    pub(crate) steals: Counter,
    pub(crate) stolen: Counter,
    pub(crate) parks: Counter,
    pub(crate) spawned: Counter,
    pub(crate) woken: Counter,
    /// Tasks that ended here, wherever they were spawned.
    pub(crate) ended: Counter,
}

// SAFETY: everything but `own` is `Sync`, and `own` is private to this file, which reaches it through `OwnSlot` only: on
// the core that runs the worker, which cannot leave that core while it polls.
unsafe impl Sync for Slot {}
// SAFETY: the pointer in `own` is to a task, which is `Send`, as is everything else in it.
unsafe impl Send for Slot {}

/// A slot, on the core that runs its worker.
#[repr(transparent)]
pub(crate) struct OwnSlot {
    slot: Slot,
    /// A reference to it stays on its core.
    _not_sync: PhantomData<*mut ()>,
}

impl Slot {
    pub(super) fn new(worker: WorkerId) -> Self {
        Self {
            worker,
            domain: AtomicUsize::new(0),
            queue: LocalQueue::new(),
            registry: Registry::new(),
            run_woken: AtomicBool::new(false),
            awaited: Awaited::new(),
            batch: Batch::new(worker),
            flight: Flight::default(),
            counts: Counts::default(),
            own: Own {
                current: Cell::new(None),
                meter: Cell::new(Meter::default()),
                spare_counts: Cell::new(0),
                ids: Cell::new((0, 0)),
                completing: Cell::new(false),
                look: Cell::new(Look::new(worker)),
            },
        }
    }

    pub(crate) fn worker(&self) -> WorkerId {
        self.worker
    }

    /// The domain of its worker.
    #[inline]
    pub(crate) fn domain(&self) -> usize {
        // Relaxed: it orders nothing. One that is wrong, because the place has just got another worker, is that of an
        // empty batch.
        self.domain.load(Relaxed)
    }

    pub(super) fn set_domain(&self, domain: usize) {
        self.domain.store(domain, Relaxed);
    }

    /// The slot as its own core sees it.
    ///
    /// # Safety
    ///
    /// The slot's worker is the calling thread's, and stays so for as long as the result is used.
    #[inline]
    pub(crate) unsafe fn own(&self) -> &OwnSlot {
        // SAFETY: `OwnSlot` is transparent; that this is the slot's own core, the caller promises.
        unsafe { &*ptr::from_ref(self).cast() }
    }
}

impl Deref for OwnSlot {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        &self.slot
    }
}

impl OwnSlot {
    /// The owner's side of the queue.
    #[inline]
    pub(crate) fn own_queue(&self) -> LocalOwner<'_> {
        // SAFETY: this is the worker's own core, and the result stays on it.
        unsafe { self.queue.owner() }
    }

    /// A free entry for a task that is spawned here, and memory of this layout, if one is given.
    #[inline]
    pub(super) fn reserve(
        &self,
        layout: Option<Layout>,
    ) -> Result<(RegistryEntry, Option<Block>), SpawnError> {
        // SAFETY: this is the worker's own core, which owns the list.
        unsafe { self.registry.reserve(layout) }
    }

    /// The counts of the shared part that are spare.
    pub(super) fn spare_counts(&self) -> &Cell<usize> {
        &self.own.spare_counts
    }

    /// An id for a task that is spawned here; `more` makes so many consecutive ones.
    pub(super) fn next_id(&self, more: impl FnOnce(usize) -> usize) -> Id {
        let (next, left) = match self.own.ids.get() {
            (_, 0) => (more(ID_BATCH), ID_BATCH),
            ids => ids,
        };
        self.own.ids.set((next.wrapping_add(1), left - 1));
        Id(next)
    }

    /// Whether [`completing`](Self::completing) runs.
    pub(super) fn is_completing(&self) -> bool {
        self.own.completing.get()
    }

    /// Runs `wake`, which wakes the joiner of a task that has completed. The joiner goes to the end of the queue,
    /// because it often joins one of many, and those that are still queued would each wake it once more. `wake` does not
    /// panic.
    pub(super) fn completing(&self, wake: impl FnOnce()) {
        let before = self.own.completing.replace(true);
        wake();
        self.own.completing.set(before);
    }

    /// Runs `poll` with `task` as the task that is polled.
    pub(super) fn polling<R>(&self, task: &TaskRef, poll: impl FnOnce() -> R) -> R {
        /// Puts back what was there, also if the poll panics under loom.
        struct Restore<'a>(&'a OwnSlot, Option<NonNull<Header>>);

        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.own.current.set(self.1);
            }
        }

        let _restore = Restore(self, self.own.current.replace(Some(task.as_ptr())));
        poll()
    }

    /// What the present poll has used. `f` gets a copy: it asks the platform, whose code is foreign and may call back.
    pub(crate) fn meter<R>(&self, f: impl FnOnce(&mut Meter) -> R) -> R {
        let mut meter = self.own.meter.get();
        let result = f(&mut meter);
        self.own.meter.set(meter);
        result
    }

    /// When the worker looks at other domains. `f` has a copy, as in [`meter`](Self::meter).
    pub(crate) fn look<R>(&self, f: impl FnOnce(&mut Look) -> R) -> R {
        let mut look = self.own.look.get();
        let result = f(&mut look);
        self.own.look.set(look);
        result
    }

    /// Gives the task that is polled to `f`.
    pub(super) fn with_current<R>(&self, f: impl FnOnce(&TaskRef) -> R) -> Option<R> {
        let task = self.own.current.get()?;
        // SAFETY: `polling` borrows the task for as long as it is here, and `f` runs within that poll: it is alive.
        let task = unsafe { TaskRef::borrow(task) };
        Some(f(&task))
    }

    /// The task that is polled.
    pub(crate) fn current_task(&self) -> Option<TaskRef> {
        self.with_current(TaskRef::clone)
    }
}
