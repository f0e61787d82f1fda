//! Where a task's memory comes from, and goes back to.

use crate::live::{Listed, Live};
use allocator_api2::alloc::Allocator;
use core::{alloc::Layout, ptr::NonNull};

/// Kept in the task, and asked once more when the task is freed.
pub(crate) trait Memory: Send + Sync + 'static {
    /// Whether it comes from the [pool](crate::pool) of the list that the task is in.
    const POOLED: bool;

    /// Memory where it does not come from a pool; `None` without any.
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Takes the memory back. `owner` is the list of live tasks that the caller owns.
    ///
    /// # Safety
    ///
    /// It came from here, with this layout, for a task in the place `listed`; `pooled` is what came with it. It is not
    /// used any more.
    unsafe fn free(
        self,
        memory: NonNull<u8>,
        layout: Layout,
        listed: Listed,
        pooled: bool,
        owner: Option<&Live>,
    );
}

/// From the pool.
pub(crate) struct Home;

impl Memory for Home {
    const POOLED: bool = true;

    fn allocate(&self, _: Layout) -> Option<NonNull<u8>> {
        None
    }

    #[inline]
    unsafe fn free(
        self,
        memory: NonNull<u8>,
        layout: Layout,
        listed: Listed,
        pooled: bool,
        owner: Option<&Live>,
    ) {
        // SAFETY: the caller's; the list is there as long as the executor, and the caller holds that.
        unsafe { listed.free(memory, layout, pooled, owner) };
    }
}

/// From an allocator of the caller's.
pub(crate) struct Foreign<A>(pub(crate) A);

impl<A: Allocator + Send + Sync + 'static> Memory for Foreign<A> {
    const POOLED: bool = false;

    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        Some(self.0.allocate(layout).ok()?.cast())
    }

    unsafe fn free(
        self,
        memory: NonNull<u8>,
        layout: Layout,
        _: Listed,
        _: bool,
        _: Option<&Live>,
    ) {
        // SAFETY: the caller's.
        unsafe { self.0.deallocate(memory, layout) };
    }
}
