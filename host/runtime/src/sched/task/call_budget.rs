//! What one call of an instance may use.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::quota::limits::{LimitKind, LimitReached};

/// The budget of the present call. Only the thread that polls the task touches it.
pub(super) struct CallBudget {
    /// What the task's CPU time may be when the call ends, nanoseconds.
    until: AtomicU64,
    budget: AtomicU64,
}

impl CallBudget {
    pub(super) fn none() -> Self {
        Self {
            until: AtomicU64::new(u64::MAX),
            budget: AtomicU64::new(0),
        }
    }

    /// A call begins, where the task has used so much.
    pub(super) fn begins(&self, used: u64, budget: Duration) {
        let budget = u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX);
        self.budget.store(budget, Ordering::Relaxed);
        self.until
            .store(used.saturating_add(budget), Ordering::Relaxed);
    }

    pub(super) fn ends(&self) {
        self.until.store(u64::MAX, Ordering::Relaxed);
    }

    /// The limit that a task has reached which has used so much.
    pub(super) fn reached(&self, used: u64) -> Option<LimitReached> {
        let budget = || self.budget.load(Ordering::Relaxed);
        (used >= self.until.load(Ordering::Relaxed))
            .then(|| LimitReached::new(LimitKind::TaskCpuTime, budget()))
    }
}
