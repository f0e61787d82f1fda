//! Which group is next: the groups that compete, in the order of their turns.

use super::{
    group::GroupState,
    guard::LaneGuard,
    heap::Heap,
    share::DEFAULT_WEIGHT,
    slice::DEFAULT_NANOSECONDS,
    virtual_time::{Virtual, Weight},
};
use crate::{
    error::SpawnError,
    sync::{Arc, Ordering::Relaxed},
};
use alloc::vec::Vec;

/// How much more than all others new groups may use before further ones get no credit. Chosen, not measured: a burst of
/// eight is served at once.
const FLOOD: u64 = 8 * DEFAULT_NANOSECONDS;

pub(super) struct RunOrder {
    /// Proves that the lock around this is held.
    pub(super) guard: LaneGuard,
    /// Runnable groups with no poll in flight, by virtual deadline.
    pub(super) waiting: Heap<Virtual>,
    /// Groups with polls in flight: at most as many as there are workers, for which there is room.
    pub(super) running: Vec<Arc<GroupState>>,
    /// Runnable groups whose rate is used up, by the time at which it is available again.
    pub(super) parked: Heap<u64>,
    /// The slices of the groups that compete, and how many have each. Few are different.
    slices: Vec<(usize, usize)>,
    /// Of the waiting groups, those that have had no turn since they woke.
    pub(super) woken: usize,
    /// Nanoseconds that groups used in their first slice beyond what others used meanwhile.
    flood: u64,
    /// No group that competes is behind this. Never goes back.
    pub(super) least: Virtual,
    /// Where a group stands that has had its share for as long as the lane has run: what all of them used, divided by the
    /// weights of those that competed. Not behind `least`, and no further ahead than newcomers may be kept waiting.
    even: Virtual,
    /// The weights of those that compete: of groups that have no tenant, and of tenants.
    pub(super) weights: usize,
}

/// What grows with the number of groups.
pub(super) struct Room {
    waiting: Heap<Virtual>,
    parked: Heap<u64>,
    slices: Vec<(usize, usize)>,
}

impl Room {
    /// For so many groups.
    pub(super) fn new(groups: usize) -> Result<Self, SpawnError> {
        let mut slices = Vec::new();
        let reserved = slices.try_reserve_exact(groups);
        match (Heap::with_room(groups), Heap::with_room(groups), reserved) {
            (Ok(waiting), Ok(parked), Ok(())) => Ok(Self {
                waiting,
                parked,
                slices,
            }),
            _ => Err(SpawnError::Alloc),
        }
    }
}

impl RunOrder {
    pub(super) fn new() -> Self {
        Self {
            guard: LaneGuard::new(),
            waiting: Heap::new(),
            running: Vec::new(),
            parked: Heap::new(),
            slices: Vec::new(),
            woken: 0,
            flood: 0,
            least: 0,
            even: 0,
            weights: 0,
        }
    }

    /// For how many groups there is room.
    pub(super) fn room(&self) -> usize {
        let heaps = self.waiting.room().min(self.parked.room());
        heaps.min(self.slices.capacity())
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
            slices: core::mem::replace(&mut self.slices, room.slices),
        }
    }

    /// The shortest slice among the groups that compete, nanoseconds.
    pub(super) fn shortest_slice(&self) -> Option<u64> {
        self.slices.iter().map(|(slice, _)| *slice as u64).min()
    }

    pub(super) fn add_slice(&mut self, slice: usize) {
        match self.slices.iter_mut().find(|(other, _)| *other == slice) {
            Some((_, count)) => *count += 1,
            None => self.slices.push((slice, 1)),
        }
    }

    pub(super) fn remove_slice(&mut self, slice: usize) {
        if let Some(at) = self.slices.iter().position(|(other, _)| *other == slice) {
            self.slices[at].1 -= 1;
            if self.slices[at].1 == 0 {
                self.slices.swap_remove(at);
            }
        }
    }

    /// While it competes, a group adds `weight` to its tenant's sum, and its tenant its own weight to the lane's; without a
    /// tenant the group does that itself.
    pub(super) fn count_weight(&mut self, group: &GroupState, weight: usize) {
        let standing = group.standing_mut(&mut self.guard);
        let before = core::mem::replace(&mut standing.active_weight, weight);
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

    /// A group with tasks and without polls in flight waits for its turn.
    pub(super) fn wait(&mut self, group: &Arc<GroupState>) {
        let request = group.request_units(&self.guard);
        let standing = group.standing(&self.guard);
        let deadline = standing.virtual_time + request;
        self.woken += usize::from(standing.woken);
        self.waiting
            .insert(&mut self.guard, deadline, group.clone());
    }

    pub(super) fn pop_waiting(&mut self) -> Option<Arc<GroupState>> {
        let group = self.waiting.pop_first(&mut self.guard)?;
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
        if let Some(tenant) = &group.tenant {
            let start = tenant.start(self.least);
            let standing = group.standing_mut(&mut self.guard);
            standing.virtual_time = standing.virtual_time.max(start);
        }
        self.keep_up(group, now);
    }

    /// A group that has used no turns for a while, or less of them than the clock said, is not further behind
    /// than its credit. What it has in flight now counts for it.
    ///
    /// One of a flood has no credit, and starts where it would be if it had been there: not at `least`, which stays where
    /// the next one starts for as long as they come, so that all others would wait for the last of them. Those of a tenant
    /// start where their tenant stands, which goes on with what they use.
    pub(super) fn keep_up(&mut self, group: &GroupState, now: u64) {
        let had_turn = group.standing(&self.guard).had_turn;
        let floor = if had_turn || self.flood < FLOOD {
            self.least.saturating_sub(group.credit_units())
        } else if group.tenant.is_some() {
            self.least
        } else {
            self.even
        };
        let behind = floor.saturating_sub(group.virtual_now(&self.guard, now));
        group.standing_mut(&mut self.guard).virtual_time += behind;
    }

    /// The group whose turn it is; it is among the running ones now.
    pub(super) fn next(&mut self, now: u64) -> Option<Arc<GroupState>> {
        let first = self.waiting.first().map(|(deadline, _)| deadline);
        let running = self.earliest_running(now);
        let group = match (first, running) {
            (Some(first), Some((deadline, _))) if first <= deadline => self.start_first()?,
            (_, Some((_, at))) => self.running[at].clone(),
            (Some(_), None) => self.start_first()?,
            (None, None) => return None,
        };
        self.advance(now);
        Some(group)
    }

    fn start_first(&mut self) -> Option<Arc<GroupState>> {
        let group = self.pop_waiting()?;
        group.standing_mut(&mut self.guard).woken = false;
        self.running.push(group.clone());
        Some(group)
    }

    /// Until when those groups are held back that have polls in flight and further tasks: the earliest time.
    pub(super) fn held_back(&mut self) -> Option<u64> {
        // At time zero, which is as good as when it was last charged: if a window has passed since, the next worker that
        // asks for a turn finds out.
        let guard = &mut self.guard;
        self.running
            .iter()
            .filter_map(|group| match group.standing(guard).len {
                0 => None,
                _ => group.exhausted_until(guard, 0),
            })
            .min()
    }

    /// Of the groups with polls in flight and further tasks, the one with the earliest deadline.
    fn earliest_running(&mut self, now: u64) -> Option<(Virtual, usize)> {
        let guard = &mut self.guard;
        let running = self.running.iter().enumerate();
        running
            .filter_map(|(at, group)| {
                let may_run =
                    group.standing(guard).len > 0 && group.exhausted_until(guard, now).is_none();
                may_run.then(|| (group.deadline_now(guard, now), at))
            })
            .min()
    }

    /// Whether `group`, of which a poll has just ended, is the one that [`next`](Self::next) would choose.
    pub(super) fn has_next_turn(&mut self, group: &Arc<GroupState>, now: u64) -> bool {
        let guard = &mut self.guard;
        if group.standing(guard).len == 0 || group.exhausted_until(guard, now).is_some() {
            return false;
        }
        let deadline = group.deadline_now(guard, now);
        let waits = self.waiting.first();
        if waits.is_some_and(|(earliest, _)| earliest <= deadline) {
            return false;
        }
        self.running.iter().all(|other| {
            Arc::ptr_eq(other, group)
                || other.standing(guard).len == 0
                || deadline <= other.deadline_now(guard, now)
        })
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
        group.charge_others(&mut self.guard, cpu, began, now, self.least);
        self.flood = if group.counts.cpu() <= DEFAULT_NANOSECONDS {
            self.flood.saturating_add(cpu)
        } else {
            self.flood.saturating_sub(cpu)
        };
        let units = group.weight().scale(u128::from(cpu));
        let standing = group.standing_mut(&mut self.guard);
        standing.virtual_time += units;
        // What one is charged for that does not compete is nobody else's loss.
        if standing.active_weight > 0 {
            self.even += Weight::whole(self.weights).scale(u128::from(cpu));
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
        let running = self
            .running
            .iter()
            .map(|group| group.virtual_now(&self.guard, now))
            .min();
        let behind = match (waiting, running) {
            (Some(waiting), Some(running)) => waiting.min(running),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => return,
        };
        self.least = self.least.max(behind);
        let furthest = Weight::whole(DEFAULT_WEIGHT as usize).scale(u128::from(FLOOD));
        self.even = self.even.clamp(self.least, self.least + furthest);
    }
}
