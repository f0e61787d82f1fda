//! Memory for tasks: counted, and sometimes refused.

use crate::machine::Machine;
use allocator_api2::alloc::{AllocError, Allocator, Global, Layout};
use std::{
    ptr::NonNull,
    sync::{Arc, atomic::Ordering::Relaxed},
};

pub(crate) struct TaskMemory {
    pub(crate) machine: Arc<Machine>,
}

// SAFETY: memory is `Global`'s, which keeps the contract; a failure is allowed at any time.
unsafe impl Allocator for TaskMemory {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if self.machine.draw_no_memory() {
            return Err(AllocError);
        }
        self.machine.allocated.fetch_add(1, Relaxed);
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, memory: NonNull<u8>, layout: Layout) {
        self.machine.allocated.fetch_sub(1, Relaxed);
        // SAFETY: the caller's: it came from `allocate`, and so from `Global`.
        unsafe { Global.deallocate(memory, layout) };
    }
}
