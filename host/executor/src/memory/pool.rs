//! Memory for tasks, which goes back to where it came from.
//!
//! A task is often spawned on one core and ends on another. A general allocator then moves the memory between
//! threads under locks: with two workers that was most of the cost of a spawn. So every list of live tasks keeps the
//! blocks of the tasks that were spawned there.
//!
//! 1. The owner of the list takes a block of the right size from its own stack, without atomics. If that is empty, it
//!    takes everything that others have given back; if there is nothing, a block from the allocator.
//! 2. A block goes back when its task is freed: by the owner to its own stack, by others with one compare-and-swap.
//! 3. A list keeps [`MOST_BYTES`] at most: tasks beyond that come from the allocator and go back there, so that a burst
//!    of tasks does not hold its memory forever.
//!
//! Only tasks in memory of the global allocator come from here.

use crate::sync::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
    UnsafeCell,
};
use alloc::alloc::{Layout, alloc, dealloc};
use core::ptr::{self, NonNull};

/// Block sizes are multiples of this: a cache line, so that what is wasted is less than a line.
const STEP: usize = 64;

/// The largest block has `STEP` times this many bytes. Larger tasks are rare, and cost much more than their memory.
const CLASSES: usize = 8;

/// What a block is aligned to.
const ALIGN: usize = 16;

/// What one list keeps at most. Chosen: what 10,000 small tasks need. Not measured.
const MOST_BYTES: usize = 2 << 20;

/// The blocks of one list. Its owner is the list's.
pub(crate) struct Pool {
    owned: UnsafeCell<Owned>,
    returned: [AtomicPtr<Free>; CLASSES],
}

struct Owned {
    free: [*mut Free; CLASSES],
    /// How much the blocks come to that belong here, free or not.
    bytes: usize,
}

/// A free block.
struct Free {
    next: *mut Free,
}

/// Memory for one task.
pub(crate) struct Block {
    pub(crate) memory: NonNull<u8>,
    /// Whether it goes back to its pool, or else to the allocator.
    pub(crate) pooled: bool,
}

// SAFETY: only the owner touches `owned`, and nobody else uses the blocks.
unsafe impl Send for Pool {}
// SAFETY: as above; `returned` is atomic.
unsafe impl Sync for Pool {}

fn class(layout: Layout) -> Option<usize> {
    let class = layout.size().div_ceil(STEP).checked_sub(1)?;
    (class < CLASSES && layout.align() <= ALIGN).then_some(class)
}

fn block(class: usize) -> Layout {
    Layout::from_size_align((class + 1) * STEP, ALIGN).expect("small, and a power of two")
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self {
            owned: UnsafeCell::new(Owned {
                free: [ptr::null_mut(); CLASSES],
                bytes: 0,
            }),
            returned: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
        }
    }

    /// Memory of this layout (rule 1); `None` if there is none.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    #[inline]
    pub(crate) unsafe fn take(&self, layout: Layout) -> Option<Block> {
        let Some(class) = class(layout) else {
            return unpooled(layout);
        };
        self.owned.with_mut(|owned| {
            // SAFETY: only the owner touches the field, and nothing below calls back.
            let owned = unsafe { &mut *owned };
            let mut first = owned.free[class];
            if first.is_null() && !self.returned[class].load(Relaxed).is_null() {
                // Acquire pairs with the Release of `give`: the links, and that nobody uses the blocks.
                first = self.returned[class].swap(ptr::null_mut(), Acquire);
            }
            if let Some(memory) = NonNull::new(first) {
                // SAFETY: a free block holds its link, and is ours.
                owned.free[class] = unsafe { memory.as_ref() }.next;
                return Some(Block {
                    memory: memory.cast(),
                    pooled: true,
                });
            }
            let block = block(class);
            if owned.bytes + block.size() > MOST_BYTES {
                return unpooled(layout);
            }
            // SAFETY: its size is not zero.
            let memory = NonNull::new(unsafe { alloc(block) })?;
            owned.bytes += block.size();
            Some(Block {
                memory,
                pooled: true,
            })
        })
    }

    /// Gives a block back (rule 2).
    ///
    /// # Safety
    ///
    /// `memory` and `pooled` came from this pool's [`take`](Self::take) with this layout, and the memory is not used any
    /// more. `is_owner` is true only if the caller is the owner.
    #[inline]
    pub(crate) unsafe fn give(
        &self,
        memory: NonNull<u8>,
        layout: Layout,
        pooled: bool,
        is_owner: bool,
    ) {
        let (true, Some(class)) = (pooled, class(layout)) else {
            // SAFETY: the caller's: it came from `unpooled`.
            return unsafe { dealloc(memory.as_ptr(), layout) };
        };
        let free = memory.cast::<Free>();
        if is_owner {
            self.owned.with_mut(|owned| {
                // SAFETY: only the owner touches the field.
                let top = unsafe { &mut (*owned).free[class] };
                // SAFETY: the block is ours, and large enough.
                unsafe { free.write(Free { next: *top }) };
                *top = free.as_ptr();
            });
            return;
        }
        let returned = &self.returned[class];
        let mut top = returned.load(Relaxed);
        loop {
            // SAFETY: the block is ours until the exchange succeeds, and large enough.
            unsafe { free.write(Free { next: top }) };
            // Release pairs with the Acquire in `take`.
            match returned.compare_exchange_weak(top, free.as_ptr(), Release, Relaxed) {
                Ok(_) => return,
                // Another thread gave one back: progress, so this is no spin.
                Err(actual) => top = actual,
            }
        }
    }
}

/// Memory from the allocator, which goes back there.
fn unpooled(layout: Layout) -> Option<Block> {
    // SAFETY: a task is never of size zero: it has a header.
    let memory = NonNull::new(unsafe { alloc(layout) })?;
    Some(Block {
        memory,
        pooled: false,
    })
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Every task holds the executor, so all blocks are here.
        for class in 0..CLASSES {
            // SAFETY: `&mut self`: nobody else is here.
            let owned = self.owned.with_mut(|owned| unsafe { (*owned).free[class] });
            // Acquire as in `take`.
            for mut first in [owned, self.returned[class].load(Acquire)] {
                while let Some(memory) = NonNull::new(first) {
                    // SAFETY: a free block holds its link.
                    first = unsafe { memory.as_ref() }.next;
                    // SAFETY: it came from `alloc` with this layout, in `take`.
                    unsafe { dealloc(memory.cast().as_ptr(), block(class)) };
                }
            }
        }
    }
}
