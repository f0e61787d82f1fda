//! What an executor needs from the machine.

use super::current::{CurrentWorker, WorkerId};
use core::time::Duration;

/// What an executor needs from the machine that it runs on. One value serves one executor: worker ids are
/// the executor's, so two that shared one would wake each other's workers.
///
/// # Examples
///
/// A platform that counts wake-ups, built around the one for OS threads:
///
/// ```
/// use hart_executor::{CurrentWorker, Executor, Platform, StdPlatform, Worker, WorkerId};
/// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
///
/// #[derive(Default)]
/// struct Counting {
///     os: StdPlatform,
///     unparks: AtomicUsize,
/// }
///
/// // SAFETY: the cell is that of `StdPlatform`.
/// unsafe impl Platform for Counting {
///     fn park(&self, worker: WorkerId, until: Option<u64>) { self.os.park(worker, until) }
///     fn unpark(&self, worker: WorkerId) {
///         self.unparks.fetch_add(1, Ordering::Relaxed);
///         self.os.unpark(worker)
///     }
///     fn now(&self) -> u64 { self.os.now() }
///     fn cpu_time(&self) -> u64 { self.os.cpu_time() }
///     fn current_worker(&self) -> Option<CurrentWorker> { self.os.current_worker() }
///     unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker> {
///         // SAFETY: the caller's.
///         unsafe { self.os.set_current_worker(worker) }
///     }
/// }
///
/// let platform = Arc::new(Counting::default());
/// let executor = Executor::with_platform(1, platform.clone());
/// let mut worker = Worker::new(&executor).unwrap();
/// assert_eq!(worker.run(executor.spawn(async { 1 })).unwrap().unwrap(), 1);
/// ```
///
/// # Interrupts
///
/// On a machine without threads an interrupt handler wakes tasks. There [`current_worker`](Self::current_worker) returns
/// `None` (see below), and [`unpark`](Self::unpark) and [`contended_within`](Self::contended_within) must be able to run
/// there. Then these take no lock and allocate nothing, so a handler may call them:
///
/// - [`wake_by_ref`](core::task::Waker::wake_by_ref) of a task that has no group, and of the future that
///   [`Worker::run`](crate::Worker::run) drives;
/// - [`Executor::wake_one`](crate::Executor::wake_one) and [`Executor::is_closed`](crate::Executor::is_closed).
///
/// It may not spawn, close, drop a waker (which may free its task), or wake a task of a group or a worker that
/// [`run_async`](crate::Worker::run_async) drives: the locks there spin. While the executor is closed, wakes are to be
/// masked, because the thread that wakes helps to empty the queues.
///
/// # Safety
///
/// [`current_worker`](Self::current_worker) returns what the last [`set_current_worker`](Self::set_current_worker) on
/// the calling core wrote, or `None` if there was none, and a core runs one thing at a time: while `current_worker`
/// returns a value in one place, code that another thread (or interrupt) runs at that moment is not given the same. From
/// what it returns the executor concludes that it is on the worker's own core, and touches what only that core may,
/// without a lock; no check of its own could find out that this is not so. The other methods are not relied upon for
/// memory safety: where they are wrong, workers sleep too long, or are charged the wrong time.
pub unsafe trait Platform: Send + Sync + 'static {
    /// Puts the calling worker to sleep until [`unpark`](Self::unpark) is called for it, or `until`
    /// (in nanoseconds of [`now`](Self::now)) is reached.
    ///
    /// An `unpark` that came before makes the next `park` return at once (a token, at most one).
    /// It may return early for no reason.
    fn park(&self, worker: WorkerId, until: Option<u64>);

    /// Wakes the worker if it sleeps, else leaves it a token. Everything that the caller did before
    /// is visible to the worker when its `park` returns.
    fn unpark(&self, worker: WorkerId);

    /// Nanoseconds on a clock that never goes back.
    fn now(&self) -> u64;

    /// Nanoseconds of CPU that the calling core's thread has used, so that time which other processes take
    /// is not charged.
    fn cpu_time(&self) -> u64;

    /// Nanoseconds of CPU that the thread of this worker has used, asked on any core; `None` if that cannot be known. Then
    /// statistics count time on the clock for a poll that goes on.
    fn cpu_time_of(&self, worker: WorkerId) -> Option<u64> {
        let _ = worker;
        None
    }

    /// How many domains so many workers make: workers whose cores share a cache are in one. Each has a lane of its own, for
    /// the tasks of groups that run there. Asked once, when the executor is made.
    fn domains(&self, workers: usize) -> usize {
        let _ = workers;
        1
    }

    /// The domain of a worker, below [`domains`](Self::domains). Asked when the worker comes.
    fn domain_of(&self, worker: WorkerId) -> usize {
        let _ = worker;
        0
    }

    /// Whether to call [`takes_lane`](Self::takes_lane): for machines that count what locks cost. Asked once, when the
    /// executor is made.
    fn counts_lanes(&self) -> bool {
        false
    }

    /// The calling core is about to take the lock of a domain's lane. It must not stop here, nor call the executor.
    fn takes_lane(&self, domain: usize) {
        let _ = domain;
    }

    /// Reads the calling core's cell.
    fn current_worker(&self) -> Option<CurrentWorker>;

    /// Writes the calling core's cell and returns what was in it.
    ///
    /// A copy of what [`current_worker`](Self::current_worker) returns cannot be put back by safe code:
    ///
    /// ```compile_fail,E0133
    /// use hart_executor::{Executor, Platform, StdPlatform, Worker};
    ///
    /// let platform = StdPlatform::new();
    /// let mut worker = Worker::new(&Executor::new()).unwrap();
    /// let copy = worker.run(async { StdPlatform::new().current_worker() }).unwrap();
    /// // The worker does not run here any more; its place may be another's.
    /// platform.set_current_worker(copy);
    /// ```
    ///
    /// # Safety
    ///
    /// Only an executor calls this, or a platform that passes an executor's call on: with the worker that is about to
    /// run on the calling core, or with what such a call has returned on this core.
    unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker>;

    /// Called after something became runnable while no worker was asleep to take it and none was
    /// searching: a clock that preempts running tasks has a reason to, now.
    ///
    /// Called by any thread, possibly very often; it should cost a load.
    fn contended(&self) {}

    /// As [`contended`](Self::contended), which it calls unless it is overridden; it says within what time a
    /// running task should be preempted: the shortest slice among the groups that compete.
    fn contended_within(&self, slice: Duration) {
        let _ = slice;
        self.contended();
    }

    /// The seed of every random choice that the executor makes. The same seed and the same sequence
    /// of events give the same choices.
    fn seed(&self) -> u64 {
        0x5eed_0fda_7e57
    }
}
