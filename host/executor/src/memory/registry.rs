//! The live tasks of one list: what `close` walks.
//!
//! A task is listed from its spawn until it completes, and its entry holds a reference to it. Every worker has a
//! list of its own for what it spawns. Lists with locks serve the threads that run no worker.
//!
//! 1. The owner of a list gets a free entry ([`Registry::reserve`]) and puts the task into it
//!    ([`RegistryEntry::publish`]), with plain stores. Lists grow by chunks that never move.
//! 2. A task leaves by a swap of its entry. The completer of the task and `close` may both try; the one that gets the
//!    task out has the list's reference.
//! 3. A free entry goes back to its list: for the owner a plain store, for others a push onto the stack `returned`, of
//!    which the owner takes all at once. The links are in the entries themselves, marked by their lowest bit.
//! 4. `close` sets its flag, fences, then takes the task out of every entry that it finds. A spawn publishes,
//!    fences, then looks at the flag. One of the two sees the other.

use super::pool::{Block, Pool};
use crate::{
    error::SpawnError,
    sync::{
        AtomicPtr, Mutex, MutexGuard,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        UnsafeCell,
    },
    task::{Header, TaskRef},
};
use alloc::alloc::{Layout, alloc, dealloc};
use core::ptr::{self, NonNull};

/// Entries in the first chunk; each further one has twice as many.
#[cfg(not(any(loom, shuttle, miri)))]
const FIRST_CHUNK: usize = 64;
#[cfg(any(loom, shuttle, miri))]
const FIRST_CHUNK: usize = 4;
#[cfg(not(loom))]
const CHUNKS: usize = if usize::BITS < 64 { 20 } else { 32 };
#[cfg(loom)]
const CHUNKS: usize = 1;

/// Marks an entry that is free.
const FREE: usize = 1;

const _: () = assert!(align_of::<Header>() > FREE && align_of::<Entry>() > FREE);

/// A task, or (marked) the next free entry, or null on the way between the two.
struct Entry(AtomicPtr<Header>);

/// One list. Its owner is the core whose worker it belongs to, or the holder of the lock around it.
pub(crate) struct Registry {
    chunks: [AtomicPtr<Entry>; CHUNKS],
    /// Free entries that others gave back.
    returned: AtomicPtr<Header>,
    owned: UnsafeCell<Owned>,
    /// Memory for the tasks that are spawned here.
    pool: Pool,
}

/// What only the owner touches.
struct Owned {
    /// Free entries.
    free: *mut Header,
    /// How many entries there are; all chunks before are full.
    made: usize,
}

/// A list whose owner is the holder of its lock.
pub(crate) struct LockedRegistry {
    lock: Mutex<()>,
    registry: Registry,
}

/// The place of a task in a list.
#[derive(Clone, Copy)]
pub(crate) struct RegistryEntry {
    list: NonNull<Registry>,
    entry: NonNull<Entry>,
}

// SAFETY: it only names a place; the functions that touch the place say who may call them.
unsafe impl Send for RegistryEntry {}
// SAFETY: as for `Send`.
unsafe impl Sync for RegistryEntry {}
// SAFETY: the entries are atomic, and only the owner touches `owned`.
unsafe impl Sync for Registry {}
// SAFETY: its pointers are to its own chunks and to tasks, which are `Send`.
unsafe impl Send for Registry {}

fn marked(entry: *mut Header) -> *mut Header {
    entry.map_addr(|address| address | FREE)
}

fn unmarked(entry: *mut Header) -> *mut Header {
    entry.map_addr(|address| address & !FREE)
}

fn is_task(content: *mut Header) -> bool {
    !content.is_null() && content.addr() & FREE == 0
}

/// Chunk `chunk` has this many entries.
fn chunk_len(chunk: usize) -> usize {
    FIRST_CHUNK << chunk
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self {
            chunks: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            returned: AtomicPtr::new(marked(ptr::null_mut())),
            owned: UnsafeCell::new(Owned {
                free: ptr::null_mut(),
                made: 0,
            }),
            pool: Pool::new(),
        }
    }

    /// A free entry (rule 1), and memory of this layout, if one is given.
    ///
    /// # Safety
    ///
    /// The caller is the list's owner.
    #[inline]
    pub(crate) unsafe fn reserve(
        &self,
        layout: Option<Layout>,
    ) -> Result<(RegistryEntry, Option<Block>), SpawnError> {
        // SAFETY: the caller's.
        let entry = unsafe { self.reserve_entry() }?;
        // SAFETY: the caller's: the pool's owner is the list's.
        let block = layout.map(|layout| unsafe { self.pool.take(layout) });
        if let Some(None) = block {
            // SAFETY: reserved above, and nobody knows it.
            unsafe { entry.give_back(Some(self)) };
            return Err(SpawnError::Alloc);
        }
        Ok((entry, block.flatten()))
    }

    /// # Safety
    ///
    /// The caller is the list's owner.
    unsafe fn reserve_entry(&self) -> Result<RegistryEntry, SpawnError> {
        let entry = self.owned.with_mut(|owned| {
            // SAFETY: only the owner touches the field, and nothing below calls back.
            let owned = unsafe { &mut *owned };
            if owned.free.is_null() {
                // Acquire pairs with the Release of `give_back`: the links.
                owned.free = unmarked(self.returned.swap(marked(ptr::null_mut()), Acquire));
            }
            match NonNull::new(owned.free.cast::<Entry>()) {
                None => self.make(owned),
                Some(entry) => {
                    // SAFETY: a free entry is in a chunk of this list, which is there until the list goes.
                    let next = unsafe { entry.as_ref() }.0.load(Relaxed);
                    owned.free = unmarked(next);
                    Some(entry)
                }
            }
        });
        Ok(RegistryEntry {
            list: NonNull::from(self),
            entry: entry.ok_or(SpawnError::Alloc)?,
        })
    }

    /// One more entry; `None` without memory.
    fn make(&self, owned: &mut Owned) -> Option<NonNull<Entry>> {
        let chunk = ((owned.made / FIRST_CHUNK) + 1).ilog2() as usize;
        let within = owned.made - (chunk_len(chunk) - FIRST_CHUNK);
        let first = if within == 0 {
            let len = (chunk < CHUNKS).then(|| chunk_len(chunk))?;
            let layout = Layout::array::<Entry>(len).ok()?;
            // SAFETY: the layout's size is not zero.
            let first = NonNull::new(unsafe { alloc(layout) }.cast::<Entry>())?;
            for index in 0..len {
                // SAFETY: within the allocation.
                let entry = unsafe { first.add(index) };
                // SAFETY: ours, and large enough.
                unsafe { entry.write(Entry(AtomicPtr::new(ptr::null_mut()))) };
            }
            // Release pairs with the Acquire of `take_all`: the entries.
            self.chunks[chunk].store(first.as_ptr(), Release);
            first
        } else {
            NonNull::new(self.chunks[chunk].load(Relaxed))?
        };
        owned.made += 1;
        // SAFETY: `within` is less than the chunk's length, by what `chunk` is.
        Some(unsafe { first.add(within) })
    }

    /// Takes every task out and gives it to `f` (rule 4).
    pub(crate) fn take_all(&self, mut f: impl FnMut(TaskRef)) {
        for (chunk, first) in self.chunks.iter().enumerate() {
            let Some(first) = NonNull::new(first.load(Acquire)) else {
                break;
            };
            for index in 0..chunk_len(chunk) {
                // SAFETY: within the chunk.
                let entry = unsafe { first.add(index) };
                // SAFETY: chunks are there until the list goes.
                if let Some(task) = unsafe { entry.as_ref() }.take() {
                    f(task);
                }
            }
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for (chunk, first) in self.chunks.iter().enumerate() {
            // Nobody else is here, so Relaxed would do; Acquire is for loom.
            let Some(first) = NonNull::new(first.load(Acquire)) else {
                break;
            };
            for index in 0..chunk_len(chunk) {
                // SAFETY: within the chunk.
                let entry = unsafe { first.add(index) };
                // Every task holds the executor, so none is left here. The entry has something to drop under loom only.
                // SAFETY: made in `make`, and not used again.
                unsafe { entry.drop_in_place() };
            }
            let layout = Layout::array::<Entry>(chunk_len(chunk)).expect("it was made with this");
            // SAFETY: from `alloc` with this layout, in `make`.
            unsafe { dealloc(first.as_ptr().cast(), layout) };
        }
    }
}

impl Entry {
    /// Takes the task out, if there is one (rule 2).
    fn take(&self) -> Option<TaskRef> {
        let mut now = self.0.load(Relaxed);
        while is_task(now) {
            // Acquire pairs with the Release of `publish`. Release pairs with the Acquire of the swap in
            // `RegistryEntry::take`, which finds nothing then.
            match self
                .0
                .compare_exchange_weak(now, ptr::null_mut(), AcqRel, Relaxed)
            {
                Ok(task) => {
                    let task = NonNull::new(task)?;
                    // SAFETY: the entry held a counted reference, and it is ours now.
                    return Some(unsafe { TaskRef::from_counted(task) });
                }
                Err(actual) => now = actual,
            }
        }
        None
    }
}

impl RegistryEntry {
    /// Puts a new task into the entry (rule 1).
    ///
    /// # Safety
    ///
    /// The place was reserved for this task and the list is still there.
    pub(crate) unsafe fn publish(self, task: TaskRef) {
        // SAFETY: the caller's.
        let entry = unsafe { self.entry.as_ref() };
        // Release pairs with the Acquire of `take`.
        entry.0.store(task.into_counted().as_ptr(), Release);
    }

    /// Takes the task out (rule 2), which leaves the entry free: the list's reference, unless `close` was first.
    ///
    /// # Safety
    ///
    /// This was not called before for the task in this place, and the list is still there. `owner` is owned by the
    /// caller.
    pub(crate) unsafe fn take(self, owner: Option<&Registry>) -> Option<TaskRef> {
        // SAFETY: the caller's.
        let entry = unsafe { self.entry.as_ref() };
        // A swap: the entry holds our task or, after `close`, nothing. AcqRel as in `Entry::take`.
        let task = NonNull::new(entry.0.swap(ptr::null_mut(), AcqRel))?;
        // SAFETY: the caller's.
        unsafe { self.give_back(owner) };
        // SAFETY: the entry held a counted reference, and it is ours now.
        Some(unsafe { TaskRef::from_counted(task) })
    }

    /// Gives memory back to the list's pool. `owner` is the list that the caller owns, if any.
    ///
    /// # Safety
    ///
    /// It was reserved together with this place, with this layout, and is not used any more. The list is still there, and
    /// the caller owns `owner`.
    #[inline]
    pub(crate) unsafe fn free(
        self,
        memory: NonNull<u8>,
        layout: Layout,
        pooled: bool,
        owner: Option<&Registry>,
    ) {
        // SAFETY: the caller's.
        let list = unsafe { self.list.as_ref() };
        let is_owner = owner.is_some_and(|owner| ptr::eq(owner, list));
        // SAFETY: the caller's.
        unsafe { list.pool.give(memory, layout, pooled, is_owner) };
    }

    /// Frees an entry (rule 3). `owner` is the list that the caller owns, if any.
    ///
    /// # Safety
    ///
    /// The entry is reserved and holds no task. The list is still there, and the caller owns `owner`.
    pub(crate) unsafe fn give_back(self, owner: Option<&Registry>) {
        // SAFETY: the caller's.
        let list = unsafe { self.list.as_ref() };
        // SAFETY: the caller's.
        let entry = unsafe { self.entry.as_ref() };
        let this = self.entry.as_ptr().cast::<Header>();
        if owner.is_some_and(|owner| ptr::eq(owner, list)) {
            list.owned.with_mut(|owned| {
                // SAFETY: the caller is the list's owner.
                let owned = unsafe { &mut *owned };
                entry.0.store(marked(owned.free), Relaxed);
                owned.free = this;
            });
            return;
        }
        let mut top = list.returned.load(Relaxed);
        loop {
            entry.0.store(marked(top), Relaxed);
            // Release pairs with the Acquire in `reserve`.
            match list
                .returned
                .compare_exchange_weak(top, marked(this), Release, Relaxed)
            {
                Ok(_) => return,
                Err(actual) => top = actual,
            }
        }
    }
}

// === impl LockedRegistry ===

impl LockedRegistry {
    pub(crate) fn new() -> Self {
        Self {
            lock: Mutex::new(()),
            registry: Registry::new(),
        }
    }

    /// As [`Registry::reserve`].
    pub(crate) fn reserve(
        &self,
        layout: Option<Layout>,
    ) -> Result<(RegistryEntry, Option<Block>), SpawnError> {
        let _lock: MutexGuard<'_, ()> = self.lock.lock();
        // SAFETY: the holder of the lock is the owner.
        unsafe { self.registry.reserve(layout) }
    }

    pub(crate) fn take_all(&self, f: impl FnMut(TaskRef)) {
        self.registry.take_all(f);
    }
}
