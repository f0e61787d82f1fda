//! CPU clocks of threads, read by others.

use std::sync::atomic::{AtomicI32, Ordering};

/// No clock has this number.
const NONE: i32 = 0;

/// The clock of a thread, once that has begun. Only a number that is handed on: `Relaxed`.
#[derive(Default)]
pub(super) struct CpuClock(AtomicI32);

impl CpuClock {
    /// It is that of the calling thread from now on.
    pub(super) fn set(&self) {
        let mut clock = NONE;
        // SAFETY: every thread may ask who it is.
        let own = unsafe { libc::pthread_self() };
        // SAFETY: the calling thread lives, and `clock` is a place to write to.
        let failed = unsafe { libc::pthread_getcpuclockid(own, &raw mut clock) };
        self.0
            .store(if failed == 0 { clock } else { NONE }, Ordering::Relaxed);
    }

    /// The thread is about to end.
    pub(super) fn unset(&self) {
        self.0.store(NONE, Ordering::Relaxed);
    }

    /// Nanoseconds; `None` where there is no thread.
    pub(super) fn read(&self) -> Option<u64> {
        let clock = self.0.load(Ordering::Relaxed);
        if clock == NONE {
            return None;
        }
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is a place to write to; the system refuses a clock that is not there.
        let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
        let nanoseconds = time
            .tv_sec
            .saturating_mul(1_000_000_000)
            .saturating_add(time.tv_nsec);
        (failed == 0).then(|| u64::try_from(nanoseconds).unwrap_or(0))
    }
}
