//! Groups with polls in flight.
//!
//! What they have used counts by the clock, so their order changes while nothing happens: see
//! [`tournament`](super::tournament). Between its events in the lane a group counts with the weight and the slice that it
//! had at the last one.

use super::{
    group::GroupState,
    guard::LaneGuard,
    tournament::{Line, Tournament},
    virtual_time::{Virtual, scaled, units},
};
use crate::sync::Arc;
use alloc::vec::Vec;

pub(super) struct Running {
    /// By their places, which they keep while they run. A group has one of its own: there are at most as many as workers.
    groups: Vec<Option<Arc<GroupState>>>,
    free: Vec<usize>,
    /// By virtual time.
    behind: Tournament,
    /// Those that have further tasks, by deadline.
    due: Tournament,
    /// The latest time that anybody came with.
    now: u64,
}

impl Running {
    /// With room for so many.
    pub(super) fn with_room(groups: usize) -> Self {
        let room = groups.next_power_of_two();
        Self {
            groups: (0..room).map(|_| None).collect(),
            free: (0..room).rev().collect(),
            behind: Tournament::new(room),
            due: Tournament::new(room),
            now: 0,
        }
    }

    pub(super) fn room(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.groups.len()
    }

    /// Moves everything to `other`, which is empty, if that has more room; the caller frees what is not needed any more.
    pub(super) fn move_to(&mut self, mut other: Self) -> Self {
        if other.room() <= self.room() {
            return other;
        }
        other.now = self.now;
        other
            .free
            .retain(|&place| self.groups.get(place).is_none_or(Option::is_none));
        for (place, group) in self.groups.iter_mut().enumerate() {
            other.groups[place] = group.take();
            other.behind.set(place, self.behind.get(place), self.now);
            other.due.set(place, self.due.get(place), self.now);
        }
        core::mem::replace(self, other)
    }

    pub(super) fn get(&self, place: usize) -> Option<&Arc<GroupState>> {
        self.groups[place].as_ref()
    }

    /// The place of a group that has a poll in flight, or is about to.
    pub(super) fn enter(&mut self, guard: &mut LaneGuard, group: &Arc<GroupState>) -> usize {
        let standing = group.standing_mut(guard);
        *standing.runs_at.get_or_insert_with(|| {
            let place = self.free.pop();
            let place = place.expect("no more groups run than there are workers");
            self.groups[place] = Some(group.clone());
            place
        })
    }

    /// A group with polls in flight has changed, and has its place by that now.
    pub(super) fn update(&mut self, guard: &LaneGuard, group: &GroupState, now: u64) {
        let now = self.clock(now);
        let standing = group.standing(guard);
        let place = standing.runs_at.expect("it has polls in flight");
        let line = group.line(guard);
        self.behind.set(place, Some(line), now);
        let is_due = standing.len > 0 && !standing.held;
        let due = is_due.then(|| Line {
            start: line.start + scaled(group.slice_units()),
            slope: line.slope,
        });
        self.due.set(place, due, now);
    }

    /// A group has no more polls in flight.
    pub(super) fn leave(&mut self, guard: &mut LaneGuard, group: &GroupState) {
        let place = group.standing_mut(guard).runs_at.take();
        let place = place.expect("it had polls in flight");
        self.behind.set(place, None, self.now);
        self.due.set(place, None, self.now);
        self.groups[place] = None;
        self.free.push(place);
    }

    /// The least virtual time.
    pub(super) fn least(&mut self, now: u64) -> Option<Virtual> {
        let now = self.clock(now);
        let (line, _) = self.behind.first(now)?;
        Some(units(line.at(now)))
    }

    /// The earliest deadline among those that have further tasks, and the place of its group.
    pub(super) fn earliest(&mut self, now: u64) -> Option<(Virtual, usize)> {
        let now = self.clock(now);
        let (line, place) = self.due.first(now)?;
        Some((units(line.at(now)), place))
    }

    /// Whether a group is among those that have further tasks.
    pub(super) fn is_due(&self, place: usize) -> bool {
        self.due.get(place).is_some()
    }

    /// Workers read their clocks before they have the lock, and may come in another order: time does not go back here.
    fn clock(&mut self, now: u64) -> u64 {
        self.now = self.now.max(now);
        self.now
    }
}
