//! What the lanes know of a group: its settings, what it has used, and for each lane its runnable tasks and where it
//! stands.

use super::{
    account::Account,
    guard::{LaneGuard, LaneId},
    part::{Part, Standing},
    share::Share,
    slice::DEFAULT_NANOSECONDS,
    stats::Counts,
    task_list::GroupTasks,
    tenant::TenantState,
    tournament::Line,
    virtual_time::{Virtual, Weight, scaled},
};
use crate::{
    error::SpawnError,
    sync::{
        Apart, Arc, AtomicPtr, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};
use alloc::boxed::Box;
use allocator_api2::boxed::Box as TryBox;
use core::ptr;

pub(crate) struct GroupState {
    pub(crate) share: Share,
    /// Nanoseconds.
    slice: AtomicUsize,
    pub(crate) tenant: Option<Arc<TenantState>>,
    pub(crate) counts: Apart<Counts>,
    pub(super) account: Apart<Account>,
    /// The lane that it has a part in from the beginning.
    home: usize,
    at_home: Part,
    /// Its parts in the other lanes, made before it first comes there. Empty where there is one lane.
    elsewhere: Box<[AtomicPtr<Part>]>,
    /// Tells executors apart: the first of the lanes.
    lanes: LaneId,
}

impl GroupState {
    /// A group of the executor whose first lane is `lanes`, and that has so many.
    pub(super) fn new(
        share: Share,
        slice: usize,
        tenant: Option<Arc<TenantState>>,
        (home, at_home): (usize, Part),
        (lanes, count): (LaneId, usize),
    ) -> Self {
        let elsewhere = if count > 1 { count } else { 0 };
        Self {
            share,
            slice: AtomicUsize::new(slice),
            tenant,
            counts: Apart::default(),
            account: Apart(Account::new()),
            home,
            at_home,
            elsewhere: (0..elsewhere)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
            lanes,
        }
    }

    pub(super) fn lanes(&self) -> LaneId {
        self.lanes
    }

    pub(super) fn home(&self) -> usize {
        self.home
    }

    /// What it has in a lane, if that is made.
    #[inline]
    pub(super) fn part_in(&self, lane: usize) -> Option<&Part> {
        if lane == self.home {
            return Some(&self.at_home);
        }
        // Acquire pairs with the Release of `make_part`: the part.
        let part = self.elsewhere[lane].load(Acquire);
        // SAFETY: a part, once there, lives until `self` is dropped, and is only shared.
        unsafe { part.as_ref() }
    }

    /// Whether the lane has room for it.
    pub(super) fn is_admitted_to(&self, lane: usize) -> bool {
        // Relaxed: it is set under the lock, which is taken before the room is used.
        self.part_in(lane)
            .is_some_and(|part| part.admitted.load(Relaxed))
    }

    /// What it has in a lane, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Alloc`] without memory.
    pub(super) fn make_part(
        &self,
        lane: usize,
        part: impl FnOnce() -> Part,
    ) -> Result<&Part, SpawnError> {
        if let Some(part) = self.part_in(lane) {
            return Ok(part);
        }
        let made = TryBox::try_new(part()).map_err(|_| SpawnError::Alloc)?;
        let made = TryBox::into_raw(made);
        // Release pairs with the Acquire of `part_in`; Acquire is for the part of a faster thread.
        let set = self.elsewhere[lane].compare_exchange(ptr::null_mut(), made, AcqRel, Acquire);
        match set {
            // SAFETY: it is there now, and stays until `self` is dropped.
            Ok(_) => Ok(unsafe { &*made }),
            Err(theirs) => {
                // SAFETY: nobody else has seen it.
                drop(unsafe { TryBox::from_raw(made) });
                // SAFETY: as above.
                Ok(unsafe { &*theirs })
            }
        }
    }

    #[inline]
    fn part(&self, guard: &LaneGuard) -> &Part {
        if guard.is_alone() {
            // The part's line alone is touched.
            return &self.at_home;
        }
        let part = self.part_in(guard.index());
        part.expect("a group has its part before it comes to a lane")
    }

    /// Its runnable tasks in a lane.
    #[inline]
    pub(super) fn tasks<'a>(&'a self, guard: &'a mut LaneGuard) -> &'a mut GroupTasks {
        self.part(guard).tasks.get_mut(guard)
    }

    /// Nanoseconds.
    pub(crate) fn slice(&self) -> u64 {
        self.slice.load(Relaxed) as u64
    }

    /// A slice from [`clamp`](super::slice::clamp).
    pub(crate) fn set_slice(&self, slice: usize) {
        self.slice.store(slice, Relaxed);
    }

    #[inline]
    pub(super) fn standing<'a>(&'a self, guard: &'a LaneGuard) -> &'a Standing {
        self.part(guard).standing.get(guard)
    }

    #[inline]
    pub(super) fn standing_mut<'a>(&'a self, guard: &'a mut LaneGuard) -> &'a mut Standing {
        self.part(guard).standing.get_mut(guard)
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

    /// What its next turn is expected to take: a slice, or less if it has just woken and its polls are short. For the first
    /// turn of a tenant's group it is a little less: those of its groups that spin go on in steps as long as this, and
    /// of two that are as far as each other it is to be the first.
    pub(super) fn request_units(&self, guard: &LaneGuard) -> Virtual {
        let slice = self.slice();
        let standing = self.standing(guard);
        let request = match standing.poll_time {
            0 if self.tenant.is_some() => slice - slice / 64,
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
    #[inline]
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
    pub(super) fn charge_others(&self, cpu: u64, began: u64, now: u64, even: Virtual) {
        self.account.charge(&self.share, cpu, began, now);
        if let Some(tenant) = &self.tenant {
            tenant.charge(cpu, began, now, even);
        }
    }

    /// Until when its own rate or its tenant's is used up, if one is.
    pub(super) fn exhausted_until(&self, now: u64) -> Option<u64> {
        let own = self.account.exhausted_until(&self.share, now);
        let tenant = self.tenant.as_ref();
        own.max(tenant.and_then(|tenant| tenant.exhausted_until(now)))
    }
}

impl Drop for GroupState {
    fn drop(&mut self) {
        for part in &mut self.elsewhere {
            // Nobody else is here, so Relaxed would do; Acquire is for loom.
            let part = part.load(Acquire);
            if !part.is_null() {
                // SAFETY: made by `Box::into_raw` in `make_part`, and not used again.
                drop(unsafe { TryBox::from_raw(part) });
            }
        }
    }
}
