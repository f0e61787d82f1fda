//! OS threads: one per worker.

use super::{Core, Platform, WorkerId};
use crate::idle::MAX_WORKERS;
use alloc::boxed::Box;
use core::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire},
};
use std::{
    cell::Cell,
    sync::{Mutex, OnceLock, PoisonError},
    thread::{self, Thread},
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

/// Where one worker sleeps.
///
/// 1. `park` takes a token if there is one. Else it notes its thread, says `PARKED`, and sleeps until the token is
///    there, however often the thread is woken for other reasons: `std`'s own token is anybody's.
/// 2. `unpark` leaves the token, and wakes the thread if it finds `PARKED`.
#[derive(Default)]
struct Parker {
    state: AtomicUsize,
    /// Whose state it is. Written before `PARKED` is, read by who finds that.
    thread: Mutex<Option<Thread>>,
}

const EMPTY: usize = 0;
const PARKED: usize = 1;
const TOKEN: usize = 2;

impl Parker {
    fn park(&self, timeout: impl Fn() -> Option<Duration>) {
        // Acquire pairs with the Release of `unpark`: what was done before it.
        if self
            .state
            .compare_exchange(TOKEN, EMPTY, Acquire, Acquire)
            .is_ok()
        {
            return;
        }
        {
            let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
            let this = thread::current();
            // A later worker may have the place, on another thread.
            if thread.as_ref().is_none_or(|known| known.id() != this.id()) {
                *thread = Some(this);
            }
        }
        // Release pairs with the Acquire of `unpark`: the thread.
        if self
            .state
            .compare_exchange(EMPTY, PARKED, AcqRel, Acquire)
            .is_ok()
        {
            loop {
                match timeout() {
                    None => thread::park(),
                    Some(left) if left.is_zero() => break,
                    Some(left) => thread::park_timeout(left),
                }
                if self.state.load(Acquire) == TOKEN {
                    break;
                }
            }
        }
        self.state.swap(EMPTY, AcqRel);
    }

    fn unpark(&self) {
        if self.state.swap(TOKEN, AcqRel) == PARKED {
            let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(thread) = &*thread {
                thread.unpark();
            }
        }
    }
}

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
