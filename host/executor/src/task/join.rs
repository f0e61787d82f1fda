//! Waiting for a task.

use super::{
    Id,
    join_error::JoinError,
    reference::TaskRef,
    transition::{Detached, HandleDropped, Join, Reason, Released},
};
use core::{
    fmt,
    future::Future,
    marker::PhantomData,
    mem::ManuallyDrop,
    pin::Pin,
    ptr,
    task::{Context, Poll},
};

/// A future of a task's result. Dropping it detaches: the task goes on, its result is dropped.
///
/// It may be polled from any thread, moved between threads, and polled with changing wakers.
///
/// # Panics
///
/// Polling it again after it was ready panics.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// let sum = executor.spawn(async { 1 + 1 });
/// assert_eq!(worker.run(sum).unwrap().unwrap(), 2);
///
/// let never = executor.spawn(std::future::pending::<()>());
/// never.cancel();
/// assert!(never.is_complete());
/// assert!(worker.run(never).unwrap().unwrap_err().is_cancelled());
///
/// let detached = executor.spawn(std::future::pending::<()>());
/// let task = detached.task();
/// drop(detached);
/// assert!(!task.is_complete(), "detached, and not cancelled");
/// ```
#[must_use = "dropping a join handle detaches its task; say `drop(handle)` where that is meant"]
pub struct JoinHandle<T> {
    /// `drop` drops it, or releases its reference together with the handle's interest.
    task: ManuallyDrop<TaskRef>,
    taken: bool,
    /// There may be a waker in the task's field.
    waker_set: bool,
    _output: PhantomData<fn() -> T>,
}

impl<T> JoinHandle<T> {
    /// The handle of a new task.
    ///
    /// # Safety
    ///
    /// `task` was spawned with a future whose output is `T`, and gets no other handle.
    pub(crate) unsafe fn new(task: TaskRef) -> Self {
        Self {
            task: ManuallyDrop::new(task),
            taken: false,
            waker_set: false,
            _output: PhantomData,
        }
    }

    /// Cancels the task; see [`TaskRef::cancel`]. The handle then gives
    /// [a cancelled error](JoinError::is_cancelled), unless the task completed first.
    pub fn cancel(&self) {
        self.task.cancel();
    }

    /// Cancels a task that was spawned while the executor was being closed.
    pub(crate) fn close(&self) {
        self.task.cancel_for(Reason::Closed);
    }

    /// Whether the result is there.
    pub fn is_complete(&self) -> bool {
        self.task.is_complete()
    }

    /// The task's id.
    pub fn id(&self) -> Id {
        self.task.id()
    }

    /// A reference to the task, which does not detach or join.
    pub fn task(&self) -> TaskRef {
        TaskRef::clone(&self.task)
    }

    fn set_waker(&mut self, cx: &Context<'_>) -> bool {
        let waker = cx.waker().clone();
        self.waker_set = true;
        let old = self.task.header().join_waker.with_mut(|field| {
            // SAFETY: JOIN_WAKER is clear, so the field is the handle's (rule 4 of the state).
            unsafe { (*field).replace(waker) }
        });
        // Foreign code, so not while the field is borrowed.
        drop(old);
        self.task.header().state.publish_join_waker()
    }

    /// Whether the result may be taken; if not, arranges to be woken.
    fn poll_complete(&mut self, cx: &Context<'_>) -> bool {
        let state = &self.task.header().state;
        match state.start_join() {
            Join::Complete => true,
            Join::WriteWaker => !self.set_waker(cx),
            Join::CompareWaker => {
                let same = self.task.header().join_waker.with(|field| {
                    // SAFETY: JOIN_WAKER is set: the field is not written, only read (by the completer,
                    // too).
                    unsafe { &*field }
                        .as_ref()
                        .is_some_and(|waker| waker.will_wake(cx.waker()))
                });
                if same {
                    return false;
                }
                !state.retract_join_waker() || !self.set_waker(cx)
            }
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.taken, "a join handle was polled after it was ready");
        if !self.poll_complete(cx) {
            return Poll::Pending;
        }
        self.taken = true;
        let mut output: Option<Self::Output> = None;
        let take_output = self.task.header().vtable.take_output;
        // SAFETY: the task is complete and this is its handle, so the result is ours. Its future's output is `T`, as the
        // caller of `new` has promised, so `output` is what the function expects.
        unsafe { take_output(self.task.as_ptr(), ptr::from_mut(&mut output).cast()) };
        Poll::Ready(output.expect("a complete task whose result was not taken holds it"))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let state = &self.task.header().state;
        if !self.waker_set && !self.taken {
            match state.detach() {
                Detached::Done(Released::Shared) => return,
                Detached::Done(Released::Last) => {
                    // SAFETY: that was the last reference, and it is not used again.
                    return unsafe { self.task.free() };
                }
                Detached::Complete => {}
            }
        }
        // If the result was taken and the completer is done, nobody else looks at these fields.
        if !(self.taken && state.is_settled()) {
            let HandleDropped {
                drop_output,
                drop_waker,
            } = state.drop_handle();
            if drop_waker {
                // SAFETY: the transition gave the field to the handle.
                unsafe { self.task.drop_join_waker() };
            }
            if drop_output && !self.taken {
                // SAFETY: the task is complete, and this is its handle.
                unsafe { self.task.drop_output() };
            }
        } else if self.waker_set {
            // SAFETY: the task is complete, and its completer is done with the field.
            unsafe { self.task.drop_join_waker() };
        }
        // SAFETY: it is not used again.
        unsafe { ManuallyDrop::drop(&mut self.task) };
    }
}

// A handle holds no `T`, but gives one to the thread that polls it.
// SAFETY: `TaskRef` is `Send`; the result may be taken on another thread, which `T: Send` allows.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: a shared handle gives no access to the result.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

impl<T> Unpin for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JoinHandle").field(&*self.task).finish()
    }
}
