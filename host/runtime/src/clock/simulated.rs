//! Time that a simulated machine makes up: no thread, and whoever drives the machine expires what is due.

use std::time::{Duration, Instant};

use super::Clock;
use crate::simulate::SharedMachine;
use crate::sync::lock;

/// The machine's time as [`Instant`]s, which only ever are compared with one another.
pub(super) struct Time {
    start: Instant,
    machine: SharedMachine,
}

impl Time {
    pub(super) fn new(machine: SharedMachine) -> Self {
        Self {
            start: Instant::now(),
            machine,
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_nanos(self.machine.now())
    }
}

impl Clock {
    /// The time now, of the system or of the machine.
    pub(crate) fn now(&self) -> Instant {
        self.machine.as_ref().map_or_else(Instant::now, Time::now)
    }

    /// See [`simulate::next_deadline`](crate::simulate::next_deadline).
    pub(crate) fn next_simulated(&self) -> Option<u64> {
        let time = self.machine.as_ref()?;
        let next = lock(&self.inner).timers.next()?;
        let after = next.saturating_duration_since(time.start);
        Some(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX))
    }

    /// See [`simulate::expire`](crate::simulate::expire).
    pub(crate) fn expire_simulated(&self) {
        if self.machine.is_none() {
            return;
        }
        let due = lock(&self.inner).timers.due(self.now());
        for target in due {
            target.expire();
        }
    }
}
