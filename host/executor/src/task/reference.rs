//! The counted reference to a task, whatever its future is.

use super::{
    Id, Metadata,
    catch::quietly,
    header::Header,
    transition::{Cancel, Reason, Released, Wake},
};
use cordyceps::{Linked, mpsc_queue};
use core::{fmt, mem::ManuallyDrop, ptr::NonNull};

/// A counted reference to a task, whatever its future is.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// let handle = executor.build_task().kind("timer").spawn(std::future::pending::<()>());
/// let task = handle.task();
/// assert_eq!((task.id(), task.metadata().kind()), (handle.id(), "timer"));
/// task.cancel();
/// assert!(task.is_complete());
/// assert!(worker.run(handle).unwrap().unwrap_err().is_cancelled());
/// ```
#[derive(PartialEq, Eq)]
pub struct TaskRef(NonNull<Header>);

// SAFETY: a task's future and result are `Send` (checked where it is spawned), and one thread at a time touches them, as
// the state's flags grant it. Everything else in the header is `Sync`, or guarded as the table in `header` says.
unsafe impl Send for TaskRef {}
// SAFETY: as for `Send`: `&TaskRef` gives nothing that a clone of it does not.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// Takes over a reference that is counted already.
    ///
    /// # Safety
    ///
    /// `header` points to a live task, and one of its counted references is given to the result. The pointer may be
    /// used for the whole task, not only for the header.
    pub(crate) unsafe fn from_counted(header: NonNull<Header>) -> Self {
        Self(header)
    }

    /// A reference that is not counted, for a moment.
    ///
    /// # Safety
    ///
    /// The task is alive for as long as the result is used.
    pub(crate) unsafe fn borrow(header: NonNull<Header>) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self(header))
    }

    /// Gives the counted reference to the pointer.
    pub(crate) fn into_counted(self) -> NonNull<Header> {
        ManuallyDrop::new(self).0
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: a `TaskRef` holds a counted reference, so the task is not freed.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn as_ptr(&self) -> NonNull<Header> {
        self.0
    }

    /// The task's id.
    pub fn id(&self) -> Id {
        self.header().id()
    }

    /// Whether it has completed, been cancelled, or panicked: its result is there.
    pub fn is_complete(&self) -> bool {
        self.header().state.is_complete()
    }

    /// What it says about itself.
    pub fn metadata(&self) -> &Metadata {
        self.header().metadata()
    }

    /// Cancels it: its future is dropped and its joiner is told.
    ///
    /// The future of an idle or queued task is dropped before this returns, on the calling thread. The future of a
    /// running task is dropped when its present poll ends, unless that poll completes it. Cancelling a task that has
    /// completed changes nothing.
    pub fn cancel(&self) {
        self.cancel_for(Reason::Cancelled);
    }

    pub(crate) fn cancel_for(&self, reason: Reason) {
        match self.header().state.cancel(reason) {
            // SAFETY: the transition has set `RUNNING` for us, and `self` is a reference.
            Cancel::DropFuture => unsafe { (self.header().vtable.cancel)(self.0, reason) },
            Cancel::Requested | Cancel::TooLate => {}
        }
    }

    /// Wakes it as one of its wakers would.
    pub fn wake(&self) {
        match self.header().state.wake_by_ref() {
            Wake::Nothing => {}
            // SAFETY: the transition made a reference for the queue, and `self` is another.
            Wake::Schedule => unsafe { (self.header().vtable.schedule)(self.0) },
        }
    }

    /// Wakes the task and gives the reference away: one atomic operation less.
    pub(super) fn wake_by_value(self) {
        let header = self.into_counted();
        // SAFETY: the reference that we gave up is released or passed on below, not before.
        let task = unsafe { header.as_ref() };
        let vtable = task.vtable;
        match task.state.wake_by_value() {
            // SAFETY: the reference is the queue's now.
            (Wake::Schedule, _) => unsafe { (vtable.schedule_last)(header) },
            // SAFETY: it was the last reference.
            (Wake::Nothing, Released::Last) => unsafe { (vtable.free)(header) },
            (Wake::Nothing, Released::Shared) => {}
        }
    }

    /// Marks an idle task as queued, for a caller that queues it; `None` if it needs no queueing.
    pub(crate) fn claim_for_queue(&self) -> Option<TaskRef> {
        match self.header().state.wake_by_ref() {
            Wake::Nothing => None,
            // SAFETY: the transition made the reference for the queue.
            Wake::Schedule => Some(unsafe { Self::from_counted(self.0) }),
        }
    }

    /// Drops the result.
    ///
    /// # Safety
    ///
    /// The caller has the right to the stage: it completes a task that has no handle, or is the handle of a complete one.
    pub(super) unsafe fn drop_output(&self) {
        // SAFETY: the caller's.
        unsafe { (self.header().vtable.drop_output)(self.0) };
    }

    /// Drops the waker field's content.
    ///
    /// # Safety
    ///
    /// The caller has the right to the field, by rule 4 of the state.
    pub(super) unsafe fn drop_join_waker(&self) {
        let field = &self.header().join_waker;
        // SAFETY: the caller's.
        let waker = field.with_mut(|field| unsafe { (*field).take() });
        quietly(|| drop(waker));
    }

    /// Frees a task.
    ///
    /// # Safety
    ///
    /// The task's last reference was just released, and `self` is not used again.
    pub(super) unsafe fn free(&self) {
        // SAFETY: the caller's.
        unsafe { (self.header().vtable.free)(self.0) };
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
            unsafe { self.free() };
        }
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRef")
            .field("id", &self.id())
            .field("metadata", self.metadata())
            .field("state", &self.header().state)
            .finish()
    }
}

// SAFETY: tasks are heap-allocated and never move; `into_ptr` and `from_ptr` pass one counted reference along, so that
// the node lives while it is linked.
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
        // SAFETY: the queue's nodes are live tasks, of the fast lane: the executor queues no others there.
        unsafe { Header::fast_links(ptr) }
    }
}
