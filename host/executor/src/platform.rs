//! The seam between the executor and the machine under it.
//!
//! Everything that the executor needs from outside is here: putting a worker to sleep and waking it,
//! two clocks, and a cell per core that says which executor's which worker runs there. Behind it may
//! be OS threads ([`StdPlatform`]), simulated cores, a guest's single thread, or bare metal.

#[cfg(all(feature = "std", not(any(loom, shuttle))))]
mod os;
#[cfg(all(feature = "std", not(any(loom, shuttle))))]
pub use self::os::StdPlatform;
#[cfg(any(all(feature = "std", not(any(loom, shuttle))), all(loom, test)))]
mod parker;

use crate::scheduler::Slot;
use core::{fmt, ptr::NonNull, time::Duration};

/// Names a worker of one executor. Stable while the worker lives; a later worker may get it again.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// let id: hart_executor::WorkerId = worker.id();
/// assert_eq!(id, 0);
/// ```
pub type WorkerId = usize;

/// What the per-core cell holds: which executor's which worker runs on this core.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Platform, StdPlatform, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// let core = worker.run(async { StdPlatform::new().core() }).unwrap();
/// assert_eq!(core.unwrap().worker(), worker.id());
/// assert!(StdPlatform::new().core().is_none(), "no worker runs here now");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Core {
    /// Tells executors apart. Never reused while a worker of that executor runs here.
    pub(crate) executor: usize,
    pub(crate) worker: WorkerId,
    /// The worker's place, which is there while the worker is.
    pub(crate) slot: NonNull<Slot>,
}

// SAFETY: whoever reads a core's cell on that core may look at the place; elsewhere the pointer is only compared.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// The worker that runs on the core.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Platform, StdPlatform, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let core = worker.run(async { StdPlatform::new().core() }).unwrap();
    /// assert_eq!(core.unwrap().worker(), 0);
    /// ```
    pub fn worker(&self) -> WorkerId {
        self.worker
    }
}

/// What an executor needs from the machine that it runs on. One value serves one executor: worker ids are
/// the executor's, so two that shared one would wake each other's workers.
///
/// # Examples
///
/// A platform that counts wake-ups, built around the one for OS threads:
///
/// ```
/// use hart_executor::{Core, Executor, Platform, StdPlatform, Worker, WorkerId};
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
///     fn core(&self) -> Option<Core> { self.os.core() }
///     fn set_core(&self, core: Option<Core>) -> Option<Core> { self.os.set_core(core) }
/// }
///
/// let platform = Arc::new(Counting::default());
/// let executor = Executor::with_platform(1, platform.clone());
/// let mut worker = Worker::new(&executor).unwrap();
/// assert_eq!(worker.run(executor.spawn(async { 1 })).unwrap().unwrap(), 1);
/// ```
///
/// # Safety
///
/// [`core`](Self::core) returns what the last [`set_core`](Self::set_core) on the calling core wrote, or `None` if
/// there was none, and a core runs one thing at a time: while `core` returns a value in one place, code that another
/// thread (or interrupt) runs at that moment is not given the same. From what it returns the executor concludes that
/// it is on the worker's own core, and touches what only that core may, without a lock; no check of its own could
/// find out that this is not so. The other methods are not relied upon for memory safety: where they are wrong,
/// workers sleep too long, or are charged the wrong time.
pub unsafe trait Platform: Send + Sync + 'static {
    /// Puts the calling worker to sleep until [`unpark`](Self::unpark) is called for it, or `until`
    /// (in nanoseconds of [`now`](Self::now)) is reached.
    ///
    /// An `unpark` that came before makes the next `park` return at once (a token, at most one).
    /// Returning early for no reason is allowed.
    fn park(&self, worker: WorkerId, until: Option<u64>);

    /// Wakes the worker if it sleeps, else leaves it a token. Everything that the caller did before
    /// is visible to the worker when its `park` returns.
    fn unpark(&self, worker: WorkerId);

    /// Nanoseconds on a clock that never goes back.
    fn now(&self) -> u64;

    /// Nanoseconds of CPU that the calling core's thread has used, so that what other processes take
    /// is charged to nobody.
    fn cpu_time(&self) -> u64;

    /// Reads the calling core's cell.
    fn core(&self) -> Option<Core>;

    /// Writes the calling core's cell and returns what was in it.
    fn set_core(&self, core: Option<Core>) -> Option<Core>;

    /// Called after something became runnable while no worker was asleep to take it and none was
    /// searching: whoever preempts running tasks has a reason to, now.
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
