//! OS threads: one per worker.

use super::{Core, Platform, WorkerId, parker::Parker};
use crate::idle::MAX_WORKERS;
use alloc::boxed::Box;
use std::{
    cell::Cell,
    sync::OnceLock,
    time::{Duration, Instant},
};

std::thread_local! {
    /// The calling thread is the core.
    static CORE: Cell<Option<Core>> = const { Cell::new(None) };
}

/// The platform for OS threads: a thread that calls [`Worker::run`](crate::Worker::run) is a core.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, StdPlatform};
/// use std::sync::Arc;
///
/// let executor = Executor::with_platform(1, Arc::new(StdPlatform::new()));
/// assert!(!executor.is_closed());
/// ```
pub struct StdPlatform {
    started: Instant,
    /// A parker per worker, in chunks that are made when one of them is first used and never move.
    parkers: Box<[OnceLock<Box<[Parker; CHUNK]>>]>,
}

const CHUNK: usize = 64;

impl StdPlatform {
    /// A platform whose clock starts now.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Platform, StdPlatform};
    ///
    /// let platform = StdPlatform::new();
    /// assert!(platform.now() <= platform.now());
    /// ```
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            parkers: (0..MAX_WORKERS.div_ceil(CHUNK))
                .map(|_| OnceLock::new())
                .collect(),
        }
    }

    fn parker(&self, worker: WorkerId) -> &Parker {
        let chunk = self.parkers[worker / CHUNK]
            .get_or_init(|| Box::new(core::array::from_fn(|_| Parker::default())));
        &chunk[worker % CHUNK]
    }
}

impl Default for StdPlatform {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for StdPlatform {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StdPlatform").finish_non_exhaustive()
    }
}

// SAFETY: the cell is a variable of the calling thread, which nothing but `set_core` writes; a thread runs one thing
// at a time. (A signal handler may not call the executor anyway: it allocates and locks.)
unsafe impl Platform for StdPlatform {
    fn park(&self, worker: WorkerId, until: Option<u64>) {
        self.parker(worker)
            .park(|| until.map(|until| Duration::from_nanos(until.saturating_sub(self.now()))));
    }

    fn unpark(&self, worker: WorkerId) {
        self.parker(worker).unpark();
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn cpu_time(&self) -> u64 {
        cpu_time(self)
    }

    fn core(&self) -> Option<Core> {
        // A thread that is going away has no cell any more and runs no worker.
        CORE.try_with(Cell::get).unwrap_or(None)
    }

    fn set_core(&self, core: Option<Core>) -> Option<Core> {
        CORE.try_with(|cell| cell.replace(core)).unwrap_or(None)
    }
}

#[cfg(all(unix, not(miri)))]
fn cpu_time(_: &StdPlatform) -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let nanoseconds = time.tv_sec.saturating_mul(1_000_000_000) + time.tv_nsec;
    u64::try_from(nanoseconds).unwrap_or(0)
}

/// Where a thread's own CPU time cannot be read, time on the clock is charged instead.
#[cfg(not(all(unix, not(miri))))]
fn cpu_time(platform: &StdPlatform) -> u64 {
    platform.now()
}
