//! Why a task has no output.

#[cfg(feature = "std")]
use alloc::boxed::Box;
use core::fmt;

/// Why a task has no output.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// let task = executor.spawn(async { panic!("no luck") });
/// let error = worker.run(task).unwrap().unwrap_err();
/// assert!(error.is_panic());
/// assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "no luck");
///
/// let task = executor.spawn(std::future::pending::<()>());
/// task.cancel();
/// assert!(worker.run(task).unwrap().unwrap_err().is_cancelled());
/// ```
pub struct JoinError(Repr);

enum Repr {
    Cancelled,
    Closed,
    #[cfg(feature = "std")]
    #[cfg_attr(loom, expect(dead_code, reason = "under loom panics pass through"))]
    Panicked(SyncPayload),
}

/// A panic's payload, which can only be moved out.
#[cfg(feature = "std")]
struct SyncPayload(Box<dyn core::any::Any + Send>);

// SAFETY: a shared payload gives no access to what is in it, except that `message` reads it if it is a string, and
// nobody writes it.
#[cfg(feature = "std")]
unsafe impl Sync for SyncPayload {}

impl JoinError {
    pub(super) fn cancelled() -> Self {
        Self(Repr::Cancelled)
    }

    pub(super) fn closed() -> Self {
        Self(Repr::Closed)
    }

    #[cfg(all(feature = "std", not(loom)))]
    pub(super) fn panicked(payload: Box<dyn core::any::Any + Send>) -> Self {
        Self(Repr::Panicked(SyncPayload(payload)))
    }

    /// The task was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Repr::Cancelled)
    }

    /// The executor was closed before the task had completed.
    pub fn is_closed(&self) -> bool {
        matches!(self.0, Repr::Closed)
    }

    /// The task panicked. Always `false` without the feature `std`: there a panic ends the program.
    pub fn is_panic(&self) -> bool {
        !self.is_cancelled() && !self.is_closed()
    }

    /// What the task panicked with, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// If the task did not [panic](Self::is_panic).
    #[cfg(feature = "std")]
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn core::any::Any + Send> {
        match self.0 {
            Repr::Panicked(SyncPayload(payload)) => payload,
            Repr::Cancelled | Repr::Closed => panic!("the task did not panic: {self}"),
        }
    }
}

#[cfg(feature = "std")]
impl SyncPayload {
    fn message(&self) -> Option<&str> {
        let string = || self.0.downcast_ref::<alloc::string::String>();
        let literal = self.0.downcast_ref::<&str>().copied();
        literal.or_else(|| string().map(|s| &**s))
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Cancelled => f.write_str("the task was cancelled"),
            Repr::Closed => f.write_str("the executor was closed before the task had completed"),
            #[cfg(feature = "std")]
            Repr::Panicked(payload) => match payload.message() {
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
