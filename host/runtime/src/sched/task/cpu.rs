//! CPU time of one task: what it has used, and what it may.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::quota::limits::{LimitKind, LimitReached};
use crate::sched::task::call_budget::CallEnd;
use crate::sched::task::control::Control;

impl Control {
    /// A call with a budget of CPU time begins, in a task that has a limit of it.
    pub(crate) fn call_begins(&self, budget: Option<Duration>) {
        if let Some(budget) = budget {
            self.call.ends_at(self.call_until(budget));
        }
    }

    /// It is over.
    pub(crate) fn call_ends(&self) {
        self.call.ends();
    }

    /// Until how much CPU time a call may go on that begins now with this budget.
    pub(crate) fn call_until(&self, budget: Duration) -> CallEnd {
        CallEnd::of(self.cpu_so_far(), budget)
    }

    /// Several calls go on at once: the first of their budgets to be used up counts.
    pub(crate) fn calls_end(&self, ends: impl Iterator<Item = CallEnd>) {
        match ends.min() {
            Some(first) => self.call.ends_at(first),
            None => self.call.ends(),
        }
    }

    /// Another thread has used so many nanoseconds for the task, which its group was charged. Names the limit that this
    /// goes beyond.
    pub(crate) fn charge_aside(&self, nanoseconds: u64) -> Option<LimitReached> {
        if self.limits.cpu_time.is_some() {
            let before = self.cpu_used.fetch_add(nanoseconds, Ordering::Relaxed);
            // Its own poll, if there is one, looks at the clock of its thread by itself.
            if let Some(limit) = self.own_cpu_limit(before.saturating_add(nanoseconds)) {
                return Some(limit);
            }
        }
        self.account.cpu_limit_reached()
    }

    /// CPU time that the task has used, nanoseconds, where that is counted.
    fn cpu_so_far(&self) -> u64 {
        let before = self.cpu_used.load(Ordering::Relaxed);
        before.saturating_add(self.cpu_in_poll())
    }

    /// The limit of CPU time that was reached in the present poll, if any.
    pub(super) fn cpu_limit_reached(&self) -> Option<LimitReached> {
        if self.limits.cpu_time.is_some()
            && let Some(limit) = self.own_cpu_limit(self.cpu_so_far())
        {
            return Some(limit);
        }
        self.account.cpu_limit_reached()
    }

    /// The limit of the task's own, or of its call, that was reached with so much used.
    fn own_cpu_limit(&self, used: u64) -> Option<LimitReached> {
        let limit = self.limits.cpu_time?;
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        if used >= limit {
            return Some(LimitReached::new(LimitKind::TaskCpuTime, limit));
        }
        self.call.reached(used)
    }
}
