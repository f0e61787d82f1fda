//! The slots of all workers: places that stay, so that any thread may look at them at any time.

use super::slot::Slot;
use crate::{
    platform::{MAX_WORKERS, WorkerId},
    sync::{
        AtomicPtr, AtomicUsize, Mutex,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use alloc::{boxed::Box, vec::Vec};
use core::ptr;

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

/// All the places: an array that grows by chunks which never move, so that a look needs no lock and an
/// id stays good. A place is used again once its worker is gone.
pub(crate) struct Slots {
    chunks: Box<[AtomicPtr<[Slot; CHUNK]>]>,
    /// Places used so far. Release when it grows, pairs with the Acquire of `len`: the chunk is there.
    len: AtomicUsize,
    /// Places below `len` that no worker has. Also the lock for growing.
    free: Mutex<Vec<WorkerId>>,
}

impl Slots {
    pub(crate) fn new(workers: usize) -> Self {
        let slots = Self {
            chunks: (0..CHUNKS)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
            len: AtomicUsize::new(0),
            free: Mutex::new(Vec::with_capacity(workers)),
        };
        for chunk in 0..workers.div_ceil(CHUNK).min(CHUNKS) {
            slots.grow(chunk);
        }
        slots
    }

    /// Makes a chunk, if it is not there yet. Under the lock, or before other threads see `self`.
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
        if let Some(worker) = free.pop() {
            return worker;
        }
        let worker = self.len.load(Relaxed);
        assert!(
            worker < CHUNK * CHUNKS,
            "an executor has at most {} workers",
            CHUNK * CHUNKS
        );
        self.grow(worker / CHUNK);
        // Release pairs with the Acquire of `len`: the chunk.
        self.len.store(worker + 1, Release);
        // For when all are given back.
        free.reserve(worker + 1);
        worker
    }

    pub(crate) fn release(&self, worker: WorkerId) {
        self.free.lock().push(worker);
    }

    /// How many places there are; some may have no worker now.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Acquire)
    }

    pub(crate) fn get(&self, worker: WorkerId) -> Option<&Slot> {
        // Acquire pairs with the Release of `grow`: the slots.
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
            // Nobody else is here, so Relaxed would do; Acquire is for loom.
            let chunk = chunk.load(Acquire);
            if !chunk.is_null() {
                // SAFETY: made by `Box::into_raw` in `grow`, and not used again.
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
    }
}
