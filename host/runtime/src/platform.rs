//! The executor's platform: OS threads, plus a hint to the epoch clock when a core is fought over.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hart_executor::{Core, Platform, StdPlatform, WorkerId};

use crate::clock::Clock;
use crate::simulate::SharedMachine;

/// [`StdPlatform`] that tells the epoch clock about contention.
pub(crate) struct HostPlatform {
    os: Os,
    /// Set once, right after both exist: the clock needs the executor, which needs the platform.
    clock: OnceLock<Arc<Clock>>,
}

/// What is under it.
enum Os {
    Threads(StdPlatform),
    Simulated(SharedMachine),
}

impl HostPlatform {
    pub(crate) fn new(machine: Option<SharedMachine>) -> Self {
        Self {
            os: machine.map_or_else(|| Os::Threads(StdPlatform::new()), Os::Simulated),
            clock: OnceLock::new(),
        }
    }

    fn os(&self) -> &dyn Platform {
        match &self.os {
            Os::Threads(threads) => threads,
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
            Os::Threads(_) => RandomState::new().build_hasher().finish(),
            Os::Simulated(machine) => machine.seed(),
        }
    }
}
