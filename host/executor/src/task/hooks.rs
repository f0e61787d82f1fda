//! What a task needs of its executor.
//!
//! The executor attaches one value to every task, which stands between the task's header and its future. Through it the
//! task is queued, leaves the list of live tasks, and is freed. The functions that do so stand in the task's table,
//! made for the type of that value: a task reaches its executor through function pointers, and knows no type of it.

use super::{header::Header, reference::TaskRef};
use crate::platform::WorkerId;
use core::{alloc::Layout, ptr::NonNull};

/// What the executor attaches to a task.
pub(crate) trait Hooks: Send + Sync + Sized + 'static {
    /// What the executor has for each of its workers. It stays as long as the executor.
    type Core;

    /// The executor's worker on the calling core.
    fn core(&self) -> Option<&Self::Core>;

    /// The worker of a core.
    fn worker(core: &Self::Core) -> WorkerId;

    /// Queues a task that was woken. The caller keeps a reference to the task.
    fn schedule(&self, task: TaskRef);

    /// As [`schedule`](Self::schedule), with what may be the only reference to the task.
    fn schedule_last(task: TaskRef);

    /// Runs `poll` with `task` as the task that `core` polls.
    fn polling<R>(core: &Self::Core, task: &TaskRef, poll: impl FnOnce() -> R) -> R;

    /// Runs `wake`, which wakes the joiner of a task that has completed on `core`, and does not panic.
    fn completing(core: &Self::Core, wake: impl FnOnce());

    /// The task's result is there, so it is not live any more: gives the list's reference, unless `close` has it.
    ///
    /// # Safety
    ///
    /// This is called once for each task. `core` is the calling one.
    unsafe fn forget(&self, core: Option<&Self::Core>) -> Option<TaskRef>;

    /// Takes back memory that the executor provided for this task.
    ///
    /// # Safety
    ///
    /// The memory was provided for this task, with this layout and this `pooled`, and is not used any more. `core` is
    /// the calling one.
    unsafe fn reclaim(
        &self,
        memory: NonNull<u8>,
        layout: Layout,
        pooled: bool,
        core: Option<&Self::Core>,
    );

    /// The task is gone. `core` is the calling one; its worker keeps the executor.
    fn release(self, core: Option<&Self::Core>);
}

/// Where a task's memory comes from. It is kept in the task, and asked once more when the task is freed.
pub(crate) trait Memory: Send + Sync + 'static {
    /// Whether the executor provides it, or else [`allocate`](Self::allocate).
    const POOLED: bool;

    /// Memory that the executor does not provide; `None` if there is none.
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Gives the memory back.
    ///
    /// # Safety
    ///
    /// It came from here or was provided by the executor, as [`POOLED`](Self::POOLED) says, with this layout and this
    /// `pooled`, for the task that `attached` belongs to. It is not used any more.
    unsafe fn free<H: Hooks>(
        self,
        memory: NonNull<u8>,
        layout: Layout,
        pooled: bool,
        attached: &H,
        core: Option<&H::Core>,
    );
}

/// The start of every task, except of a queue's stub.
#[repr(C)]
pub(super) struct Prefix<H> {
    pub(super) header: Header,
    pub(super) attached: H,
}

/// What the executor attached to a task.
///
/// # Safety
///
/// The task is alive for `'a`, was made with a value of this type, and the pointer may be used for the whole task.
#[inline]
pub(crate) unsafe fn attached<'a, H>(task: NonNull<Header>) -> &'a H {
    // SAFETY: the caller's.
    unsafe { &(*task.cast::<Prefix<H>>().as_ptr()).attached }
}
