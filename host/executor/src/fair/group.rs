//! What the lane knows of a group: its settings, what it has used, its runnable tasks, and where it stands.

use super::{
    budget::Budget,
    guard::{Guarded, LaneGuard, LaneId},
    share::Share,
    slice::DEFAULT_NANOSECONDS,
    stats::Counts,
    task_list::GroupTasks,
    tenant::TenantState,
    tournament::Line,
    virtual_time::{Virtual, Weight, scaled},
};
use crate::sync::{Apart, Arc, AtomicBool, AtomicUsize, Ordering::Relaxed};

pub(crate) struct GroupState {
    pub(crate) share: Share,
    /// Nanoseconds.
    slice: AtomicUsize,
    pub(crate) tenant: Option<Arc<TenantState>>,
    pub(crate) counts: Apart<Counts>,
    /// The lane has room for it.
    pub(super) admitted: AtomicBool,
    /// For how many groups the lane has promised room.
    groups: Arc<AtomicUsize>,
    pub(super) tasks: Apart<Guarded<GroupTasks>>,
    standing: Apart<Guarded<Standing>>,
}

/// Where a group stands.
#[derive(Clone, Copy, Default)]
pub(super) struct Standing {
    /// Runnable tasks.
    pub(super) len: usize,
    pub(super) virtual_time: Virtual,
    /// Polls in flight.
    pub(super) polls: u64,
    /// The sum of the times at which they began or were last charged.
    pub(super) began: u128,
    /// What the group adds to its tenant's sum while it competes, or to the lane's.
    pub(super) active_weight: usize,
    /// Its slice as it is counted while it competes.
    pub(super) active_slice: usize,
    pub(super) budget: Budget,
    /// Since when it is parked.
    pub(super) parked: Option<u64>,
    /// It has had no turn since it woke.
    pub(super) woken: bool,
    /// A recent average of how long its polls took, nanoseconds; zero before the first one.
    pub(super) poll_time: u64,
    /// It has had a turn since it was made.
    pub(super) had_turn: bool,
    /// Where it is in a heap, if it is in one.
    pub(super) place: usize,
    /// Its place among the groups with polls in flight.
    pub(super) runs_at: Option<usize>,
    /// It has polls in flight, and no more before its rate allows them.
    pub(super) held: bool,
}

impl GroupState {
    pub(super) fn new(
        share: Share,
        slice: usize,
        tenant: Option<Arc<TenantState>>,
        lane: LaneId,
        groups: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            share,
            slice: AtomicUsize::new(slice),
            tenant,
            counts: Apart::default(),
            admitted: AtomicBool::new(false),
            groups,
            tasks: Apart(Guarded::new(lane, GroupTasks::default())),
            standing: Apart(Guarded::new(lane, Standing::default())),
        }
    }

    pub(super) fn lane(&self) -> LaneId {
        self.standing.lane()
    }

    /// Nanoseconds.
    pub(crate) fn slice(&self) -> u64 {
        self.slice.load(Relaxed) as u64
    }

    /// A slice from [`clamp`](super::slice::clamp).
    pub(crate) fn set_slice(&self, slice: usize) {
        self.slice.store(slice, Relaxed);
    }

    pub(super) fn standing<'a>(&'a self, guard: &'a LaneGuard) -> &'a Standing {
        self.standing.get(guard)
    }

    pub(super) fn standing_mut<'a>(&'a self, guard: &'a mut LaneGuard) -> &'a mut Standing {
        self.standing.get_mut(guard)
    }

    /// What its weight comes to.
    pub(super) fn weight(&self) -> Weight {
        let own = self.share.weight();
        match &self.tenant {
            None => Weight::whole(own),
            Some(tenant) => {
                // At least the group itself competes.
                let active = tenant.active_weight.load(Relaxed).max(own);
                Weight::part(own, tenant.share.weight(), active)
            }
        }
    }

    pub(super) fn slice_units(&self) -> Virtual {
        self.weight().scale(u128::from(self.slice()))
    }

    /// What its next turn is expected to take: a slice, or less if it has just woken and its polls are short.
    pub(super) fn request_units(&self, guard: &LaneGuard) -> Virtual {
        let slice = self.slice();
        let standing = self.standing(guard);
        let request = match standing.poll_time {
            0 => slice,
            _ if !standing.woken => slice,
            poll_time => poll_time.min(slice),
        };
        self.weight().scale(u128::from(request))
    }

    /// How far behind `least` a group may be that did not use its turns.
    pub(super) fn credit_units(&self) -> Virtual {
        let slice = self.slice().max(DEFAULT_NANOSECONDS);
        self.weight().scale(u128::from(slice))
    }

    /// Its virtual time with what is in flight at `now` and not charged yet, by the clock.
    pub(super) fn virtual_now(&self, guard: &LaneGuard, now: u64) -> Virtual {
        let standing = self.standing(guard);
        let in_flight =
            (u128::from(standing.polls) * u128::from(now)).saturating_sub(standing.began);
        standing.virtual_time + self.weight().scale(in_flight)
    }

    pub(super) fn deadline_now(&self, guard: &LaneGuard, now: u64) -> Virtual {
        self.virtual_now(guard, now) + self.slice_units()
    }

    /// Its virtual time with what is in flight, at any time before its next event.
    pub(super) fn line(&self, guard: &LaneGuard) -> Line {
        let standing = self.standing(guard);
        let rate = self.weight().rate();
        let began = i128::from(rate) * standing.began.cast_signed();
        Line {
            start: scaled(standing.virtual_time) - began,
            slope: rate * standing.polls,
        }
    }

    /// Charges the rates that it is subject to, and its tenant.
    pub(super) fn charge_others(
        &self,
        guard: &mut LaneGuard,
        cpu: u64,
        began: u64,
        now: u64,
        least: Virtual,
    ) {
        let rate = self.share.rate();
        if rate > 0 {
            let budget = &mut self.standing_mut(guard).budget;
            budget.charge(cpu, rate, began, now);
        }
        if let Some(tenant) = &self.tenant {
            tenant.charge(cpu, began, now, least);
        }
    }

    /// Until when its own rate or its tenant's is used up, if one is.
    pub(super) fn exhausted_until(&self, guard: &mut LaneGuard, now: u64) -> Option<u64> {
        let rate = self.share.rate();
        let own = (rate > 0)
            .then(|| self.standing_mut(guard).budget.exhausted_until(rate, now))
            .flatten();
        let tenant = self.tenant.as_ref();
        own.max(tenant.and_then(|tenant| tenant.exhausted_until(now)))
    }
}

impl Drop for GroupState {
    fn drop(&mut self) {
        if self.admitted.load(Relaxed) {
            // Relaxed: a count of room, which the lane reads under its lock.
            self.groups.fetch_sub(1, Relaxed);
        }
    }
}
