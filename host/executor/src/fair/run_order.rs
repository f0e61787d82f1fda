//! Which group is next: the groups that compete, in the order of their turns.

use super::{
    group::GroupState,
    guard::LaneGuard,
    heap::Heap,
    room::Room,
    running::Running,
    slice::DEFAULT_NANOSECONDS,
    virtual_time::{Virtual, Weight},
};
use crate::{
    planted::{Planted, is_planted},
    platform::WorkerId,
    sync::{Arc, Ordering::Relaxed},
};
use alloc::vec::Vec;

/// How much more than all others new groups may use before further ones get no credit. Chosen, not measured: a burst of
/// eight is served at once.
const FLOOD: u64 = 8 * DEFAULT_NANOSECONDS;

/// The part of a slice by which a turn may come late, for one that resumes on the core where it was. Chosen, not measured:
/// those that wait in step with each other are within a slice.
const NEAR: Virtual = 2;

/// Groups whose place is made right before one of them is taken. Chosen, not measured.
const REFRESHED: usize = 4;

/// Whether a group competes in more lanes than one.
fn is_spread(group: &GroupState) -> bool {
    group.account.competing() > 1
}

pub(super) struct RunOrder {
    /// Proves that the lock around this is held.
    pub(super) guard: LaneGuard,
    /// Runnable groups with no poll in flight, by virtual deadline.
    pub(super) waiting: Heap<Virtual>,
    /// Groups with polls in flight.
    pub(super) running: Running,
    /// Runnable groups whose rate is used up, by the time at which it is available again.
    pub(super) parked: Heap<u64>,
    /// The same of groups with polls in flight and further tasks.
    pub(super) held: Heap<u64>,
    /// The slices of the groups that compete, in order, and how many have each. Few are different.
    slices: Vec<(usize, usize)>,
    /// Of the waiting groups, those that have had no turn since they woke.
    pub(super) woken: usize,
    /// Nanoseconds that groups used in their first slice beyond what others used meanwhile.
    flood: u64,
    /// No group that competes is behind this. Never goes back.
    pub(super) least: Virtual,
    /// Where a group stands that has had its share for as long as the lane has run: what all of them used, divided by the
    /// weights of those that competed. Not behind `least`.
    even: Virtual,
    /// The weights of those that compete: of groups that have no tenant, and of tenants.
    pub(super) weights: usize,
    /// What no group is behind that competes in any lane, as it was when this lane last looked.
    pub(super) machine: Virtual,
    /// When that was.
    pub(super) looked: u64,
    /// When this lane last gave a task away because it lags.
    pub(super) gave: Option<u64>,
}

impl RunOrder {
    pub(super) fn new(lane: usize, alone: bool) -> Self {
        Self {
            guard: LaneGuard::new(lane, alone),
            waiting: Heap::new(),
            running: Running::with_room(1),
            parked: Heap::new(),
            held: Heap::new(),
            slices: Vec::new(),
            woken: 0,
            flood: 0,
            least: 0,
            even: 0,
            weights: 0,
            machine: 0,
            looked: 0,
            gave: None,
        }
    }

    /// Whether there is no other lane.
    #[inline]
    pub(super) fn is_alone(&self) -> bool {
        self.guard.is_alone()
    }

    /// For how many groups there is room.
    pub(super) fn room(&self) -> usize {
        let heaps = [self.waiting.room(), self.parked.room(), self.held.room()];
        heaps.into_iter().fold(self.slices.capacity(), usize::min)
    }

    /// Moves to `room`, if that is more than there is; the caller frees what is not needed any more.
    pub(super) fn move_to(&mut self, mut room: Room) -> Room {
        if room.slices.capacity() <= self.room() {
            return room;
        }
        room.slices.append(&mut self.slices);
        Room {
            waiting: self.waiting.move_to(room.waiting),
            parked: self.parked.move_to(room.parked),
            held: self.held.move_to(room.held),
            slices: core::mem::replace(&mut self.slices, room.slices),
        }
    }

    /// The shortest slice among the groups that compete, nanoseconds.
    pub(super) fn shortest_slice(&self) -> Option<u64> {
        self.slices.first().map(|&(slice, _)| slice as u64)
    }

    pub(super) fn add_slice(&mut self, slice: usize) {
        match self.place_of_slice(slice) {
            Ok(at) => self.slices[at].1 += 1,
            Err(at) => self.slices.insert(at, (slice, 1)),
        }
    }

    pub(super) fn remove_slice(&mut self, slice: usize) {
        if let Ok(at) = self.place_of_slice(slice) {
            self.slices[at].1 -= 1;
            if self.slices[at].1 == 0 {
                self.slices.remove(at);
            }
        }
    }

    fn place_of_slice(&self, slice: usize) -> Result<usize, usize> {
        self.slices
            .binary_search_by_key(&slice, |&(slice, _)| slice)
    }

    /// While it competes, a group adds `weight` to its tenant's sum, and its tenant its own weight to the lane's; without a
    /// tenant the group does that itself.
    pub(super) fn count_weight(&mut self, group: &GroupState, weight: usize) {
        let standing = group.standing_mut(&mut self.guard);
        let before = core::mem::replace(&mut standing.active_weight, weight);
        if !self.is_alone() {
            return self.count_weight_here(group, before, weight);
        }
        let (counted, now) = match &group.tenant {
            None => (before, weight),
            Some(tenant) => {
                let sum = tenant.active_weight.load(Relaxed) - before + weight;
                tenant.active_weight.store(sum, Relaxed);
                let now = if sum > 0 { tenant.share.weight() } else { 0 };
                (tenant.counted_weight.swap(now, Relaxed), now)
            }
        };
        self.weights = self.weights - counted + now;
    }

    /// The same with several lanes. A group adds its part to each in which it competes, as it was when it last joined the
    /// queue there: the sum is for `even` alone.
    fn count_weight_here(&mut self, group: &GroupState, before: usize, weight: usize) {
        let tenant = group.tenant.as_deref();
        if before != weight {
            let (began, ended) = (usize::from(before == 0), usize::from(weight == 0));
            let whole = group.share.weight();
            group.account.count(began, ended, whole, tenant);
        }
        let whole = tenant.map_or(weight, |tenant| {
            let active = tenant.active_weight.load(Relaxed).max(weight).max(1);
            (tenant.share.weight() * weight).div_ceil(active)
        });
        let now = whole.div_ceil(group.account.competing().max(1));
        let standing = group.standing_mut(&mut self.guard);
        let counted = core::mem::replace(&mut standing.lane_weight, now);
        self.weights = self.weights - counted + now;
    }

    /// Brings a group's copy of its virtual time up to date, which is at least `floor` then. If it waits or runs here, it
    /// has to be put to its place by that.
    pub(super) fn settle(&mut self, group: &GroupState, now: u64, floor: Virtual) {
        let even = self.even();
        let standing = group.standing_mut(&mut self.guard);
        let unsettled = core::mem::take(&mut standing.unsettled);
        let settled = group.account.settle(unsettled.virtual_time, floor);
        standing.virtual_time = settled.virtual_time;
        standing.seen = settled.changes;
        if unsettled.cpu > 0 {
            group.charge_others(unsettled.cpu, unsettled.since, now, even);
        }
    }

    /// Where a tenant stands that has had its share. With several lanes none of them knows, and it is where the last one
    /// stands: a tenant's new groups then wait for about half of its others.
    fn even(&self) -> Virtual {
        if self.is_alone() {
            self.even
        } else {
            self.machine
        }
    }

    /// The first group that waits may have had turns in other lanes: its place is by those, too. A few at a time; a key
    /// that is still too early costs a turn that is another's.
    pub(super) fn refresh(&mut self, now: u64) {
        if self.is_alone() {
            return;
        }
        for _ in 0..REFRESHED {
            let Some((_, group)) = self.waiting.first() else {
                return;
            };
            let seen = group.standing(&self.guard).seen;
            if !group.account.has_changed(seen) {
                return;
            }
            let group = group.clone();
            self.take_back(&group);
            self.settle(&group, now, 0);
            self.wait(&group);
        }
    }

    /// What no group is behind that competes on the machine.
    fn floor(&self) -> Virtual {
        if self.is_alone() {
            self.least
        } else {
            self.machine
        }
    }

    /// The deadline of the next turn, and that a slice later.
    pub(super) fn first(&mut self, now: u64) -> Option<(Virtual, Virtual)> {
        let waits = self.waiting.first();
        let waits = waits.map(|(deadline, group)| (deadline, deadline + group.slice_units()));
        let runs = self.running.earliest(now).and_then(|(deadline, place)| {
            let group = self.running.get(place)?;
            Some((deadline, deadline + group.slice_units()))
        });
        waits.into_iter().chain(runs).min()
    }

    /// Whether nothing competes here.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.len() == 0 && self.running.is_empty()
    }

    /// A group with tasks and without polls in flight waits for its turn.
    pub(super) fn wait(&mut self, group: &Arc<GroupState>) {
        let request = group.request_units(&self.guard);
        let standing = group.standing(&self.guard);
        let deadline = standing.virtual_time + request;
        self.woken += usize::from(standing.woken);
        self.waiting
            .insert(&mut self.guard, deadline, group.clone());
    }

    pub(super) fn pop_waiting(&mut self, worker: Option<WorkerId>) -> Option<Arc<GroupState>> {
        let group = match worker {
            // Those that have just woken are not kept waiting.
            Some(worker) if self.woken == 0 && !is_planted(Planted::AnyCore) => {
                let latest = |first, group: &GroupState| first + group.slice_units() / NEAR;
                self.waiting.pop_near(&mut self.guard, worker, latest)?
            }
            _ => self.waiting.pop_first(&mut self.guard)?,
        };
        self.woken -= usize::from(group.standing(&self.guard).woken);
        Some(group)
    }

    /// Takes a group out of those that wait, whether or not its turn has come; `false` if it is not among
    /// them.
    pub(super) fn take_back(&mut self, group: &GroupState) -> bool {
        let waited = self.waiting.remove(&mut self.guard, group);
        if waited {
            self.woken -= usize::from(group.standing(&self.guard).woken);
        }
        waited
    }

    /// Moves a group that does not compete to where it would stand if it began to now: what is charged to it counts from
    /// there.
    pub(super) fn catch_up(&mut self, group: &GroupState, now: u64) {
        if !self.is_alone() {
            self.settle(group, now, 0);
            if is_spread(group) {
                return;
            }
        }
        if let Some(tenant) = &group.tenant {
            let start = tenant.start(self.floor(), self.even());
            self.raise(group, start, now);
        }
        self.keep_up(group, now);
    }

    /// Its virtual time is at least this.
    fn raise(&mut self, group: &GroupState, to: Virtual, now: u64) {
        let alone = self.is_alone();
        let standing = group.standing_mut(&mut self.guard);
        if alone {
            standing.virtual_time = standing.virtual_time.max(to);
        } else if standing.virtual_time < to {
            self.settle(group, now, to);
        }
    }

    /// A group that has used no turns for a while, or less of them than the clock said, is not further behind
    /// than its credit. What it has in flight now counts for it.
    ///
    /// One of a flood has no credit, and starts where it would be if it had been there: not at `least`, which stays where
    /// the next one starts for as long as they come, so that all others would wait for the last of them. It is kept waiting
    /// for no longer than the flood could take.
    ///
    /// One that competes in several lanes is where the others have brought it: what it has in flight there is not seen here.
    pub(super) fn keep_up(&mut self, group: &GroupState, now: u64) {
        if !self.is_alone() && is_spread(group) {
            return;
        }
        let had_turn = group.standing(&self.guard).had_turn;
        let floor = if had_turn || self.flood < FLOOD {
            self.floor().saturating_sub(group.credit_units())
        } else {
            let furthest = group.weight().scale(u128::from(FLOOD));
            self.even.clamp(self.floor(), self.floor() + furthest)
        };
        let behind = floor.saturating_sub(group.virtual_now(&self.guard, now));
        if behind > 0 {
            let to = group.standing(&self.guard).virtual_time + behind;
            self.raise(group, to, now);
        }
    }

    /// The group whose turn it is: one that waits, which it does no more, or one that runs. Of those whose turns would be over
    /// at nearly the same time a worker gets one that it had last, whose data is in its caches.
    pub(super) fn next(&mut self, now: u64, worker: Option<WorkerId>) -> Option<Arc<GroupState>> {
        self.refresh(now);
        let first = self.waiting.first().map(|(deadline, _)| deadline);
        let running = self.earliest_running(now);
        match running {
            Some((deadline, place)) if first.is_none_or(|first| deadline < first) => {
                self.running.get(place).cloned()
            }
            _ => {
                let group = self.pop_waiting(worker)?;
                group.standing_mut(&mut self.guard).woken = false;
                Some(group)
            }
        }
    }

    /// Of the groups with polls in flight and further tasks, the one with the earliest deadline. Holds those back whose
    /// rate is used up.
    fn earliest_running(&mut self, now: u64) -> Option<(Virtual, usize)> {
        loop {
            let (deadline, place) = self.running.earliest(now)?;
            let group = self.running.get(place)?;
            let Some(until) = group.exhausted_until(now) else {
                return Some((deadline, place));
            };
            let group = group.clone();
            group.standing_mut(&mut self.guard).held = true;
            self.running.update(&self.guard, &group, now);
            self.held.insert(&mut self.guard, until, group);
        }
    }

    /// A group has no more polls in flight.
    pub(super) fn leave(&mut self, group: &GroupState, now: u64) {
        self.release_this(group, now);
        self.running.leave(&mut self.guard, group);
        if self.running.is_empty() && self.waiting.len() == 0 {
            // Nobody else competes: the next one to come starts where this one is now.
            self.least = self.least.max(group.standing(&self.guard).virtual_time);
        }
    }

    /// A group came from another lane, where it may have been further behind than all that are here.
    pub(super) fn take_in(&mut self, group: &GroupState) {
        let virtual_time = group.standing(&self.guard).virtual_time;
        self.least = self.least.min(virtual_time);
    }

    /// Lets those groups have more polls that were held back, if their time has come; says how many.
    pub(super) fn release(&mut self, now: u64) -> usize {
        let mut released = 0;
        while self.held.first().is_some_and(|(until, _)| until <= now)
            && let Some(group) = self.held.pop_first(&mut self.guard)
        {
            group.standing_mut(&mut self.guard).held = false;
            self.running.update(&self.guard, &group, now);
            released += 1;
        }
        released
    }

    /// The same for one group, whether or not its time has come: its rate has changed, or it has no poll in flight.
    pub(super) fn release_this(&mut self, group: &GroupState, now: u64) {
        if group.standing(&self.guard).held && self.held.remove(&mut self.guard, group) {
            group.standing_mut(&mut self.guard).held = false;
            self.running.update(&self.guard, group, now);
        }
    }

    /// Whether `group`, of which a poll has just ended, is the one that [`next`](Self::next) would choose.
    pub(super) fn has_next_turn(&mut self, group: &GroupState, now: u64) -> bool {
        let standing = group.standing(&self.guard);
        let place = standing.runs_at;
        if standing.len == 0 || group.exhausted_until(now).is_some() {
            return false;
        }
        self.refresh(now);
        let deadline = group.deadline_now(&self.guard, now);
        let waits = self.waiting.first();
        if waits.is_some_and(|(earliest, _)| earliest <= deadline) {
            return false;
        }
        if place.is_some_and(|place| self.running.is_due(place)) {
            self.running.update(&self.guard, group, now);
        }
        let running = self.earliest_running(now);
        running.is_none_or(|(earliest, at)| deadline <= earliest || place == Some(at))
    }

    /// Whether the next turn comes before `deadline`.
    pub(super) fn has_earlier_than(&mut self, deadline: Virtual, now: u64) -> bool {
        // A group that waits goes before one that has just run.
        self.waiting
            .first()
            .is_some_and(|(earliest, _)| earliest <= deadline)
            || self
                .earliest_running(now)
                .is_some_and(|(earliest, _)| earliest < deadline)
    }

    /// Whether the next turn is that of a group whose slice is shorter than `slice`.
    pub(super) fn has_earlier_with_shorter_slice(&self, deadline: Virtual, slice: u64) -> bool {
        self.waiting
            .first()
            .is_some_and(|(earliest, group)| earliest < deadline && group.slice() < slice)
    }

    /// Charges `cpu` nanoseconds that `group` used between `began` and `now`.
    pub(super) fn charge(&mut self, group: &GroupState, cpu: u64, began: u64, now: u64) {
        if self.is_alone() {
            group.charge_others(cpu, began, now, self.even);
        }
        self.flood = if group.counts.cpu() <= DEFAULT_NANOSECONDS {
            self.flood.saturating_add(cpu)
        } else {
            self.flood.saturating_sub(cpu)
        };
        let units = group.weight().scale(u128::from(cpu));
        let alone = self.is_alone();
        let standing = group.standing_mut(&mut self.guard);
        standing.virtual_time += units;
        if !alone {
            let unsettled = &mut standing.unsettled;
            if unsettled.cpu == 0 {
                unsettled.since = began;
            }
            unsettled.virtual_time += units;
            unsettled.cpu += cpu;
        }
        // What one is charged for that does not compete is nobody else's loss.
        if standing.active_weight > 0 {
            self.even += Weight::whole(self.weights).scale(u128::from(cpu));
        }
        if !self.is_alone() && group.standing(&self.guard).unsettled.cpu >= DEFAULT_NANOSECONDS {
            self.settle(group, now, 0);
        }
    }

    /// Moves `least` to where the group is that is furthest behind.
    pub(super) fn advance(&mut self, now: u64) {
        // The first one's own virtual time, unless it goes first because its turn is short: then the others, whose
        // deadlines are no earlier, may be further behind than it is, but by no more than a slice.
        let waiting = self
            .waiting
            .first()
            .map(|(deadline, group)| deadline.saturating_sub(group.slice_units()));
        let running = self.running.least(now);
        let behind = waiting.into_iter().chain(running).min();
        self.least = self.least.max(behind.unwrap_or(0));
        self.even = self.even.max(self.least);
    }
}
