//! In-guest futures: many of them in one instance, on its one thread.
//!
//! A `hart-executor` with one worker runs them; this module is what is around it.
//!
//! 1. `block_on` makes an executor and its only worker, names it in the thread's cell ([`current`]), and runs
//!    the worker until its future completes. What is left then is dropped before it returns, in whatever way
//!    it returns.
//! 2. A future that waits for a time or a pollable leaves its waker with the [reactor]. There is one for the
//!    thread, which looks at what is ready where the worker would sleep ([`platform`]), and now and then
//!    while it does not: every poll of an in-guest future goes through [`Local`], which counts.
//! 3. The executor takes futures that are `Send`, and those here need not be. [`Local`] says that they are:
//!    see there why that holds.
//! 4. A task of this crate that runs inside of a `block_on`, which happens where no thread is free for it
//!    and with the feature `sequential`, has a cell of its own: see [`apart`].

mod current;
mod platform;
mod reactor;
#[cfg(not(target_family = "wasm"))]
#[path = "local/native.rs"]
mod source;
#[cfg(target_family = "wasm")]
#[path = "local/wasi.rs"]
mod source;

#[cfg(any(feature = "sequential", not(target_family = "wasm")))]
pub(crate) use current::apart;
#[cfg(target_family = "wasm")]
pub use reactor::{Ready, ready};
pub use reactor::{Sleep, sleep};
#[cfg(target_family = "wasm")]
pub use source::wasi;

use crate::error::JoinError;
use current::inside;
use hart_executor::{Executor, SpawnError, Worker};
use platform::InGuest;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Runs `future` to its end on this thread, and with it everything that it
/// [spawns here](spawn_local), and returns its output.
///
/// While all of them wait, for a [`sleep`] or, in a component, for a pollable, so does the instance; the
/// host runs others meanwhile. It is one thread: futures take turns, and one that computes keeps the
/// others waiting. For more than one core spawn a [task](macro@crate::task). Futures that are left when
/// `future` completes are dropped before this returns.
///
/// # Panics
///
/// Inside of another `block_on`, and if `future` panics. In a component also if nothing can ever wake
/// what is left: all futures wait, and none of them for a sleep or a pollable.
///
/// # Examples
///
/// ```
/// use hart_guest::{block_on, sleep, spawn_local};
/// use std::{cell::Cell, rc::Rc, time::Duration};
///
/// let sum = Rc::new(Cell::new(0));
/// block_on(async {
///     let parts: Vec<_> = (0..100)
///         .map(|number| {
///             let sum = Rc::clone(&sum);
///             spawn_local(async move {
///                 sleep(Duration::from_millis(1)).await;
///                 sum.set(sum.get() + number);
///             })
///         })
///         .collect();
///     for part in parts {
///         part.await?;
///     }
///     Ok::<_, hart_guest::JoinError>(())
/// })?;
/// assert_eq!(sum.get(), 4950);
/// # Ok::<_, hart_guest::JoinError>(())
/// ```
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut running = Running::begin();
    let mut future = std::pin::pin!(future);
    let output = running.worker.run(std::future::poll_fn(|cx| {
        #[cfg(not(any(target_family = "wasm", feature = "sequential")))]
        crate::native::stop_if_ended();
        reactor::count_poll();
        future.as_mut().poll(cx)
    }));
    output.expect("nobody but the end of `block_on` closes its executor")
}

/// What a thread has while it is in `block_on`.
struct Running {
    worker: Worker,
}

impl Running {
    #[track_caller]
    fn begin() -> Self {
        assert!(
            !current::is_set(),
            "`block_on` was called inside of `block_on`, where it would keep all other futures from going \
             on: `.await` the future instead, or give it to `spawn_local`"
        );
        let executor = Executor::with_platform(1, Arc::new(InGuest::default()));
        let worker = Worker::new(&executor).expect("a new executor is open");
        current::set(Some(executor));
        Self { worker }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Drops what is left, on this thread; the cell is still there for the destructors.
        self.worker.executor().close();
        current::set(None);
    }
}

/// Starts `future` on this thread, beside the others of the [`block_on`] that this is called in.
///
/// It is queued, and first polled when the running future waits. It may borrow nothing, but need not be
/// `Send`. Dropping the handle detaches it.
///
/// # Panics
///
/// Outside of `block_on`. If the future panics, a component traps; natively the handle says
/// [`JoinError::Trapped`].
///
/// # Examples
///
/// ```
/// use hart_guest::{block_on, spawn_local};
///
/// let text = std::rc::Rc::new("shared on one thread".to_string());
/// let theirs = text.clone();
/// let length = block_on(async move { spawn_local(async move { theirs.len() }).await });
/// assert_eq!(length, Ok(text.len()));
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> LocalHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    #[cfg(not(any(target_family = "wasm", feature = "sequential")))]
    crate::native::stop_if_ended();
    // Not while the cell is borrowed: a future that is refused is dropped, and that is foreign code.
    let executor = inside("spawn_local", Executor::clone);
    let spawned = match executor.try_spawn(Local(future)) {
        Ok(handle) => Some(handle),
        // A destructor of what is left at the end of `block_on`.
        Err(SpawnError::Closed) => None,
        Err(error) => panic!("`spawn_local`: {error}"),
    };
    LocalHandle {
        spawned,
        _not_send: PhantomData,
    }
}

/// A future started by [`spawn_local`]: a future of its output, to be awaited in the same
/// [`block_on`] or in a later one. Dropping it detaches: the future goes on, and its output is dropped.
///
/// It gives [`JoinError::Cancelled`] after [`cancel`](Self::cancel), [`JoinError::Closed`] if the
/// `block_on` ended first, and natively [`JoinError::Trapped`] if the future panicked.
///
/// # Panics
///
/// Polling it again after it was ready panics.
#[must_use = "dropping a handle detaches the future: nobody will see its output"]
pub struct LocalHandle<T> {
    /// `None` where the `block_on` was ending already.
    spawned: Option<hart_executor::JoinHandle<Local<T>>>,
    /// It gives and drops outputs that must stay on this thread, and cancelling drops the future.
    _not_send: PhantomData<*mut ()>,
}

impl<T> LocalHandle<T> {
    /// Drops the future, now, or where that is the caller itself, at the end of its poll. One that has
    /// completed keeps its output.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_guest::{JoinError, block_on, spawn_local};
    ///
    /// let result = block_on(async {
    ///     let handle = spawn_local(std::future::pending::<()>());
    ///     handle.cancel();
    ///     handle.await
    /// });
    /// assert_eq!(result, Err(JoinError::Cancelled));
    /// ```
    pub fn cancel(&self) {
        if let Some(spawned) = &self.spawned {
            spawned.cancel();
        }
    }

    /// Whether it has completed or was cancelled. Never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_guest::{block_on, spawn_local};
    ///
    /// block_on(async {
    ///     let handle = spawn_local(async {});
    ///     assert!(!handle.is_finished(), "it is only queued yet");
    ///     drop(handle);
    /// });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.spawned
            .as_ref()
            .is_none_or(hart_executor::JoinHandle::is_complete)
    }
}

impl<T> Future for LocalHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(spawned) = &mut self.spawned else {
            return Poll::Ready(Err(JoinError::Closed));
        };
        Pin::new(spawned).poll(cx).map(|result| match result {
            Ok(Local(output)) => Ok(output),
            Err(error) => Err(reason(error)),
        })
    }
}

fn reason(error: hart_executor::JoinError) -> JoinError {
    if error.is_cancelled() {
        return JoinError::Cancelled;
    }
    if error.is_closed() {
        return JoinError::Closed;
    }
    #[cfg(not(target_family = "wasm"))]
    if error.is_panic() {
        return JoinError::Trapped(crate::error::panic_text(&*error.into_panic()));
    }
    unreachable!("in a component a panic ends the instance")
}

impl<T> fmt::Debug for LocalHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalHandle")
            .field("is_finished", &self.is_finished())
            .finish()
    }
}

/// A future, or its output, that stays on the thread of its `block_on`.
struct Local<T>(T);

// SAFETY: it goes to no other thread. Its executor is reachable through the cell, `Running` and `LocalHandle`
// only, none of which leave the thread. A future is polled by the executor's workers, and the only one is in
// `Running`; it is dropped by its poller, by `LocalHandle::cancel`, or by the `close` in `Running`, which no task
// outlives with its future. An output is dropped by the poller, if the handle was dropped before, or else by the
// handle. What other threads may have is wakers, and these reach neither: to wake queues a reference, and the last
// reference to a task finds its future and output gone (or belongs to a handle that was forgotten, and never goes).
unsafe impl<T> Send for Local<T> {}

impl<F: Future> Future for Local<F> {
    type Output = Local<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        reactor::count_poll();
        // SAFETY: the field is pinned where its struct is, which has no `Drop` and gives it to nobody.
        let future = unsafe { self.map_unchecked_mut(|local| &mut local.0) };
        future.poll(cx).map(Local)
    }
}
