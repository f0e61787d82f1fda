//! The part of a task that does not depend on its future, and the reference-counted handle to it.
//!
//! A task is one allocation: a [`Header`] first, then the stage (the future, or the result) and the
//! allocator, whose types only the [`Vtable`] knows. Who may touch what:
//!
//! | field | who, when |
//! | --- | --- |
//! | `run_links` | the queue that the task is in (it is in at most one) |
//! | `state` | anybody |
//! | `join_waker` | see the rules in [`state`](super::state) |
//! | the stage | whoever set `RUNNING`; after completion the join handle, or without one the completer |
//! | the rest | read only |

use super::{
    Id, Metadata,
    join::{JoinError, Repr},
    raw,
    state::{Cancel, Completed, FinishPoll, Reason, Released, StartPoll, State, Wake},
    waker,
};
use crate::{
    executor::{Shared, Strong},
    group::GroupInner,
    live::{Listed, Live},
    scheduler::Slot,
    sync::{Arc, AtomicUsize, Ordering, UnsafeCell},
};
use cordyceps::{Linked, mpsc_queue};
use core::{
    fmt,
    mem::ManuallyDrop,
    ptr::{self, NonNull},
    task::{Context, Waker},
};

#[repr(C)]
pub(crate) struct Header {
    run_links: mpsc_queue::Links<Header>,
    pub(super) state: State,
    pub(super) vtable: &'static Vtable,
    /// `None` in a queue's stub only.
    executor: Option<Strong>,
    group: Option<Arc<GroupInner>>,
    pub(super) join_waker: UnsafeCell<Option<Waker>>,
    /// Where it is among the live tasks.
    listed: Listed,
    /// When it was queued in the fair lane, in nanoseconds of the platform's clock, modulo the word.
    queued_at: AtomicUsize,
    id: Id,
    metadata: Metadata,
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

/// What depends on the types of the future and the allocator.
pub(crate) struct Vtable {
    /// Polls the future; `true` if the stage holds the result now. Needs `RUNNING`.
    pub(super) poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> bool,
    /// Drops the future and stores the error as the result. Needs `RUNNING`.
    pub(super) cancel: unsafe fn(NonNull<Header>, JoinError),
    /// Moves the result to the pointer, an `Option<Result<T, JoinError>>`. Needs the right to the result.
    pub(super) take_output: unsafe fn(NonNull<Header>, *mut ()),
    /// Drops the result, if nobody took it. Needs the right to the result.
    pub(super) drop_output: unsafe fn(NonNull<Header>),
    /// Frees the task and what is left in it. Needs to be the last reference.
    /// The list of live tasks is the one that the caller owns.
    pub(super) free: unsafe fn(NonNull<Header>, Option<&Live>),
}

/// A counted reference to a task, whatever its future is.
///
/// # Examples
///
/// ```
/// let executor = hart_executor::Executor::new();
/// let handle = executor.spawn(std::future::pending::<()>());
/// let task = handle.task();
/// assert!(!task.is_complete());
/// task.cancel();
/// assert!(task.is_complete());
/// ```
pub struct TaskRef(NonNull<Header>);

// SAFETY: a task's future and result are `Send` (checked where it is spawned) and are touched by one
// thread at a time, as the state's flags grant it; everything else in the header is `Sync` or guarded
// as the table above says.
unsafe impl Send for TaskRef {}
// SAFETY: as for `Send`: `&TaskRef` gives nothing that a clone of it would not.
unsafe impl Sync for TaskRef {}

/// What came of running a task.
#[must_use]
pub(crate) enum Ran {
    /// It waits.
    Pending,
    /// It was woken while it ran: queue it.
    Requeue(TaskRef),
    /// It completed.
    Complete,
    /// It was complete, or somebody was completing it: no poll took place.
    Skipped,
}

// === impl Header ===

impl Header {
    pub(super) fn new(
        state: State,
        vtable: &'static Vtable,
        executor: Option<Strong>,
        group: Option<Arc<GroupInner>>,
        listed: Listed,
        id: Id,
        metadata: Metadata,
    ) -> Self {
        Self {
            run_links: mpsc_queue::Links::new(),
            state,
            vtable,
            executor,
            group,
            join_waker: UnsafeCell::new(None),
            listed,
            queued_at: AtomicUsize::new(0),
            id,
            #[cfg(feature = "tracing")]
            span: span(id, &metadata),
            metadata,
        }
    }

    pub(crate) fn group(&self) -> Option<&Arc<GroupInner>> {
        self.group.as_ref()
    }

    /// Notes that the task entered the fair lane at `now`.
    pub(crate) fn set_queued_at(&self, now: u64) {
        // Relaxed: the lane's lock orders it. Truncated on 32 bits: only differences are used.
        self.queued_at.store(now as usize, Ordering::Relaxed);
    }

    /// How long it has been in the fair lane, in nanoseconds.
    pub(crate) fn queued_for(&self, now: u64) -> u64 {
        let waited = (now as usize).wrapping_sub(self.queued_at.load(Ordering::Relaxed));
        // `now` may have been read a moment before another core queued the task.
        u64::try_from(waited.cast_signed()).unwrap_or(0)
    }

    /// Where it is among the live tasks.
    pub(crate) fn listed(&self) -> Listed {
        self.listed
    }

    fn executor(&self) -> &Strong {
        self.executor
            .as_ref()
            .expect("only a queue's stub has no executor, and stubs are not run")
    }
}

#[cfg(feature = "tracing")]
fn span(id: Id, metadata: &Metadata) -> tracing::Span {
    tracing::trace_span!(
        target: "hart::task",
        "task",
        id = id.as_u64(),
        name = metadata.name().unwrap_or(""),
        kind = metadata.kind(),
        location = %metadata.location(),
    )
}

// === impl TaskRef ===

impl TaskRef {
    /// Takes over a reference that is counted already.
    ///
    /// # Safety
    ///
    /// `header` points to a live task, and one of its counted references is nobody else's.
    pub(crate) unsafe fn from_counted(header: NonNull<Header>) -> Self {
        Self(header)
    }

    /// A reference that is not counted, for a moment.
    ///
    /// # Safety
    ///
    /// The task must be alive for as long as the result is used.
    pub(crate) unsafe fn borrow(header: NonNull<Header>) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self(header))
    }

    /// Gives the counted reference to whoever keeps the pointer.
    pub(crate) fn into_counted(self) -> NonNull<Header> {
        ManuallyDrop::new(self).0
    }

    /// A new stub for a run queue.
    pub(crate) fn stub() -> Self {
        raw::stub()
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: a `TaskRef` holds a counted reference, so the task is not freed.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn as_ptr(&self) -> NonNull<Header> {
        self.0
    }

    /// The task's id.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let handle = executor.spawn(async {});
    /// assert_eq!(handle.task().id(), handle.id());
    /// ```
    pub fn id(&self) -> Id {
        self.header().id
    }

    /// Whether it has completed, been cancelled, or panicked: its result is there.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let task = executor.spawn(async {}).task();
    /// assert!(!task.is_complete());
    /// worker.tick();
    /// assert!(task.is_complete());
    /// ```
    pub fn is_complete(&self) -> bool {
        self.header().state.is_complete()
    }

    /// What it says about itself.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let task = executor.build_task().kind("timer").spawn(async {}).task();
    /// assert_eq!(task.metadata().kind(), "timer");
    /// ```
    pub fn metadata(&self) -> &Metadata {
        &self.header().metadata
    }

    /// Cancels it: its future is dropped and its joiner is told.
    ///
    /// An idle or queued task's future is dropped before this returns, on the calling thread; a running
    /// task's when its present poll ends, unless that poll completes it. Cancelling a task that has
    /// completed changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let handle = executor.spawn(std::future::pending::<()>());
    /// handle.task().cancel();
    /// assert!(worker.run(handle).unwrap().unwrap_err().is_cancelled());
    /// ```
    pub fn cancel(&self) {
        self.cancel_for(Reason::Cancelled);
    }

    /// Wakes it as one of its wakers would.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let mut polls = 0;
    /// let handle = executor.spawn(std::future::poll_fn(move |_| {
    ///     polls += 1;
    ///     if polls == 2 { std::task::Poll::Ready(polls) } else { std::task::Poll::Pending }
    /// }));
    /// worker.tick();
    /// handle.task().wake();
    /// assert_eq!(worker.run(handle).unwrap().unwrap(), 2);
    /// ```
    pub fn wake(&self) {
        match self.header().state.wake_by_ref() {
            Wake::Nothing => {}
            // SAFETY: `Schedule` made the reference for the queue.
            Wake::Schedule => self
                .header()
                .executor()
                .schedule_woken(unsafe { Self::from_counted(self.0) }),
        }
    }

    /// Wakes the task, giving the reference away: one atomic operation less.
    pub(super) fn wake_by_value(self) {
        let header = self.into_counted();
        // SAFETY: the reference that was just given up is released or passed on below, not before.
        let (wake, released) = unsafe { header.as_ref() }.state.wake_by_value();
        match (wake, released) {
            (Wake::Schedule, _) => {
                // SAFETY: the reference is the queue's now.
                Shared::schedule_woken_by_value(unsafe { Self::from_counted(header) });
            }
            // SAFETY: it was the last reference.
            (Wake::Nothing, Released::Last) => unsafe { free(header) },
            (Wake::Nothing, Released::Shared) => {}
        }
    }

    /// Marks an idle task as queued, for a caller who queues it by hand; `None` if it needs no queueing.
    pub(crate) fn claim_for_queue(&self) -> Option<TaskRef> {
        match self.header().state.wake_by_ref() {
            Wake::Nothing => None,
            // SAFETY: `Schedule` made the reference for the queue.
            Wake::Schedule => Some(unsafe { Self::from_counted(self.0) }),
        }
    }

    pub(crate) fn is_of(&self, shared: &Strong) -> bool {
        Strong::ptr_eq(self.header().executor(), shared)
    }

    pub(crate) fn executor(&self) -> &Strong {
        self.header().executor()
    }

    pub(crate) fn cancel_for(&self, reason: Reason) {
        match self.header().state.cancel(reason) {
            Cancel::DropFuture => {
                let slot = self.executor().current_slot();
                let released = self.drop_future(reason, slot, 0);
                debug_assert_eq!(released, Released::Shared, "`self` is a reference");
            }
            Cancel::Requested | Cancel::TooLate => {}
        }
    }

    /// Runs a task that was taken from a queue, on the core of the worker whose place `slot` is.
    pub(crate) fn run(self, slot: &Slot) -> Ran {
        match self.header().state.start_poll() {
            StartPoll::Skip => return Ran::Skipped,
            StartPoll::Poll => {}
        }
        if slot.polling(&self, || self.poll()) {
            return self.completed(slot, Self::finish);
        }
        match self.header().state.finish_poll() {
            FinishPoll::Requeue => Ran::Requeue(self),
            FinishPoll::Cancel(reason) => self.completed(slot, |task, slot, refs| {
                task.drop_future(reason, slot, refs)
            }),
            FinishPoll::Idle => {
                // `finish_poll` released the reference, and it was not the last.
                let _ = self.into_counted();
                Ran::Pending
            }
        }
    }

    /// Completes a task with `finish`, which releases this reference, too.
    fn completed(
        self,
        slot: &Slot,
        finish: impl FnOnce(&Self, Option<&Slot>, usize) -> Released,
    ) -> Ran {
        let task = ManuallyDrop::new(self);
        if finish(&task, Some(slot), 1) == Released::Last {
            // SAFETY: that was the last reference.
            unsafe { free_on(task.0, Some(slot)) };
        }
        Ran::Complete
    }

    /// Polls the future; `true` if the stage holds the result now. Needs RUNNING.
    fn poll(&self) -> bool {
        #[cfg(feature = "tracing")]
        let _entered = self.header().span.enter();
        let waker = waker::borrowed(self);
        let mut cx = Context::from_waker(&waker);
        // SAFETY: the caller has RUNNING.
        unsafe { (self.header().vtable.poll)(self.0, &mut cx) }
    }

    /// Drops the future in place and completes the task, as [`finish`](Self::finish). Needs RUNNING.
    fn drop_future(&self, reason: Reason, slot: Option<&Slot>, refs: usize) -> Released {
        let error = JoinError::new(match reason {
            Reason::Cancelled => Repr::Cancelled,
            Reason::Closed => Repr::Closed,
        });
        // SAFETY: the caller has RUNNING.
        unsafe { (self.header().vtable.cancel)(self.0, error) };
        self.finish(slot, refs)
    }

    /// The stage holds the result: leaves the live tasks, tells the joiner, and releases `refs` references, of which
    /// the caller says where they come from; after that only these keep the task. Needs RUNNING. `slot` is that of
    /// the calling core's worker.
    fn finish(&self, slot: Option<&Slot>, refs: usize) -> Released {
        let header = self.header();
        let mut refs = refs;
        // Before the joiner is told, so that counts are right when it looks.
        if let Some(listed) = header.executor().forget(self, slot) {
            let _ = listed.into_counted();
            refs += 1;
        }
        let detached = header.state.is_detached();
        if detached {
            self.drop_output();
        }
        match header.state.complete(refs, detached) {
            Completed::Done(released) => return released,
            Completed::DropOutput => self.drop_output(),
            Completed::WakeJoiner { drop_output } => {
                if drop_output {
                    self.drop_output();
                }
                header.join_waker.with(|waker| {
                    // SAFETY: complete, with JOIN_WAKER set: the field is the completer's, and set.
                    if let Some(waker) = unsafe { &*waker } {
                        let wake = || raw::quietly(|| waker.wake_by_ref());
                        match slot {
                            Some(slot) => slot.completing(wake),
                            None => wake(),
                        }
                    }
                });
                if header.state.release_join_waker() {
                    self.drop_join_waker();
                }
            }
        }
        if refs == 0 {
            return Released::Shared;
        }
        header.state.release_refs(refs)
    }

    /// Drops the result. Needs the right to it.
    pub(super) fn drop_output(&self) {
        // SAFETY: the caller's: the completer of a task without a handle, or the handle of a complete one.
        unsafe { (self.header().vtable.drop_output)(self.0) };
    }

    /// Drops the waker field's content. Needs the right to the field.
    pub(super) fn drop_join_waker(&self) {
        // SAFETY: the caller has the right to the field, by rule 4 of the state.
        let waker = self
            .header()
            .join_waker
            .with_mut(|field| unsafe { (*field).take() });
        raw::quietly(|| drop(waker));
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> Self {
        self.header().state.add_ref();
        Self(self.0)
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        if self.header().state.release_ref() == Released::Last {
            // SAFETY: that was the last reference, and `self` is not used again.
            unsafe { free(self.0) };
        }
    }
}

impl PartialEq for TaskRef {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.0.as_ptr(), other.0.as_ptr())
    }
}

impl Eq for TaskRef {}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRef")
            .field("id", &self.id())
            .field("metadata", self.metadata())
            .field("state", &self.header().state)
            .finish()
    }
}

/// # Safety
///
/// The task's last reference was just released.
pub(super) unsafe fn free(header: NonNull<Header>) {
    // SAFETY: nobody else refers to the task, so it is still there until we free it.
    let executor = unsafe { header.as_ref() }.executor.as_ref();
    let slot = executor.and_then(|executor| executor.current_slot());
    // SAFETY: the caller's.
    unsafe { free_on(header, slot) };
}

/// As [`free`], on the core of the worker whose place `slot` is.
///
/// # Safety
///
/// As [`free`].
unsafe fn free_on(header: NonNull<Header>, slot: Option<&Slot>) {
    // SAFETY: nobody else refers to the task, so it is still there until we free it.
    let vtable = unsafe { header.as_ref() }.vtable;
    // SAFETY: nobody else refers to the task, and no reference to the header is left.
    let executor = unsafe { &raw mut (*header.as_ptr()).executor };
    // The executor goes last: `slot` is in it, and what the future drops may use it.
    // SAFETY: as above.
    let executor = unsafe { &mut *executor }.take();
    // SAFETY: the caller's.
    unsafe { (vtable.free)(header, slot.map(|slot| &slot.live)) };
    if let Some(executor) = executor {
        executor.drop_on(slot);
    }
}

// === impl Linked ===

// SAFETY: tasks are heap-allocated and never move; `into_ptr` and `from_ptr` pass one counted
// reference along, so that the node lives while it is linked.
unsafe impl Linked<mpsc_queue::Links<Header>> for Header {
    type Handle = TaskRef;

    fn into_ptr(task: TaskRef) -> NonNull<Self> {
        task.into_counted()
    }

    unsafe fn from_ptr(ptr: NonNull<Self>) -> TaskRef {
        // SAFETY: the queue gives back the reference that `into_ptr` gave it.
        unsafe { TaskRef::from_counted(ptr) }
    }

    unsafe fn links(ptr: NonNull<Self>) -> NonNull<mpsc_queue::Links<Header>> {
        // SAFETY: the queue's nodes are live tasks; no reference to the header is made.
        let links = unsafe { &raw mut (*ptr.as_ptr()).run_links };
        // SAFETY: a field of a live allocation is not at address zero.
        unsafe { NonNull::new_unchecked(links) }
    }
}
