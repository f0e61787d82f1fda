//! Where the workers' queues are: places that stay, so that anybody may look at them at any time.

use crate::{
    group::{GroupInner, Meter, turn::Turn},
    idle::MAX_WORKERS,
    live::Live,
    platform::WorkerId,
    queue::LocalQueue,
    sync::{
        Arc, AtomicBool, AtomicPtr, AtomicUsize, Counter, Mutex,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        UnsafeCell,
    },
    task::{Header, Id, TaskRef},
};
use alloc::{boxed::Box, vec::Vec};
use core::ptr::{self, NonNull};

#[cfg(not(any(loom, shuttle, miri)))]
const CHUNK: usize = 8;
#[cfg(any(loom, shuttle, miri))]
const CHUNK: usize = 3;
#[cfg(not(any(loom, shuttle, miri)))]
const CHUNKS: usize = 512;
#[cfg(loom)]
const CHUNKS: usize = 1;
#[cfg(any(shuttle, miri))]
const CHUNKS: usize = 12;

const _: () = assert!(CHUNK * CHUNKS <= MAX_WORKERS);

/// One worker's place. Aligned so that no two workers write the same cache line (or the same pair of lines, which
/// some machines fetch together).
#[repr(align(128))]
pub(crate) struct Slot {
    /// Whose place it is.
    worker: WorkerId,
    pub(crate) queue: LocalQueue,
    /// The tasks that were spawned here and live.
    pub(crate) live: Live,
    /// The waker of the worker's `run` future was called.
    pub(crate) run_woken: AtomicBool,
    /// Tasks of the fair lane that the worker took together.
    pub(crate) turn: Turn,
    /// The task being polled. Only the worker's own core touches it.
    current: UnsafeCell<Option<NonNull<Header>>>,
    /// What the present poll has used. Only its own core touches it.
    meter: UnsafeCell<Meter>,
    /// Counts of the shared part that tasks spawned here will hold. Only its own core touches it.
    spare_counts: UnsafeCell<usize>,
    /// Ids for tasks that are spawned here: the next one, and how many are left. Only its own core touches it.
    ids: UnsafeCell<(usize, usize)>,
    /// A task completes, and its joiner is woken. Only its own core touches it.
    completing: UnsafeCell<bool>,
    pub(crate) counts: Counts,
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
    /// Tasks that ended here, whoever spawned them.
    pub(crate) ended: Counter,
}

// SAFETY: everything but `current`, `meter`, `spare_counts`, `ids`, `completing` and the owner's side of `queue` and `live` is
// `Sync`; these are only touched by the core that runs the worker of this slot, and a worker cannot leave its core
// while it polls.
unsafe impl Sync for Slot {}
// SAFETY: `TaskRef` is `Send`, as is everything else in it.
unsafe impl Send for Slot {}

/// All the places: an array that grows by chunks which never move, so that a look needs no lock and an
/// id stays good. A place is used again once its worker is gone.
pub(crate) struct Slots {
    chunks: Box<[AtomicPtr<[Slot; CHUNK]>]>,
    /// Places used so far. Release when it grows, pairs with the Acquire of `len`: the chunk is there.
    len: AtomicUsize,
    /// Workers that live.
    active: AtomicUsize,
    /// Places below `len` that no worker has. Also the lock for growing.
    free: Mutex<Vec<WorkerId>>,
}

impl Slot {
    fn new(worker: WorkerId) -> Self {
        Self {
            worker,
            queue: LocalQueue::new(),
            live: Live::new(),
            run_woken: AtomicBool::new(false),
            turn: Turn::new(),
            current: UnsafeCell::new(None),
            meter: UnsafeCell::new(Meter::default()),
            spare_counts: UnsafeCell::new(0),
            ids: UnsafeCell::new((0, 0)),
            completing: UnsafeCell::new(false),
            counts: Counts::default(),
        }
    }

    pub(crate) fn worker(&self) -> WorkerId {
        self.worker
    }

    /// The counts of the shared part that are spare. Only on this worker's own core; `f` must not call back.
    pub(crate) fn spare_counts<R>(&self, f: impl FnOnce(&mut usize) -> R) -> R {
        self.spare_counts.with_mut(|spare| {
            // SAFETY: as in `replace_current`; `f` does not get at the field again.
            f(unsafe { &mut *spare })
        })
    }

    /// An id for a task that is spawned here; `more` makes so many consecutive ones. Only on this worker's own core.
    pub(crate) fn next_id(&self, more: impl FnOnce(usize) -> usize) -> Id {
        /// Ids that are taken from the executor at once. Guessed.
        const BATCH: usize = 256;

        self.ids.with_mut(|ids| {
            // SAFETY: as in `replace_current`; `more` does not get at the field.
            let (next, left) = unsafe { &mut *ids };
            if *left == 0 {
                (*next, *left) = (more(BATCH), BATCH);
            }
            let id = *next;
            *next = next.wrapping_add(1);
            *left -= 1;
            Id(id)
        })
    }

    /// Whether [`completing`](Self::completing) runs. Only on this worker's own core.
    pub(crate) fn is_completing(&self) -> bool {
        // SAFETY: as in `replace_current`.
        self.completing.with(|completing| unsafe { *completing })
    }

    /// Runs `wake`, which wakes the joiner of a task that has completed: the joiner goes to the end of the queue,
    /// because it often joins one of many, and those that are still queued would each wake it once more. Only on this
    /// worker's own core; `wake` must not panic.
    pub(crate) fn completing(&self, wake: impl FnOnce()) {
        let set = |to: bool| {
            // SAFETY: as in `replace_current`.
            self.completing
                .with_mut(|completing| unsafe { completing.replace(to) })
        };
        let before = set(true);
        wake();
        set(before);
    }

    /// Runs `poll` with `task` as the task that is polled. Only on this worker's own core.
    pub(crate) fn polling<R>(&self, task: &TaskRef, poll: impl FnOnce() -> R) -> R {
        /// Puts back what was there, also if the poll panics under loom.
        struct Restore<'a>(&'a Slot, Option<NonNull<Header>>);

        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.replace_current(self.1);
            }
        }

        let _restore = Restore(self, self.replace_current(Some(task.as_ptr())));
        poll()
    }

    fn replace_current(&self, task: Option<NonNull<Header>>) -> Option<NonNull<Header>> {
        // SAFETY: only this core touches the field, and no reference to its content outlives a call.
        self.current
            .with_mut(|current| unsafe { current.replace(task) })
    }

    /// What the present poll has used. Only on this worker's own core; `f` must not call back.
    pub(crate) fn meter<R>(&self, f: impl FnOnce(&mut Meter) -> R) -> R {
        self.meter.with_mut(|meter| {
            // SAFETY: as in `replace_current`; `f` does not get at the field again.
            f(unsafe { &mut *meter })
        })
    }

    /// The group of the task that is polled. Only on this worker's own core.
    pub(crate) fn current_group(&self) -> Option<Arc<GroupInner>> {
        // SAFETY: as in `replace_current`.
        let task = self.current.with(|current| unsafe { *current })?;
        // SAFETY: `polling` borrows the task for as long as it is here, so it is alive.
        unsafe { task.as_ref() }.group().cloned()
    }

    /// The task that is polled. Only on this worker's own core.
    pub(crate) fn current_task(&self) -> Option<TaskRef> {
        // SAFETY: as in `replace_current`.
        let task = self.current.with(|current| unsafe { *current })?;
        // SAFETY: `polling` borrows the task for as long as it is here, so it is alive; the copy of the
        // reference is not dropped, only cloned.
        Some(TaskRef::clone(&*unsafe { TaskRef::borrow(task) }))
    }
}

impl Slots {
    pub(crate) fn new(workers: usize) -> Self {
        let slots = Self {
            chunks: (0..CHUNKS)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
            len: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            free: Mutex::new(Vec::with_capacity(workers)),
        };
        for chunk in 0..workers.div_ceil(CHUNK).min(CHUNKS) {
            slots.grow(chunk);
        }
        slots
    }

    /// Makes a chunk, if it is not there yet. Under the lock, or before anybody else sees `self`.
    fn grow(&self, chunk: usize) {
        if self.chunks[chunk].load(Acquire).is_null() {
            let slots = Box::new(core::array::from_fn(|index| {
                Slot::new(chunk * CHUNK + index)
            }));
            // Release: pairs with the Acquire of `get`.
            self.chunks[chunk].store(Box::into_raw(slots), Release);
        }
    }

    /// A place for a new worker.
    ///
    /// # Panics
    ///
    /// If there are too many workers.
    pub(crate) fn acquire(&self) -> WorkerId {
        let mut free = self.free.lock();
        let worker = free.pop().unwrap_or_else(|| {
            let worker = self.len.load(Relaxed);
            assert!(
                worker < CHUNK * CHUNKS,
                "an executor has at most {} workers",
                CHUNK * CHUNKS
            );
            self.grow(worker / CHUNK);
            self.len.store(worker + 1, Release);
            worker
        });
        self.active.fetch_add(1, Relaxed);
        worker
    }

    pub(crate) fn release(&self, worker: WorkerId) {
        self.active.fetch_sub(1, AcqRel);
        self.free.lock().push(worker);
    }

    /// How many places there are; some may have no worker now.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Acquire)
    }

    /// How many workers live.
    pub(crate) fn active(&self) -> usize {
        self.active.load(Relaxed)
    }

    pub(crate) fn get(&self, worker: WorkerId) -> Option<&Slot> {
        let chunk = self.chunks.get(worker / CHUNK)?.load(Acquire);
        // SAFETY: a chunk, once there, lives until `self` is dropped, and is only shared.
        let chunk = unsafe { chunk.as_ref() }?;
        Some(&chunk[worker % CHUNK])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        (0..self.len()).filter_map(|worker| self.get(worker))
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for chunk in &mut self.chunks {
            // `&mut self`: nobody else is here. Relaxed would do, were it not for loom.
            let chunk = chunk.load(Acquire);
            if !chunk.is_null() {
                // SAFETY: made by `Box::into_raw` in `grow`, and not used again.
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
    }
}
