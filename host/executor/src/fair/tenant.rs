//! What the lane knows of a tenant.

use super::{
    budget::Budget,
    share::Share,
    slice::DEFAULT_NANOSECONDS,
    virtual_time::{Virtual, Weight},
};
use crate::sync::{AtomicUsize, Mutex};

pub(crate) struct TenantState {
    pub(crate) share: Share,
    /// The weights of those of its groups that compete now. Changed under the lane's lock; with several lanes, under that of
    /// the group's [`account`](super::account).
    pub(super) active_weight: AtomicUsize,
    /// What it adds to the sum of weights, where there is one lane: its own as long as one of its groups competes. The same holds for it.
    pub(super) counted_weight: AtomicUsize,
    standing: Mutex<Standing>,
}

/// Where a tenant stands.
#[derive(Default)]
struct Standing {
    /// What its groups have used, divided by its weight; at least what `even` was when it was last charged.
    virtual_time: Virtual,
    budget: Budget,
}

impl TenantState {
    pub(crate) fn new(share: Share) -> Self {
        Self {
            share,
            active_weight: AtomicUsize::new(0),
            counted_weight: AtomicUsize::new(0),
            standing: Mutex::new(Standing::default()),
        }
    }

    fn scale(&self, nanoseconds: u64) -> Virtual {
        Weight::whole(self.share.weight()).scale(u128::from(nanoseconds))
    }

    pub(super) fn charge(&self, cpu: u64, began: u64, now: u64, even: Virtual) {
        let rate = self.share.rate();
        let used = self.scale(cpu);
        let mut standing = self.standing.lock();
        standing.virtual_time = standing.virtual_time.max(even) + used;
        if rate > 0 {
            standing.budget.charge(cpu, rate, began, now);
        }
    }

    /// The earliest virtual time at which a group of it starts that becomes runnable: as far ahead of `least` as the tenant
    /// is of `even`, less its credit. Its other groups may be far from each other, and those that spin keep nobody waiting
    /// who has just come.
    pub(super) fn start(&self, least: Virtual, even: Virtual) -> Virtual {
        let credit = self.scale(DEFAULT_NANOSECONDS);
        let ahead = self.standing.lock().virtual_time.saturating_sub(even);
        (least + ahead).saturating_sub(credit)
    }

    /// Until when its rate is used up, if it is.
    pub(super) fn exhausted_until(&self, now: u64) -> Option<u64> {
        let rate = self.share.rate();
        if rate == 0 {
            return None;
        }
        self.standing.lock().budget.exhausted_until(rate, now)
    }
}
