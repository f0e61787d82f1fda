//! Waiting for a task.

use super::{
    Id, TaskRef, header,
    state::{Detached, HandleDropped, Join, Reason, Released},
};
#[cfg(feature = "std")]
use alloc::boxed::Box;
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
/// assert!(worker.run(never).unwrap().unwrap_err().is_cancelled());
/// ```
#[must_use = "dropping a join handle detaches its task; say `drop(handle)` where that is meant"]
pub struct JoinHandle<T> {
    /// Dropped by hand.
    task: ManuallyDrop<TaskRef>,
    taken: bool,
    /// There may be a waker in the task's field.
    waker_set: bool,
    _output: PhantomData<fn() -> T>,
}

impl<T> JoinHandle<T> {
    /// `task` was spawned with a future whose output is `T`, and this is its only handle.
    pub(super) fn new(task: TaskRef) -> Self {
        Self {
            task: ManuallyDrop::new(task),
            taken: false,
            waker_set: false,
            _output: PhantomData,
        }
    }

    /// Cancels the task; see [`TaskRef::cancel`]. The handle then gives
    /// [a cancelled error](JoinError::is_cancelled), unless the task completed first.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let handle = executor.spawn(std::future::pending::<()>());
    /// handle.cancel();
    /// assert!(handle.is_complete());
    /// ```
    pub fn cancel(&self) {
        self.task.cancel();
    }

    /// Cancels a task that was spawned while the executor was being closed.
    pub(super) fn close(&self) {
        self.task.cancel_for(Reason::Closed);
    }

    /// Whether the result is there.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let handle = executor.spawn(async {});
    /// assert!(!handle.is_complete());
    /// worker.tick();
    /// assert!(handle.is_complete());
    /// ```
    pub fn is_complete(&self) -> bool {
        self.task.is_complete()
    }

    /// The task's id.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let handle = executor.spawn(async {});
    /// assert_eq!(handle.id(), handle.task().id());
    /// ```
    pub fn id(&self) -> Id {
        self.task.id()
    }

    /// A reference to the task, which does not detach or join.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let handle = executor.spawn(std::future::pending::<()>());
    /// let task = handle.task();
    /// drop(handle);
    /// assert!(!task.is_complete(), "detached, and not cancelled");
    /// ```
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
        // SAFETY: the task is complete and this is its handle, so the result is ours; its future's
        // output is `T` (see `new`), so `output` is what the function expects.
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
                    return unsafe { header::free(self.task.as_ptr()) };
                }
                Detached::Complete => {}
            }
        }
        // Nobody else looks at a task whose result was taken and whose completer is done.
        if !(self.taken && state.is_settled()) {
            let HandleDropped {
                drop_output,
                drop_waker,
            } = state.drop_handle();
            if drop_waker {
                self.task.drop_join_waker();
            }
            if drop_output && !self.taken {
                // The task is complete, and the handle had the right to its result.
                self.task.drop_output();
            }
        } else if self.waker_set {
            self.task.drop_join_waker();
        }
        // SAFETY: it is not used again.
        unsafe { ManuallyDrop::drop(&mut self.task) };
    }
}

// A handle holds no `T`, but gives one away on whichever thread polls it.
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

/// Why a task has no output.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let task = executor.spawn(async { panic!("no luck") });
/// let error = Worker::new(&executor).unwrap().run(task).unwrap().unwrap_err();
/// assert!(error.is_panic());
/// assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "no luck");
/// ```
pub struct JoinError(Repr);

pub(crate) enum Repr {
    Cancelled,
    Closed,
    #[cfg(feature = "std")]
    #[cfg_attr(loom, expect(dead_code, reason = "under loom panics get through"))]
    Panicked(SyncPayload),
}

/// A panic's payload, which can only be moved out.
#[cfg(feature = "std")]
pub(crate) struct SyncPayload(Box<dyn core::any::Any + Send>);

// SAFETY: a shared payload gives no access to what is in it, but for the type test in `message`, which
// reads a string that nobody writes.
#[cfg(feature = "std")]
unsafe impl Sync for SyncPayload {}

impl JoinError {
    pub(crate) fn new(repr: Repr) -> Self {
        Self(repr)
    }

    #[cfg(all(feature = "std", not(loom)))]
    pub(crate) fn panicked(payload: Box<dyn core::any::Any + Send>) -> Self {
        Self(Repr::Panicked(SyncPayload(payload)))
    }

    /// The task was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let task = executor.spawn(std::future::pending::<()>());
    /// task.cancel();
    /// assert!(worker.run(task).unwrap().unwrap_err().is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Repr::Cancelled)
    }

    /// The executor was closed before the task had completed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
    ///
    /// let executor = hart_executor::Executor::new();
    /// let mut task = executor.spawn(std::future::pending::<()>());
    /// executor.close();
    /// let joined = pin!(task).poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(joined, Poll::Ready(Err(error)) if error.is_closed()));
    /// ```
    pub fn is_closed(&self) -> bool {
        matches!(self.0, Repr::Closed)
    }

    /// The task panicked. Always `false` without the feature `std`: there a panic ends the program.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let task = executor.spawn(async { panic!("on purpose") });
    /// assert!(worker.run(task).unwrap().unwrap_err().is_panic());
    /// ```
    pub fn is_panic(&self) -> bool {
        match self.0 {
            #[cfg(feature = "std")]
            Repr::Panicked(_) => true,
            _ => false,
        }
    }

    /// What the task panicked with, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// If the task did not [panic](Self::is_panic).
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let task = executor.spawn(async { std::panic::panic_any(7) });
    /// let error = worker.run(task).unwrap().unwrap_err();
    /// assert_eq!(*error.into_panic().downcast::<i32>().unwrap(), 7);
    /// ```
    #[cfg(feature = "std")]
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn core::any::Any + Send> {
        match self.0 {
            Repr::Panicked(SyncPayload(payload)) => payload,
            Repr::Cancelled | Repr::Closed => panic!("the task did not panic: {self}"),
        }
    }

    #[cfg(feature = "std")]
    fn message(payload: &SyncPayload) -> Option<&str> {
        let payload = &payload.0;
        payload.downcast_ref::<&str>().copied().or_else(|| {
            payload
                .downcast_ref::<alloc::string::String>()
                .map(|s| &**s)
        })
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Cancelled => f.write_str("the task was cancelled"),
            Repr::Closed => f.write_str("the executor was closed before the task had completed"),
            #[cfg(feature = "std")]
            Repr::Panicked(payload) => match Self::message(payload) {
                Some(message) => write!(f, "the task panicked: {message}"),
                None => f.write_str("the task panicked"),
            },
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl core::error::Error for JoinError {}
