//! Time that a simulated machine makes up: no thread, and whoever drives the machine expires what is due.

use std::time::{Duration, Instant};

use crate::sched::machine::SharedMachine;

/// The machine's time as [`Instant`]s, which only ever are compared with one another.
pub(super) struct Time {
    pub(super) start: Instant,
    machine: SharedMachine,
}

impl Time {
    pub(super) fn new(machine: SharedMachine) -> Self {
        Self {
            start: Instant::now(),
            machine,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.start + Duration::from_nanos(self.machine.now())
    }
}
