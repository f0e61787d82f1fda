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

/// Where a call ends, nanoseconds: at so much CPU time of its task, because of this budget.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallEnd {
    until: u64,
    budget: u64,
}

impl CallEnd {
    /// That of a call which begins where the task has used so much.
    pub(super) fn of(used: u64, budget: Duration) -> Self {
        let budget = u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX);
        Self {
            until: used.saturating_add(budget),
            budget,
        }
    }
}

impl CallBudget {
    pub(super) fn none() -> Self {
        Self {
            until: AtomicU64::new(u64::MAX),
            budget: AtomicU64::new(0),
        }
    }

    /// A call goes on that is to end there.
    pub(super) fn ends_at(&self, end: CallEnd) {
        self.budget.store(end.budget, Ordering::Relaxed);
        self.until.store(end.until, Ordering::Relaxed);
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
