//! The executor's platform: OS threads, plus a hint to the epoch clock when a core is fought over.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hart_executor::{CurrentWorker, Platform, StdPlatform, WorkerId};

use crate::sched::machine::SharedMachine;
use crate::sched::trace::recorder::Recorder;

/// [`StdPlatform`] that tells of contention.
pub(crate) struct HostPlatform {
    os: Os,
    /// What is told of contention. Set once, right after the platform exists: the clock needs the executor, which needs
    /// the platform.
    contended: OnceLock<Contended>,
}

/// Is told that a core is fought over, while the shortest slice is so long.
type Contended = Box<dyn Fn(Duration) + Send + Sync>;

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
            contended: OnceLock::new(),
        }
    }

    fn os(&self) -> &dyn Platform {
        match &self.os {
            Os::Threads(threads) => threads,
            Os::Traced(threads) => threads,
            Os::Simulated(machine) => &**machine,
        }
    }

    /// Has `told` told of contention. Nothing runs yet, so nothing can have been missed.
    pub(crate) fn tell_of_contention(&self, told: impl Fn(Duration) + Send + Sync + 'static) {
        let was_set = self.contended.set(Box::new(told)).is_err();
        assert!(!was_set, "a platform has one clock");
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

    fn cpu_time_of(&self, worker: WorkerId) -> Option<u64> {
        self.os().cpu_time_of(worker)
    }

    fn domains(&self, workers: usize) -> usize {
        self.os().domains(workers)
    }

    fn domain_of(&self, worker: WorkerId) -> usize {
        self.os().domain_of(worker)
    }

    fn counts_lanes(&self) -> bool {
        self.os().counts_lanes()
    }

    fn takes_lane(&self, domain: usize) {
        self.os().takes_lane(domain);
    }

    fn current_worker(&self) -> Option<CurrentWorker> {
        self.os().current_worker()
    }

    unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker> {
        // SAFETY: the caller's.
        unsafe { self.os().set_current_worker(worker) }
    }

    fn contended_within(&self, slice: Duration) {
        if let Some(told) = self.contended.get() {
            told(slice);
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

    fn cpu_time_of(&self, worker: WorkerId) -> Option<u64> {
        self.os.cpu_time_of(worker)
    }

    fn domains(&self, workers: usize) -> usize {
        self.os.domains(workers)
    }

    fn domain_of(&self, worker: WorkerId) -> usize {
        self.os.domain_of(worker)
    }

    fn current_worker(&self) -> Option<CurrentWorker> {
        self.os.current_worker()
    }

    unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker> {
        // SAFETY: the caller's.
        unsafe { self.os.set_current_worker(worker) }
    }
}
