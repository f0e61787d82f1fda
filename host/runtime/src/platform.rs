//! The executor's platform: OS threads, plus a hint to the epoch clock when a core is fought over.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hart_executor::{Core, Platform, StdPlatform, WorkerId};

use crate::clock::Clock;
use crate::simulate::SharedMachine;
use crate::trace::Recorder;

/// [`StdPlatform`] that tells the epoch clock about contention.
pub(crate) struct HostPlatform {
    os: Os,
    /// Set once, right after both exist: the clock needs the executor, which needs the platform.
    clock: OnceLock<Arc<Clock>>,
}

/// What is under it.
enum Os {
    Threads(StdPlatform),
    Traced(TracedThreads),
    Simulated(SharedMachine),
}

impl HostPlatform {
    pub(crate) fn threads() -> Self {
        Self::on(Os::Threads(StdPlatform::new()))
    }

    /// Threads whose waits are recorded.
    pub(crate) fn traced(recorder: Arc<Recorder>) -> Self {
        let os = StdPlatform::new();
        Self::on(Os::Traced(TracedThreads { os, recorder }))
    }

    pub(crate) fn simulated(machine: SharedMachine) -> Self {
        Self::on(Os::Simulated(machine))
    }

    fn on(os: Os) -> Self {
        Self {
            os,
            clock: OnceLock::new(),
        }
    }

    fn os(&self) -> &dyn Platform {
        match &self.os {
            Os::Threads(threads) => threads,
            Os::Traced(threads) => threads,
            Os::Simulated(machine) => &**machine,
        }
    }

    /// Connects the clock. Nothing runs yet, so nothing can have been missed.
    pub(crate) fn set_clock(&self, clock: Arc<Clock>) {
        assert!(self.clock.set(clock).is_ok(), "a platform has one clock");
    }
}

// SAFETY: the cells are those of the platform under it, which is always the same one.
unsafe impl Platform for HostPlatform {
    fn park(&self, worker: WorkerId, until: Option<u64>) {
        self.os().park(worker, until);
    }

    fn unpark(&self, worker: WorkerId) {
        self.os().unpark(worker);
    }

    fn now(&self) -> u64 {
        self.os().now()
    }

    fn cpu_time(&self) -> u64 {
        self.os().cpu_time()
    }

    fn core(&self) -> Option<Core> {
        self.os().core()
    }

    fn set_core(&self, core: Option<Core>) -> Option<Core> {
        self.os().set_core(core)
    }

    fn contended_within(&self, slice: Duration) {
        if let Some(clock) = self.clock.get() {
            clock.contended(slice);
        }
    }

    fn seed(&self) -> u64 {
        match &self.os {
            // The standard library seeds its hash maps from the system: as random as this needs.
            Os::Threads(_) | Os::Traced(_) => RandomState::new().build_hasher().finish(),
            Os::Simulated(machine) => machine.seed(),
        }
    }
}

/// [`StdPlatform`] whose waits are recorded.
struct TracedThreads {
    os: StdPlatform,
    recorder: Arc<Recorder>,
}

// SAFETY: the cells are those of `StdPlatform`.
unsafe impl Platform for TracedThreads {
    fn park(&self, worker: WorkerId, until: Option<u64>) {
        self.recorder.parks(worker);
        self.os.park(worker, until);
        self.recorder.goes_on(worker);
    }

    fn unpark(&self, worker: WorkerId) {
        self.os.unpark(worker);
    }

    fn now(&self) -> u64 {
        self.os.now()
    }

    fn cpu_time(&self) -> u64 {
        self.os.cpu_time()
    }

    fn core(&self) -> Option<Core> {
        self.os.core()
    }

    fn set_core(&self, core: Option<Core>) -> Option<Core> {
        self.os.set_core(core)
    }
}
