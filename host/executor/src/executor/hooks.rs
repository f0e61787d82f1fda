//! How tasks reach their executor.

use super::{attached::Attached, shared::Shared, slot::OwnSlot};
use crate::{
    platform::WorkerId,
    task::{self, Hooks, Ran, TaskRef},
};
use core::{alloc::Layout, ptr::NonNull};

impl Hooks for Attached {
    type Core = OwnSlot;

    #[inline]
    fn core(&self) -> Option<&OwnSlot> {
        self.executor.current_slot()
    }

    #[inline]
    fn worker(core: &OwnSlot) -> WorkerId {
        core.worker()
    }

    fn schedule(&self, task: TaskRef) {
        self.executor.schedule_woken(task);
    }

    fn schedule_last(task: TaskRef) {
        let executor = &Self::of(&task).executor;
        let shared: NonNull<Shared> = NonNull::from(&**executor);
        if executor.current_slot().is_some() {
            // SAFETY: the worker that runs on this core keeps the executor until we return to it.
            unsafe { shared.as_ref() }.schedule_woken(task);
        } else {
            let executor = executor.clone();
            executor.schedule_woken(task);
        }
    }

    #[inline]
    fn polling<R>(core: &OwnSlot, task: &TaskRef, poll: impl FnOnce() -> R) -> R {
        core.polling(task, poll)
    }

    #[inline]
    fn completing(core: &OwnSlot, wake: impl FnOnce()) {
        core.completing(wake);
    }

    #[inline]
    unsafe fn forget(&self, core: Option<&OwnSlot>) -> Option<TaskRef> {
        // SAFETY: the caller's.
        unsafe { self.executor.forget(self, core) }
    }

    #[inline]
    unsafe fn reclaim(
        &self,
        memory: NonNull<u8>,
        layout: Layout,
        pooled: bool,
        core: Option<&OwnSlot>,
    ) {
        let owner = core.map(|core| &core.registry);
        // SAFETY: the caller's; the executor, which has the list, is ours, and the slot's list its own core's.
        unsafe { self.entry.free(memory, layout, pooled, owner) };
    }

    #[inline]
    fn release(self, core: Option<&OwnSlot>) {
        drop(self.group);
        // Last: `core` is in it.
        self.executor.drop_on(core);
    }
}

/// Runs a task that was taken from a queue of this executor.
#[inline]
pub(crate) fn run(task: TaskRef, slot: &OwnSlot) -> Ran {
    // SAFETY: every task in a queue was made with `Attached`, and an executor queues its own tasks only. An `OwnSlot` is
    // the calling core's.
    unsafe { task::run::<Attached>(task, slot) }
}
