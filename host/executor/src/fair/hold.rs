//! How long the lane's lock is held: counted for `hart-bench`, with the feature `lane-hold`.

use super::run_order::RunOrder;
use crate::sync::MutexGuard;
use core::ops::{Deref, DerefMut};
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

std::thread_local! {
    static HELD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// How long the calling thread has held the lock since it last asked.
pub fn take() -> Duration {
    HELD.take()
}

/// The lane's lock, held since a time.
pub(super) struct Hold<'a> {
    order: MutexGuard<'a, RunOrder>,
    since: Instant,
}

impl<'a> Hold<'a> {
    pub(super) fn begin(order: MutexGuard<'a, RunOrder>) -> Self {
        Self {
            order,
            since: Instant::now(),
        }
    }
}

impl Deref for Hold<'_> {
    type Target = RunOrder;

    fn deref(&self) -> &RunOrder {
        &self.order
    }
}

impl DerefMut for Hold<'_> {
    fn deref_mut(&mut self) -> &mut RunOrder {
        &mut self.order
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        HELD.set(HELD.get() + self.since.elapsed());
    }
}
