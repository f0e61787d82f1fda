//! What the poll in flight on a core has used, for readers on other cores.

use super::{
    group::GroupState,
    meter::{Meter, SHORT},
};
use crate::sync::Arc;
use core::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// Written by the worker's own core, read by any.
///
/// Statistics: a reader that is late by one poll is off by what that used, and takes no more than the time on the clock.
/// Nanoseconds are cut to a word: on 32 bits a poll of more than two seconds counts as none.
#[derive(Default)]
pub(crate) struct Flight {
    /// The address of the group whose task is polled; 0 for none.
    group: AtomicUsize,
    /// When it was last charged.
    began: AtomicUsize,
    /// What the thread's CPU clock said then.
    cpu: AtomicUsize,
}

fn address(group: &Arc<GroupState>) -> usize {
    core::ptr::from_ref::<GroupState>(group).addr()
}

fn since(now: u64, then: usize) -> u64 {
    let past = (now as usize).wrapping_sub(then) as isize;
    u64::try_from(past).unwrap_or(0)
}

impl Flight {
    pub(crate) fn begin(&self, group: &Arc<GroupState>, meter: &Meter) {
        self.charged(meter);
        // Release: pairs with the Acquire in `used`, which reads the two times of this poll or of a later one.
        self.group.store(address(group), Release);
    }

    /// What was used so far is charged.
    pub(crate) fn charged(&self, meter: &Meter) {
        self.began.store(meter.began() as usize, Relaxed);
        self.cpu.store(meter.cpu_began() as usize, Relaxed);
    }

    pub(crate) fn end(&self) {
        self.group.store(0, Relaxed);
    }

    /// What the poll has used at `now` that is not charged, if it is of `group`: nanoseconds. `cpu` reads the CPU clock of
    /// the worker's thread; short polls go by the wall clock, as they are charged.
    pub(crate) fn used(
        &self,
        group: &Arc<GroupState>,
        now: u64,
        cpu: impl FnOnce() -> Option<u64>,
    ) -> u64 {
        // Acquire: pairs with the Release in `begin`.
        if self.group.load(Acquire) != address(group) {
            return 0;
        }
        let wall = since(now, self.began.load(Relaxed));
        if wall <= SHORT {
            return wall;
        }
        let began = self.cpu.load(Relaxed);
        cpu().map_or(wall, |cpu| since(cpu, began).min(wall))
    }
}
