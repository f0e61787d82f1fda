//! OS threads: one per worker.

use super::{Core, Platform, WorkerId};
use std::{
    cell::Cell,
    sync::{Arc, Condvar, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
    vec::Vec,
};

std::thread_local! {
    /// The calling thread is the core.
    static CORE: Cell<Option<Core>> = const { Cell::new(None) };
}

/// The platform for OS threads: a thread that calls [`Worker::run`](crate::Worker::run) is a core.
pub struct StdPlatform {
    started: Instant,
    /// A parker per worker, made when it first parks or is first unparked.
    parkers: RwLock<Vec<Arc<Parker>>>,
}

#[derive(Default)]
struct Parker {
    token: Mutex<bool>,
    unparked: Condvar,
}

impl StdPlatform {
    /// A platform whose clock starts now.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            parkers: RwLock::new(Vec::new()),
        }
    }

    fn parker(&self, worker: WorkerId) -> Arc<Parker> {
        let parkers = self.parkers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(parker) = parkers.get(worker) {
            return parker.clone();
        }
        drop(parkers);
        let mut parkers = self.parkers.write().unwrap_or_else(PoisonError::into_inner);
        while parkers.len() <= worker {
            parkers.push(Arc::default());
        }
        parkers[worker].clone()
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

impl Platform for StdPlatform {
    fn park(&self, worker: WorkerId, until: Option<u64>) {
        let parker = self.parker(worker);
        let mut token = parker.token.lock().unwrap_or_else(PoisonError::into_inner);
        while !*token {
            match until {
                None => {
                    token = parker
                        .unparked
                        .wait(token)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Some(until) => {
                    let left = until.saturating_sub(self.now());
                    if left == 0 {
                        return;
                    }
                    token = parker
                        .unparked
                        .wait_timeout(token, Duration::from_nanos(left))
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
            }
        }
        *token = false;
    }

    fn unpark(&self, worker: WorkerId) {
        let parker = self.parker(worker);
        *parker.token.lock().unwrap_or_else(PoisonError::into_inner) = true;
        parker.unparked.notify_one();
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
