//! What admission knows of a run: the slots that its tasks need and hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::quota::account::Account;

/// All of it is written under the queue's lock or is a hint, so `Relaxed` is enough.
const COUNT: Ordering = Ordering::Relaxed;

/// What takes one turn at the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sharer {
    Tenant(u64),
    /// A run without a tenant.
    Run(u64),
}

/// The slots of one run.
pub(crate) struct RunSlots {
    /// The run's number.
    pub(crate) run: u64,
    /// Slots that one instance takes.
    pub(crate) each: u64,
    /// The depth that spawns may have, cut to what the pool allows.
    pub(crate) depth: u32,
    /// Bytes that an instance begins with.
    pub(crate) initial_memory: u64,
    pub(crate) account: Arc<Account>,
    /// Tasks that hold slots.
    admitted: AtomicU64,
    /// Of these, those that wait for another task.
    blocked: AtomicU64,
}

impl RunSlots {
    pub(crate) fn new(
        run: u64,
        each: u64,
        depth: u32,
        initial_memory: u64,
        account: Arc<Account>,
    ) -> Self {
        Self {
            run,
            each,
            depth,
            initial_memory,
            account,
            admitted: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
        }
    }

    /// Whom its slots count for.
    pub(crate) fn sharer(&self) -> Sharer {
        match &self.account.tenant {
            Some(tenant) => Sharer::Tenant(tenant.tenant.id().as_u64()),
            None => Sharer::Run(self.run),
        }
    }

    /// How many slots must be free for a task of this depth: `(D - d + 1) * w`.
    pub(crate) fn demand(&self, depth: u32) -> u64 {
        #[cfg(feature = "planted-faults")]
        if crate::sched::machine::planted::is_planted() {
            return self.each;
        }
        (u64::from(self.depth.saturating_sub(depth)) + 1) * self.each
    }

    /// Whether a task of this depth may have its memory; see [`admission`](super::admission).
    pub(crate) fn has_memory_for(&self, depth: u32) -> bool {
        let limit = self.account.limits.memory_or_default();
        let below = u64::from(self.depth.saturating_sub(depth));
        let reserve = self.initial_memory.saturating_mul(below).min(limit / 4);
        let held = self.account.memory().saturating_sub(self.account.spare());
        held.saturating_add(self.initial_memory)
            .saturating_add(reserve)
            <= limit
    }

    /// How many of a pool's slots the run may hold: seven eighths, or what its root needs.
    pub(crate) fn part(&self, slots: u64) -> u64 {
        (slots - slots / 8).max(self.demand(0))
    }

    /// How many slots it holds.
    pub(crate) fn held(&self) -> u64 {
        self.admitted.load(COUNT) * self.each
    }

    /// Whether every task that holds slots waits for another one.
    pub(crate) fn all_are_blocked(&self) -> bool {
        self.blocked.load(COUNT) >= self.admitted.load(COUNT)
    }

    /// Whether all its tasks that hold slots, and there are some, wait for another one.
    pub(crate) fn stands_still(&self) -> bool {
        self.admitted.load(COUNT) > 0 && self.all_are_blocked()
    }

    /// One more task waits for another; says whether all do.
    pub(crate) fn blocks(&self) -> bool {
        self.blocked.fetch_add(1, COUNT);
        self.all_are_blocked()
    }

    pub(crate) fn unblocks(&self) {
        self.blocked.fetch_sub(1, COUNT);
    }

    /// One more task holds its slots. Under the queue's lock.
    pub(crate) fn admits(&self) {
        self.admitted.fetch_add(1, COUNT);
    }

    /// One less. Under the queue's lock.
    pub(crate) fn releases(&self) {
        self.admitted.fetch_sub(1, COUNT);
    }
}
