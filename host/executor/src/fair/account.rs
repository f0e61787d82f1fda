//! What a group has used on the whole machine, for the lanes in which it competes.
//!
//! With one lane this has its rate's budget only: the rest is behind the lane's lock. With several:
//!
//! 1. The virtual time here is the group's. A lane has a copy, to which it adds what is used there, and it *settles*: it adds
//!    the same here, and takes what the others have added. It does so after a slice's worth of use, when the group stops to
//!    compete in that lane, and before a waiting group gets a turn if the count of changes is another than it has seen.
//! 2. So no copy is ahead of the group's virtual time by anything but what its lane has used and not settled, and a key that
//!    was made from a copy is never too late: keys only grow.
//! 3. A group counts once for its tenant, however many lanes it competes in.

use super::{budget::Budget, share::Share, tenant::TenantState, virtual_time::Virtual};
use crate::{
    planted::{Planted, is_planted},
    sync::{AtomicUsize, Mutex, Ordering::Relaxed},
};

pub(super) struct Account {
    /// Counts the changes of the virtual time.
    changes: AtomicUsize,
    /// The lanes in which the group competes. Changed under the lock.
    competing: AtomicUsize,
    standing: Mutex<Standing>,
}

#[derive(Default)]
struct Standing {
    virtual_time: Virtual,
    budget: Budget,
    /// What the group adds to its tenant's sum of weights.
    counted: usize,
    /// Lanes in which it is parked, and since when it is in one.
    parked: usize,
    since: u64,
}

/// A copy of the virtual time.
pub(super) struct Settled {
    pub(super) virtual_time: Virtual,
    pub(super) changes: usize,
}

impl Account {
    pub(super) fn new() -> Self {
        Self {
            changes: AtomicUsize::new(0),
            competing: AtomicUsize::new(0),
            standing: Mutex::new(Standing::default()),
        }
    }

    /// Adds what a lane has used; then it is at least `floor`.
    pub(super) fn settle(&self, used: Virtual, floor: Virtual) -> Settled {
        let mut standing = self.standing.lock();
        let before = standing.virtual_time;
        let used = if is_planted(Planted::NeverSettles) {
            0
        } else {
            used
        };
        standing.virtual_time = (before + used).max(floor);
        let mut changes = self.changes.load(Relaxed);
        if standing.virtual_time != before {
            changes = changes.wrapping_add(1);
            // Under the lock, so no read-modify-write. A reader who misses it has an older copy: see rule 2.
            self.changes.store(changes, Relaxed);
        }
        Settled {
            virtual_time: standing.virtual_time,
            changes,
        }
    }

    /// Whether the virtual time has changed since.
    pub(super) fn has_changed(&self, since: usize) -> bool {
        self.changes.load(Relaxed) != since
    }

    /// In how many lanes the group competes.
    pub(super) fn competing(&self) -> usize {
        self.competing.load(Relaxed)
    }

    /// The group competes in one lane more or less, or its weight is another. Its tenant hears of it.
    pub(super) fn count(
        &self,
        began: usize,
        ended: usize,
        weight: usize,
        tenant: Option<&TenantState>,
    ) {
        let mut standing = self.standing.lock();
        // Under the lock, so no read-modify-write.
        let competing = self.competing.load(Relaxed) + began - ended;
        self.competing.store(competing, Relaxed);
        let now = if competing > 0 { weight } else { 0 };
        let before = core::mem::replace(&mut standing.counted, now);
        if let Some(tenant) = tenant
            && now != before
        {
            let more = now.wrapping_sub(before);
            tenant.active_weight.fetch_add(more, Relaxed);
        }
    }

    /// Charges its rate, if it has one.
    pub(super) fn charge(&self, share: &Share, cpu: u64, began: u64, now: u64) {
        let rate = share.rate();
        if rate > 0 {
            let budget = &mut self.standing.lock().budget;
            budget.charge(cpu, rate, began, now);
        }
    }

    /// Until when its rate is used up, if it is.
    pub(super) fn exhausted_until(&self, share: &Share, now: u64) -> Option<u64> {
        let rate = share.rate();
        if rate == 0 {
            return None;
        }
        self.standing.lock().budget.exhausted_until(rate, now)
    }

    /// It is parked in one lane more.
    pub(super) fn parks(&self, now: u64) {
        let mut standing = self.standing.lock();
        if standing.parked == 0 {
            standing.since = now;
        }
        standing.parked += 1;
    }

    /// In one less: for how long it was parked, if it is not in any more.
    pub(super) fn goes_on(&self, now: u64) -> u64 {
        let mut standing = self.standing.lock();
        standing.parked -= 1;
        if standing.parked > 0 {
            return 0;
        }
        now.saturating_sub(standing.since)
    }
}
