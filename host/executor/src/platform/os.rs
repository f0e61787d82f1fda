//! OS threads: one per worker.

use super::{
    current::{CurrentWorker, MAX_WORKERS, WorkerId},
    domains::Domains,
    interface::Platform,
    parker::Parker,
};
use alloc::boxed::Box;
use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

std::thread_local! {
    /// The calling thread is the core. Written by `set_current_worker` only.
    static CORE: Cell<Option<CurrentWorker>> = const { Cell::new(None) };
}

/// The platform for OS threads: a thread that calls [`Worker::run`](crate::Worker::run) is a core.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Platform, StdPlatform};
/// use std::sync::Arc;
///
/// let platform = Arc::new(StdPlatform::new());
/// assert!(platform.now() <= platform.now());
/// let executor = Executor::with_platform(1, platform);
/// assert!(!executor.is_closed());
/// ```
pub struct StdPlatform {
    started: Instant,
    /// A seat per worker, in chunks that are made when one of them is first used and never move.
    seats: Box<[OnceLock<Box<[Seat; CHUNK]>>]>,
    domains: Domains,
}

#[derive(Default)]
struct Seat {
    parker: Parker,
    /// The CPU clock of the thread that runs the worker, or [`NO_CLOCK`]. A statistic: it orders nothing.
    clock: AtomicI32,
}

/// The clock of no thread: the number is that of a clock of the system's.
const NO_CLOCK: i32 = 0;

const CHUNK: usize = 64;

impl StdPlatform {
    /// A platform whose clock starts now.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            seats: (0..MAX_WORKERS.div_ceil(CHUNK))
                .map(|_| OnceLock::new())
                .collect(),
            domains: Domains::default(),
        }
    }

    fn seat(&self, worker: WorkerId) -> &Seat {
        let chunk = self.seats[worker / CHUNK]
            .get_or_init(|| Box::new(core::array::from_fn(|_| Seat::default())));
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

// SAFETY: the cell is a variable of the calling thread, which nothing but `set_current_worker` writes; a
// thread runs one thing at a time. (A signal handler may not call the executor anyway: it allocates and locks.)
unsafe impl Platform for StdPlatform {
    fn park(&self, worker: WorkerId, until: Option<u64>) {
        self.seat(worker)
            .parker
            .park(|| until.map(|until| Duration::from_nanos(until.saturating_sub(self.now()))));
    }

    fn unpark(&self, worker: WorkerId) {
        self.seat(worker).parker.unpark();
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn cpu_time(&self) -> u64 {
        cpu_time(self)
    }

    fn cpu_time_of(&self, worker: WorkerId) -> Option<u64> {
        clock::read(self.seat(worker).clock.load(Relaxed))
    }

    fn domains(&self, workers: usize) -> usize {
        self.domains.divide(workers)
    }

    fn domain_of(&self, worker: WorkerId) -> usize {
        self.domains.of(worker)
    }

    fn current_worker(&self) -> Option<CurrentWorker> {
        // A thread that is going away has no cell any more and runs no worker.
        CORE.try_with(Cell::get).unwrap_or(None)
    }

    unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker> {
        let before = CORE.try_with(|cell| cell.replace(worker)).unwrap_or(None);
        if let Some(before) = before {
            self.seat(before.worker()).clock.store(NO_CLOCK, Relaxed);
        }
        if let Some(worker) = worker {
            self.seat(worker.worker())
                .clock
                .store(clock::own(), Relaxed);
        }
        before
    }
}

/// CPU clocks of threads, which other threads can read.
#[cfg(all(target_os = "linux", not(miri)))]
mod clock {
    use super::NO_CLOCK;
    use core::cell::Cell;

    std::thread_local! {
        static OWN: Cell<i32> = const { Cell::new(NO_CLOCK) };
    }

    /// The clock of the calling thread.
    pub(super) fn own() -> i32 {
        let known = OWN.try_with(Cell::get).unwrap_or(NO_CLOCK);
        if known != NO_CLOCK {
            return known;
        }
        let mut clock = NO_CLOCK;
        // SAFETY: every thread may ask for its own name.
        let own = unsafe { libc::pthread_self() };
        // SAFETY: the calling thread lives, and `clock` is a place to write to.
        let failed = unsafe { libc::pthread_getcpuclockid(own, &raw mut clock) };
        if failed != 0 {
            return NO_CLOCK;
        }
        let _ = OWN.try_with(|own| own.set(clock));
        clock
    }

    /// Nanoseconds of a thread's clock; `None` if the thread is gone. Another thread may have its clock by then, so the
    /// caller bounds what is read.
    pub(super) fn read(clock: i32) -> Option<u64> {
        if clock == NO_CLOCK {
            return None;
        }
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is a place to write to; the system refuses a clock that is not there.
        let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
        let nanoseconds = (time.tv_sec)
            .saturating_mul(1_000_000_000)
            .saturating_add(time.tv_nsec);
        (failed == 0).then(|| u64::try_from(nanoseconds).unwrap_or(0))
    }
}

/// Where no thread's clock can be read by another.
#[cfg(not(all(target_os = "linux", not(miri))))]
mod clock {
    pub(super) fn own() -> i32 {
        super::NO_CLOCK
    }

    pub(super) fn read(_: i32) -> Option<u64> {
        None
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
