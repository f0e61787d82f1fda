//! The part of a task that knows its types: the allocation, the stage, and the functions in the table.

use super::{
    Id, Metadata,
    catch::{catch, quietly},
    header::{Header, Vtable},
    hooks::{Hooks, Memory, Prefix, attached},
    join_error::JoinError,
    reference::TaskRef,
    run,
    state::State,
};
use crate::sync::UnsafeCell;
use core::{
    alloc::Layout,
    future::Future,
    marker::PhantomData,
    mem,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

/// A task. `repr(C)`: a pointer to it is a pointer to its header.
#[repr(C)]
struct Task<F: Future, M, H> {
    prefix: Prefix<H>,
    stage: UnsafeCell<Stage<F>>,
    memory: M,
}

/// The layout of a task.
pub(crate) fn task_layout<F: Future, M, H>() -> Layout {
    Layout::new::<Task<F, M, H>>()
}

enum Stage<F: Future> {
    Future(F),
    Output(Result<F::Output, JoinError>),
    Taken,
}

/// Everything about a new task except its future.
pub(crate) struct NewTask<H> {
    pub(crate) id: Id,
    pub(crate) metadata: Metadata,
    /// Whether it is of the fair lane.
    pub(crate) fair: bool,
    /// Whether its memory goes back to a pool.
    pub(crate) pooled: bool,
    pub(crate) attached: H,
}

/// Makes a task in `memory`, in the state of [`State::spawned`]; its three references.
///
/// # Safety
///
/// `memory` has the layout [`task_layout`], nobody else uses it, and `source` takes it back.
#[inline]
pub(crate) unsafe fn emplace<F, M, H>(
    memory: NonNull<u8>,
    new: NewTask<H>,
    future: F,
    source: M,
) -> [TaskRef; 3]
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    M: Memory,
    H: Hooks,
{
    let task = memory.cast::<Task<F, M, H>>().as_ptr();
    let header = Header::new(
        State::spawned(new.pooled, new.fair),
        const { &VtableOf::<F, M, H>::VTABLE },
        new.id,
        new.metadata,
    );
    // Field by field, so that nothing is put together elsewhere first and copied.
    // SAFETY: the memory is large enough, aligned, and ours.
    let to_header = unsafe { &raw mut (*task).prefix.header };
    // SAFETY: as above.
    unsafe { to_header.write(header) };
    // SAFETY: as above.
    let to_attached = unsafe { &raw mut (*task).prefix.attached };
    // SAFETY: as above.
    unsafe { to_attached.write(new.attached) };
    // SAFETY: as above.
    let to_stage = unsafe { &raw mut (*task).stage };
    // SAFETY: as above.
    unsafe { to_stage.write(UnsafeCell::new(Stage::Future(future))) };
    // SAFETY: as above.
    let to_memory = unsafe { &raw mut (*task).memory };
    // SAFETY: as above.
    unsafe { to_memory.write(source) };
    let header = memory.cast::<Header>();
    // SAFETY: `State::spawned` counts three references, and these are they.
    [(); 3].map(|()| unsafe { TaskRef::from_counted(header) })
}

struct VtableOf<F, M, H>(PhantomData<(F, M, H)>);

impl<F: Future, M: Memory, H: Hooks> VtableOf<F, M, H> {
    const VTABLE: Vtable = Vtable {
        poll: poll::<F, M, H>,
        fail: fail::<F, M, H>,
        take_output: take_output::<F, M, H>,
        drop_output: drop_output::<F, M, H>,
        schedule: schedule::<H>,
        schedule_last: schedule_last::<H>,
        cancel: run::cancel::<H>,
        free: free::<H>,
        free_on: free_on::<F, M, H>,
    };
}

/// Runs `f` on the stage.
///
/// # Safety
///
/// `header` is the header of a live `Task<F, M, H>`, and the caller alone has the right to its stage.
unsafe fn with_stage<F: Future, M, H, R>(
    header: NonNull<Header>,
    f: impl FnOnce(&mut Stage<F>) -> R,
) -> R {
    let task = header.cast::<Task<F, M, H>>().as_ptr();
    // SAFETY: the task is live. Only the field is borrowed: others look at the header meanwhile.
    let stage = unsafe { &(*task).stage };
    // SAFETY: nobody else touches the stage.
    stage.with_mut(|stage| f(unsafe { &mut *stage }))
}

/// # Safety
///
/// As [`with_stage`].
unsafe fn poll<F: Future, M, H>(header: NonNull<Header>, cx: &mut Context<'_>) -> bool {
    let poll = |stage: &mut Stage<F>| match stage {
        // SAFETY: the task is never moved, and its future is dropped in place, before its memory goes.
        Stage::Future(future) => unsafe { Pin::new_unchecked(future) }.poll(cx),
        Stage::Output(_) | Stage::Taken => unreachable!("a complete task is not polled"),
    };
    // SAFETY: the caller's.
    let polled = catch(|| unsafe { with_stage::<F, M, H, _>(header, poll) });
    let output = match polled {
        Ok(Poll::Pending) => return false,
        Ok(Poll::Ready(output)) => Ok(output),
        Err(panic) => Err(panic),
    };
    // SAFETY: the caller's.
    unsafe { store_output::<F, M, H>(header, output) };
    true
}

/// # Safety
///
/// As [`with_stage`].
unsafe fn fail<F: Future, M, H>(header: NonNull<Header>, error: JoinError) {
    // SAFETY: the caller's.
    unsafe { store_output::<F, M, H>(header, Err(error)) };
}

/// Drops the future, then stores the output. If dropping the future panics, that is the result.
///
/// # Safety
///
/// As [`with_stage`].
unsafe fn store_output<F: Future, M, H>(
    header: NonNull<Header>,
    output: Result<F::Output, JoinError>,
) {
    let mut output = output;
    // SAFETY: the caller's.
    let dropped = catch(|| unsafe { drop_in_stage::<F, M, H>(header) });
    if let Err(panic) = dropped {
        // What the future left may panic when it is dropped, too.
        let replaced = mem::replace(&mut output, Err(panic));
        quietly(|| drop(replaced));
    }
    // SAFETY: the caller's. The stage is `Taken`, so nothing is dropped by the assignment.
    unsafe { with_stage::<F, M, H, _>(header, |stage| *stage = Stage::Output(output)) };
}

/// Drops what is in the stage, in place (a future is pinned), and leaves `Taken`, also if that panics.
///
/// # Safety
///
/// As [`with_stage`].
unsafe fn drop_in_stage<F: Future, M, H>(header: NonNull<Header>) {
    struct LeaveTaken<F: Future>(*mut Stage<F>);

    impl<F: Future> Drop for LeaveTaken<F> {
        fn drop(&mut self) {
            // SAFETY: the old value was dropped (as far as its destructors let it), so that writing
            // without dropping is right; the pointer is the stage that `drop_in_stage` borrows.
            unsafe { self.0.write(Stage::Taken) };
        }
    }

    let drop_stage = |stage: &mut Stage<F>| {
        let leave = LeaveTaken(stage);
        // SAFETY: the value is overwritten right after, by `leave`, and never looked at in between.
        unsafe { leave.0.drop_in_place() };
    };
    // SAFETY: the caller's.
    unsafe { with_stage::<F, M, H, _>(header, drop_stage) };
}

/// # Safety
///
/// As [`with_stage`]; `to` points to a valid `Option<Result<F::Output, JoinError>>` of the caller's.
unsafe fn take_output<F: Future, M, H>(header: NonNull<Header>, to: *mut ()) {
    // SAFETY: the caller's.
    let stage = unsafe {
        with_stage::<F, M, H, _>(header, |stage| match stage {
            // A future must not be moved, and there is none in a complete task.
            Stage::Future(_) => None,
            complete => Some(mem::replace(complete, Stage::Taken)),
        })
    };
    if let Some(Stage::Output(output)) = stage {
        // SAFETY: the caller's.
        unsafe { *to.cast::<Option<Result<F::Output, JoinError>>>() = Some(output) };
    }
}

/// # Safety
///
/// As [`with_stage`].
unsafe fn drop_output<F: Future, M, H>(header: NonNull<Header>) {
    // SAFETY: the caller's.
    quietly(|| unsafe { drop_in_stage::<F, M, H>(header) });
}

/// # Safety
///
/// The task was made with hooks of this type. One counted reference is given to the queue; the caller has another.
unsafe fn schedule<H: Hooks>(header: NonNull<Header>) {
    // SAFETY: the caller's.
    let attached = unsafe { attached::<H>(header) };
    // SAFETY: the caller's.
    attached.schedule(unsafe { TaskRef::from_counted(header) });
}

/// # Safety
///
/// The task was made with hooks of this type. The counted reference is given to the queue.
unsafe fn schedule_last<H: Hooks>(header: NonNull<Header>) {
    // SAFETY: the caller's.
    H::schedule_last(unsafe { TaskRef::from_counted(header) });
}

/// # Safety
///
/// The task was made with hooks of this type. Its last reference was released.
unsafe fn free<H: Hooks>(header: NonNull<Header>) {
    // SAFETY: nobody refers to the task, so it is there until we free it.
    let core = unsafe { attached::<H>(header) }.core();
    let core = core.map(|core| NonNull::from(core).cast());
    // SAFETY: as above.
    let vtable = unsafe { header.as_ref() }.vtable;
    // SAFETY: the caller's.
    unsafe { (vtable.free_on)(header, core) };
}

/// # Safety
///
/// `header` is the header of a `Task<F, M, H>` whose last reference was released; `core` is the calling one.
unsafe fn free_on<F: Future, M: Memory, H: Hooks>(
    header: NonNull<Header>,
    core: Option<NonNull<()>>,
) {
    // SAFETY: the core stays as long as the executor, which its worker keeps.
    let core = core.map(|core| unsafe { core.cast::<H::Core>().as_ref() });
    // SAFETY: nobody refers to the task, so the stage is ours.
    quietly(|| unsafe { drop_in_stage::<F, M, H>(header) });
    let task = header.cast::<Task<F, M, H>>();
    // SAFETY: nobody refers to the task, and its memory is still there.
    let pooled = unsafe { header.as_ref() }.state.is_pooled();
    // Wakers and names are foreign code, too.
    // SAFETY: nobody refers to the task, and its header is not looked at again.
    quietly(|| unsafe { header.drop_in_place() });
    // SAFETY: nobody refers to the task, and its memory is still there.
    let attached = unsafe { &raw const (*task.as_ptr()).prefix.attached };
    // SAFETY: moved out, and not read again.
    let attached = unsafe { attached.read() };
    // SAFETY: as for `attached`.
    let source = unsafe { &raw const (*task.as_ptr()).memory };
    // SAFETY: moved out, and not read again.
    let source = unsafe { source.read() };
    #[cfg(loom)]
    // SAFETY: its stage is `Taken`; what is left is loom's.
    unsafe {
        (&raw mut (*task.as_ptr()).stage).drop_in_place();
    }
    let layout = task_layout::<F, M, H>();
    // SAFETY: the memory came from there, with this layout, and nobody uses it any more.
    unsafe { source.free(task.cast(), layout, pooled, &attached, core) };
    attached.release(core);
}
