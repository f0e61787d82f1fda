//! Polling tasks, cancelling and completing them.

use super::{
    catch::quietly,
    header::Header,
    hooks::{Hooks, attached},
    join_error::JoinError,
    reference::TaskRef,
    transition::{Completed, FinishPoll, Reason, Released, StartPoll},
    waker,
};
use crate::events;
use core::{mem::ManuallyDrop, ptr::NonNull, task::Context};

/// What came of running a task.
#[must_use]
pub(crate) enum Ran {
    /// It waits.
    Pending,
    /// It was woken while it ran: queue it.
    Requeue(TaskRef),
    /// It completed.
    Complete,
    /// It was complete already, or a canceller was completing it: no poll took place.
    Skipped,
}

/// Runs a task that was taken from a queue.
///
/// # Safety
///
/// The task was made with hooks of this type, by the executor that `core` belongs to, and `core` is the calling one.
pub(crate) unsafe fn run<H: Hooks>(task: TaskRef, core: &H::Core) -> Ran {
    // Read now: after some of the transitions the task may be gone.
    let (id, worker) = (task.id().as_u64(), H::worker(core));
    match task.header().state.start_poll() {
        StartPoll::Skip => {
            events::poll(id, worker, "skipped");
            return Ran::Skipped;
        }
        StartPoll::Poll => {}
    }
    // SAFETY: `start_poll` has set `RUNNING` for us.
    if H::polling(core, &task, || unsafe { poll(&task) }) {
        events::poll(id, worker, "ready");
        // SAFETY: as above.
        return completed::<H>(task, core, |task| unsafe {
            finish::<H>(task, Some(core), 1)
        });
    }
    match task.header().state.finish_poll() {
        FinishPoll::Requeue => {
            events::poll(id, worker, "woken");
            Ran::Requeue(task)
        }
        FinishPoll::Cancel(reason) => {
            events::poll(id, worker, "cancelled");
            // SAFETY: `finish_poll` has left `RUNNING` to us.
            completed::<H>(task, core, |task| unsafe {
                drop_future::<H>(task, reason, Some(core), 1)
            })
        }
        FinishPoll::Idle => {
            // `finish_poll` released the reference, and it was not the last.
            let _ = task.into_counted();
            events::poll(id, worker, "pending");
            Ran::Pending
        }
    }
}

/// Completes a task with `finish`, which releases this reference, too.
fn completed<H: Hooks>(
    task: TaskRef,
    core: &H::Core,
    finish: impl FnOnce(&TaskRef) -> Released,
) -> Ran {
    let task = ManuallyDrop::new(task);
    if finish(&task) == Released::Last {
        let free_on = task.header().vtable.free_on;
        // SAFETY: that was the last reference, and `core` is the calling one.
        unsafe { free_on(task.as_ptr(), Some(NonNull::from(core).cast())) };
    }
    Ran::Complete
}

/// Polls the future; `true` if the stage holds the result now.
///
/// # Safety
///
/// The caller has `RUNNING`.
unsafe fn poll(task: &TaskRef) -> bool {
    #[cfg(feature = "tracing")]
    let _entered = task.header().span.enter();
    let waker = waker::borrowed(task);
    let mut cx = Context::from_waker(&waker);
    // SAFETY: the caller's.
    unsafe { (task.header().vtable.poll)(task.as_ptr(), &mut cx) }
}

/// Completes an idle or queued task that was cancelled: the function of the table.
///
/// # Safety
///
/// As [`Vtable::cancel`](super::header::Vtable), for a task that was made with hooks of this type.
pub(super) unsafe fn cancel<H: Hooks>(header: NonNull<Header>, reason: Reason) {
    // SAFETY: the caller has a reference.
    let task = unsafe { TaskRef::borrow(header) };
    // SAFETY: as above, and the type is the caller's.
    let core = unsafe { attached::<H>(header) }.core();
    // SAFETY: the caller has `RUNNING`.
    let released = unsafe { drop_future::<H>(&task, reason, core, 0) };
    debug_assert_eq!(released, Released::Shared, "the caller has a reference");
}

/// Drops the future in place and completes the task, as [`finish`].
///
/// # Safety
///
/// As [`finish`].
unsafe fn drop_future<H: Hooks>(
    task: &TaskRef,
    reason: Reason,
    core: Option<&H::Core>,
    refs: usize,
) -> Released {
    let error = match reason {
        Reason::Cancelled => JoinError::cancelled(),
        Reason::Closed => JoinError::closed(),
    };
    // SAFETY: the caller has `RUNNING`.
    unsafe { (task.header().vtable.fail)(task.as_ptr(), error) };
    // SAFETY: the caller's.
    unsafe { finish::<H>(task, core, refs) }
}

/// The stage holds the result: leaves the live tasks, tells the joiner, and releases `refs` references, which the
/// caller gives up. After that only these keep the task.
///
/// # Safety
///
/// The caller has `RUNNING`. The task was made with hooks of this type, and `core` is the calling one.
unsafe fn finish<H: Hooks>(task: &TaskRef, core: Option<&H::Core>, refs: usize) -> Released {
    let header = task.header();
    let mut refs = refs;
    // SAFETY: the caller's.
    let attached = unsafe { attached::<H>(task.as_ptr()) };
    // Before the joiner is told, so that counts are right when it looks.
    // SAFETY: a task completes once.
    if let Some(live) = unsafe { attached.forget(core) } {
        let _ = live.into_counted();
        refs += 1;
    }
    let detached = header.state.is_detached();
    if detached {
        // SAFETY: we complete the task, and the handle is gone.
        unsafe { task.drop_output() };
    }
    match header.state.complete(refs, detached) {
        Completed::Done(released) => return released,
        // SAFETY: as above.
        Completed::DropOutput => unsafe { task.drop_output() },
        Completed::WakeJoiner { drop_output } => {
            if drop_output {
                // SAFETY: as above.
                unsafe { task.drop_output() };
            }
            header.join_waker.with(|waker| {
                // SAFETY: complete, with `JOIN_WAKER` set: the field is the completer's.
                if let Some(waker) = unsafe { &*waker } {
                    let wake = || quietly(|| waker.wake_by_ref());
                    match core {
                        Some(core) => H::completing(core, wake),
                        None => wake(),
                    }
                }
            });
            if header.state.release_join_waker() {
                // SAFETY: the handle is gone, so the field is still the completer's.
                unsafe { task.drop_join_waker() };
            }
        }
    }
    if refs == 0 {
        return Released::Shared;
    }
    header.state.release_refs(refs)
}
