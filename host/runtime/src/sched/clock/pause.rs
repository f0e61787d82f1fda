//! How long nothing may come of a body that somebody waits for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::sched::clock::Clock;
use crate::sched::clock::sleep::Sleep;

/// A bound for each wait. The clock runs only while there is one.
pub(crate) struct Pause {
    most: Duration,
    clock: Arc<Clock>,
    until: Option<Sleep>,
}

impl Pause {
    pub(crate) fn new(clock: Arc<Clock>, most: Duration) -> Self {
        let until = None;
        Self { most, clock, until }
    }

    /// Something came.
    pub(crate) fn ends(&mut self) {
        self.until = None;
    }

    /// Nothing came yet: ready once that has lasted too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (most, clock) = (self.most, &self.clock);
        let until = self.until.get_or_insert_with(|| clock.sleep(most));
        Pin::new(until).poll(cx)
    }
}
