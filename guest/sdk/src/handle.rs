//! A task that was spawned.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::backend;
use crate::encoding::Returned;
use crate::error::{JoinError, Outcome};

/// A task that was spawned. Dropping it detaches: the task goes on, and its result is dropped when
/// it ends.
#[must_use = "dropping a handle detaches the task: nobody will see its result or how it failed"]
pub struct Handle<T, E = Infallible> {
    raw: backend::RawTask,
    returned: Returned<T, E>,
}

impl<T, E> Handle<T, E> {
    pub(crate) fn new(raw: backend::RawTask, returned: Returned<T, E>) -> Self {
        Self { raw, returned }
    }

    /// A number that no other task of this host has (natively and with the feature `sequential`: of
    /// this process or instance).
    pub fn id(&self) -> u64 {
        self.raw.id()
    }

    /// Whether it has ended. Never waits.
    pub fn is_finished(&self) -> bool {
        self.raw.is_finished()
    }

    /// Waits until the task has ended and takes its result. The worker runs others meanwhile.
    ///
    /// # Errors
    ///
    /// [`JoinError`] says why there is no result; [`JoinError::Failed`] has the task's own error.
    pub fn join(self) -> Result<T, JoinError<E>> {
        self.returned.decode(self.raw.join())
    }

    /// Ends the task and everything it spawned, as soon as it can be. A task that has already ended
    /// keeps its result.
    pub fn cancel(&self) {
        self.raw.cancel();
    }
}

impl<T, E> fmt::Debug for Handle<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("id", &self.id()).finish()
    }
}

/// Waits for the task without holding the instance: see [`concurrent`](crate::concurrent).
impl<T, E> IntoFuture for Handle<T, E> {
    type Output = Result<T, JoinError<E>>;
    type IntoFuture = Join<T, E>;

    fn into_future(self) -> Join<T, E> {
        Join {
            outcome: Box::pin(self.raw.join_async()),
            returned: self.returned,
        }
    }
}

/// A pending join: what a [`Handle`] becomes when it is awaited. Dropping it cancels the join and detaches the
/// task, which goes on.
#[must_use = "a future does nothing until it is awaited"]
pub struct Join<T, E = Infallible> {
    outcome: Pin<Box<dyn Future<Output = Outcome>>>,
    returned: Returned<T, E>,
}

impl<T, E> Future for Join<T, E> {
    type Output = Result<T, JoinError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let outcome = ready!(this.outcome.as_mut().poll(cx));
        Poll::Ready(this.returned.decode(outcome))
    }
}

impl<T, E> fmt::Debug for Join<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").finish_non_exhaustive()
    }
}

/// Waits until at least one of `handles` has ended, and returns the place of one that has; `None` if
/// there are none. The worker runs other tasks meanwhile.
///
/// ```
/// use hart_guest::{task, wait_any};
///
/// #[task]
/// fn double(number: u32) -> u32 {
///     2 * number
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut handles = vec![double.spawn(1)?, double.spawn(2)?, double.spawn(3)?];
/// let mut total = 0;
/// while let Some(ended) = wait_any(&handles) {
///     total += handles.swap_remove(ended).join()?;
/// }
/// assert_eq!(total, 12);
/// # Ok(())
/// # }
/// ```
pub fn wait_any<'a, T: 'a, E: 'a>(
    handles: impl IntoIterator<Item = &'a Handle<T, E>>,
) -> Option<usize> {
    let raw: Vec<_> = handles.into_iter().map(|handle| &handle.raw).collect();
    (!raw.is_empty()).then(|| backend::wait_any(&raw))
}
