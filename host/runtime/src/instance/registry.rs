//! The runs and guests of a host that are not over, and whether there may be more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use hart_executor::Group;

use crate::base::signal::Signal;
use crate::base::stats::RunStats;
use crate::base::sync::lock;
use crate::quota::kill::Kill;

/// A run that is not over.
pub(crate) trait LiveRun: Send + Sync {
    /// Ends it.
    fn kill(&self, kill: Kill);

    /// The group of its tasks.
    fn group(&self) -> &Group;

    /// What it used so far.
    fn stats(&self) -> RunStats;
}

/// The runs and guests of a host.
#[derive(Default)]
pub(crate) struct Registry {
    /// Runs that are not over, in order.
    runs: Mutex<BTreeMap<u64, Weak<dyn LiveRun>>>,
    runs_started: AtomicU64,
    live_guests: AtomicU64,
    guests: AtomicU64,
    /// Notified when a run is over.
    pub(crate) idle: Signal,
    draining: AtomicBool,
    closed: AtomicBool,
}

impl Registry {
    /// A run begins.
    pub(crate) fn run_starts(&self, id: u64, run: Weak<dyn LiveRun>) {
        self.runs_started.fetch_add(1, Ordering::Relaxed);
        lock(&self.runs).insert(id, run);
    }

    /// Nothing of a run is left. To be followed by a notification of [`idle`](Self::idle).
    pub(crate) fn run_is_over(&self, id: u64) {
        let _run = lock(&self.runs).remove(&id);
    }

    pub(crate) fn guest_starts(&self) {
        self.live_guests.fetch_add(1, Ordering::Relaxed);
        self.guests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn guest_ends(&self) {
        self.live_guests.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many runs have begun.
    pub(crate) fn runs_started(&self) -> u64 {
        self.runs_started.load(Ordering::Relaxed)
    }

    /// How many guests have begun.
    pub(crate) fn guests(&self) -> u64 {
        self.guests.load(Ordering::Relaxed)
    }

    /// Guests that have not ended.
    pub(crate) fn live_guests(&self) -> u64 {
        self.live_guests.load(Ordering::Relaxed)
    }

    pub(crate) fn live_runs(&self) -> Vec<Arc<dyn LiveRun>> {
        let runs = lock(&self.runs);
        runs.values().filter_map(Weak::upgrade).collect()
    }

    /// The run with this number, if it is not over.
    pub(crate) fn live_run(&self, id: u64) -> Option<Arc<dyn LiveRun>> {
        lock(&self.runs).get(&id).and_then(Weak::upgrade)
    }

    /// How many runs are not over.
    pub(crate) fn count_live_runs(&self) -> usize {
        lock(&self.runs).len()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.count_live_runs() == 0
    }

    /// No more runs from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether runs may begin.
    pub(crate) fn takes_runs(&self) -> bool {
        !self.is_closed() && !self.draining.load(Ordering::Acquire)
    }

    /// Nothing begins from now on; says whether that was so before.
    pub(crate) fn close(&self) -> bool {
        self.closed.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
