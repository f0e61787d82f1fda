//! The part of a task that knows its types: allocation, the stage, and what the vtable points to.

use super::{
    Id, Metadata,
    header::{Header, TaskRef, Vtable},
    join::JoinError,
    memory::Memory,
    state::State,
};
use crate::{
    error::SpawnError,
    executor::Strong,
    group::GroupInner,
    live::{Listed, Live},
    pool::Block,
    sync::{Arc, UnsafeCell},
};
use alloc::boxed::Box;
use core::{
    alloc::Layout,
    future::Future,
    mem,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

/// A task. `repr(C)`: a pointer to it is a pointer to its header.
#[repr(C)]
struct Task<F: Future, A> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
    memory: A,
}

/// The layout of a task.
pub(crate) fn task_layout<F: Future, A>() -> Layout {
    Layout::new::<Task<F, A>>()
}

enum Stage<F: Future> {
    Future(F),
    Output(Result<F::Output, JoinError>),
    Taken,
}

/// Everything about a new task but its future.
pub(crate) struct SpawnParts {
    pub(crate) executor: Strong,
    pub(crate) group: Option<Arc<GroupInner>>,
    pub(crate) listed: Listed,
    /// Memory from the pool.
    pub(crate) block: Option<Block>,
    pub(crate) id: Id,
    pub(crate) metadata: Metadata,
}

/// Allocates a task in the state of [`State::spawned`]; its three references.
#[inline]
pub(crate) fn allocate<F, A>(
    parts: SpawnParts,
    future: F,
    source: A,
) -> Result<[TaskRef; 3], SpawnError>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    A: Memory,
{
    let pooled = parts.block.as_ref().is_some_and(|block| block.pooled);
    let memory = match parts.block {
        Some(block) => Some(block.memory),
        None => source.allocate(task_layout::<F, A>()),
    };
    let memory = memory.ok_or(SpawnError::Alloc)?.cast::<Task<F, A>>();
    let task = memory.as_ptr();
    // Field by field, so that nothing is put together elsewhere first and copied.
    // SAFETY: the source just gave us this much memory, so aligned, and nobody else.
    let header = unsafe { &raw mut (*task).header };
    // SAFETY: as above.
    let stage = unsafe { &raw mut (*task).stage };
    // SAFETY: as above.
    let owner = unsafe { &raw mut (*task).memory };
    // SAFETY: as above.
    unsafe {
        header.write(Header::new(
            State::spawned(pooled),
            const { &VtableOf::<F, A>::VTABLE },
            Some(parts.executor),
            parts.group,
            parts.listed,
            parts.id,
            parts.metadata,
        ));
    }
    // SAFETY: as above.
    unsafe { stage.write(UnsafeCell::new(Stage::Future(future))) };
    // SAFETY: as above.
    unsafe { owner.write(source) };
    let header = memory.cast::<Header>();
    // SAFETY: `State::spawned` counts three references, and these are they.
    Ok([(); 3].map(|()| unsafe { TaskRef::from_counted(header) }))
}

/// A stub for a run queue: complete, and of no executor.
pub(super) fn stub() -> TaskRef {
    static VTABLE: Vtable = Vtable {
        poll: |_, _| unreachable!("a stub is never polled"),
        cancel: |_, _| unreachable!("a stub is complete"),
        take_output: |_, _| unreachable!("a stub has no handle"),
        drop_output: |_| unreachable!("a stub has no output"),
        // SAFETY: the stub was made by `Box::new` below, and this is its last reference.
        free: |header, _| drop(unsafe { Box::from_raw(header.as_ptr()) }),
    };
    let header = Header::new(
        State::stub(),
        &VTABLE,
        None,
        None,
        Listed::NOWHERE,
        Id(0),
        Metadata::new(),
    );
    let header = NonNull::from(Box::leak(Box::new(header)));
    // SAFETY: `State::stub` counts one reference, and this is it.
    unsafe { TaskRef::from_counted(header) }
}

struct VtableOf<F, A>(core::marker::PhantomData<(F, A)>);

impl<F, A> VtableOf<F, A>
where
    F: Future,
    A: Memory,
{
    const VTABLE: Vtable = Vtable {
        poll: poll::<F, A>,
        cancel: cancel::<F, A>,
        take_output: take_output::<F, A>,
        drop_output: drop_output::<F, A>,
        free: free::<F, A>,
    };
}

/// Runs `f` on the stage.
///
/// # Safety
///
/// `header` is the header of a live `Task<F, A>`, and the caller alone has the right to its stage.
unsafe fn with_stage<F: Future, A, R>(
    header: NonNull<Header>,
    f: impl FnOnce(&mut Stage<F>) -> R,
) -> R {
    let task = header.cast::<Task<F, A>>().as_ptr();
    // SAFETY: the task is live; only the field is borrowed, because others look at the header.
    let stage = unsafe { &(*task).stage };
    // SAFETY: nobody else touches the stage.
    stage.with_mut(|stage| f(unsafe { &mut *stage }))
}

/// # Safety
///
/// As [`with_stage`].
unsafe fn poll<F: Future, A>(header: NonNull<Header>, cx: &mut Context<'_>) -> bool {
    let poll = |stage: &mut Stage<F>| match stage {
        // SAFETY: the task is never moved, and its future is dropped in place, before its memory goes.
        Stage::Future(future) => unsafe { Pin::new_unchecked(future) }.poll(cx),
        Stage::Output(_) | Stage::Taken => unreachable!("a complete task is not polled"),
    };
    // SAFETY: the caller's.
    let polled = catch(|| unsafe { with_stage::<F, A, _>(header, poll) });
    let output = match polled {
        Ok(Poll::Pending) => return false,
        Ok(Poll::Ready(output)) => Ok(output),
        Err(panic) => Err(panic),
    };
    // SAFETY: the caller's.
    unsafe { store_output::<F, A>(header, output) };
    true
}

/// # Safety
///
/// As [`with_stage`].
unsafe fn cancel<F: Future, A>(header: NonNull<Header>, error: JoinError) {
    // SAFETY: the caller's.
    unsafe { store_output::<F, A>(header, Err(error)) };
}

/// Drops the future, then stores the output. If dropping the future panics, that is the result.
///
/// # Safety
///
/// As [`with_stage`].
unsafe fn store_output<F: Future, A>(
    header: NonNull<Header>,
    output: Result<F::Output, JoinError>,
) {
    let mut output = output;
    // SAFETY: the caller's.
    let dropped = catch(|| unsafe { drop_in_stage::<F, A>(header) });
    if let Err(panic) = dropped {
        // What the future left may panic when it is dropped, too.
        let replaced = mem::replace(&mut output, Err(panic));
        quietly(|| drop(replaced));
    }
    // SAFETY: the caller's. The stage is `Taken`, so nothing is dropped by the assignment.
    unsafe { with_stage::<F, A, _>(header, |stage| *stage = Stage::Output(output)) };
}

/// Drops what is in the stage, in place (a future is pinned), and leaves `Taken`, also if that panics.
///
/// # Safety
///
/// As [`with_stage`].
unsafe fn drop_in_stage<F: Future, A>(header: NonNull<Header>) {
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
    unsafe { with_stage::<F, A, _>(header, drop_stage) };
}

/// # Safety
///
/// As [`with_stage`]; `to` points to a valid `Option<Result<F::Output, JoinError>>` of the caller's.
unsafe fn take_output<F: Future, A>(header: NonNull<Header>, to: *mut ()) {
    // SAFETY: the caller's.
    let stage = unsafe {
        with_stage::<F, A, _>(header, |stage| match stage {
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
unsafe fn drop_output<F: Future, A>(header: NonNull<Header>) {
    // SAFETY: the caller's.
    quietly(|| unsafe { drop_in_stage::<F, A>(header) });
}

/// # Safety
///
/// `header` is the header of a `Task<F, A>` whose last reference was released.
unsafe fn free<F: Future, A: Memory>(header: NonNull<Header>, owner: Option<&Live>) {
    // SAFETY: nobody refers to the task, so the stage is ours.
    quietly(|| unsafe { drop_in_stage::<F, A>(header) });
    let task = header.cast::<Task<F, A>>();
    let (listed, pooled) = {
        // SAFETY: nobody refers to the task, and its memory is still there.
        let header = unsafe { header.as_ref() };
        (header.listed(), header.state.is_pooled())
    };
    // Wakers and names are foreign code, too.
    // SAFETY: nobody refers to the task, and its header is not looked at again.
    quietly(|| unsafe { header.drop_in_place() });
    // SAFETY: nobody refers to the task.
    let source = unsafe { &raw const (*task.as_ptr()).memory };
    // SAFETY: moved out, and not read again.
    let source = unsafe { source.read() };
    #[cfg(loom)]
    // SAFETY: its stage is `Taken`; what is left is loom's.
    unsafe {
        (&raw mut (*task.as_ptr()).stage).drop_in_place();
    }
    // SAFETY: the memory came from there, with this layout.
    unsafe { source.free(task.cast(), task_layout::<F, A>(), listed, pooled, owner) };
}

/// Runs foreign code; its panic becomes the error. Without `std` a panic ends the program. Under loom a
/// panic is how the model reports, and must get through.
#[cfg(all(feature = "std", not(loom)))]
pub(super) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, JoinError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).map_err(JoinError::panicked)
}

#[cfg(not(all(feature = "std", not(loom))))]
pub(super) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, JoinError> {
    Ok(f())
}

/// Runs foreign code whose panic nobody is there to be told of.
#[cfg(all(feature = "std", not(loom)))]
pub(super) fn quietly(f: impl FnOnce()) {
    let mut result = catch(f);
    // A payload may panic when it is dropped, and so may that panic's. The second one is let go.
    if let Err(panic) = result {
        result = catch(|| drop(panic));
    }
    mem::forget(result);
}

#[cfg(not(all(feature = "std", not(loom))))]
pub(super) fn quietly(f: impl FnOnce()) {
    f();
}
