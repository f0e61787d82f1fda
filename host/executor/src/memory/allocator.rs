//! Where a task's memory comes from: a pool of the executor, or an allocator of the user's.

use crate::task::{Hooks, Memory};
use allocator_api2::alloc::Allocator;
use core::{alloc::Layout, ptr::NonNull};

/// From the pool of the list that the task is in.
pub(crate) struct Pooled;

impl Memory for Pooled {
    const POOLED: bool = true;

    fn allocate(&self, _: Layout) -> Option<NonNull<u8>> {
        None
    }

    #[inline]
    unsafe fn free<H: Hooks>(
        self,
        memory: NonNull<u8>,
        layout: Layout,
        pooled: bool,
        attached: &H,
        core: Option<&H::Core>,
    ) {
        // SAFETY: the caller's.
        unsafe { attached.reclaim(memory, layout, pooled, core) };
    }
}

/// From an allocator of the user's.
pub(crate) struct Custom<A>(pub(crate) A);

impl<A: Allocator + Send + Sync + 'static> Memory for Custom<A> {
    const POOLED: bool = false;

    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        Some(self.0.allocate(layout).ok()?.cast())
    }

    unsafe fn free<H: Hooks>(
        self,
        memory: NonNull<u8>,
        layout: Layout,
        _: bool,
        _: &H,
        _: Option<&H::Core>,
    ) {
        // SAFETY: the caller's.
        unsafe { self.0.deallocate(memory, layout) };
    }
}
