//! Groups ordered by a key, in memory that was reserved before: ordering them allocates nothing.

use super::{group::GroupState, guard::LaneGuard};
use crate::{error::SpawnError, platform::WorkerId, sync::Arc};
use alloc::vec::Vec;

/// A binary heap that a group can be taken out of anywhere: each notes its place in its standing. A group is in at most
/// one heap.
pub(super) struct Heap<K> {
    entries: Vec<Entry<K>>,
}

struct Entry<K> {
    /// Equal keys are ordered by the group's id.
    key: (K, usize),
    group: Arc<GroupState>,
    /// The worker that had its last turn.
    last: WorkerId,
}

/// Places at the top that are looked at for a worker's own: two levels below the first. In step with each other are about as
/// many as there are workers.
const TOP: usize = 7;

impl<K: Ord + Copy> Heap<K> {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// An empty one with room for so many groups.
    pub(super) fn with_room(groups: usize) -> Result<Self, SpawnError> {
        let mut heap = Self::new();
        let reserved = heap.entries.try_reserve_exact(groups);
        reserved.map_err(|_| SpawnError::Alloc).map(|()| heap)
    }

    /// For how many groups there is room.
    pub(super) fn room(&self) -> usize {
        self.entries.capacity()
    }

    /// Moves everything to `other`, which is empty and has more room; what is left has none of it.
    pub(super) fn move_to(&mut self, mut other: Self) -> Self {
        other.entries.append(&mut self.entries);
        core::mem::replace(self, other)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn first(&self) -> Option<(K, &Arc<GroupState>)> {
        let first = self.entries.first()?;
        Some((first.key.0, &first.group))
    }

    pub(super) fn insert(&mut self, guard: &mut LaneGuard, key: K, group: Arc<GroupState>) {
        let last = group.standing(guard).last;
        debug_assert!(self.len() < self.room(), "room for every group is reserved");
        let place = self.entries.len();
        self.entries.push(Entry {
            key: (key, group.share.id.0),
            group,
            last,
        });
        self.note(guard, place);
        self.rise(guard, place);
    }

    pub(super) fn pop_first(&mut self, guard: &mut LaneGuard) -> Option<Arc<GroupState>> {
        (!self.entries.is_empty()).then(|| self.take(guard, 0))
    }

    /// Takes out the first group, or one near the top whose last turn `worker` had, if its key is no later than `latest`
    /// says for the first.
    pub(super) fn pop_near(
        &mut self,
        guard: &mut LaneGuard,
        worker: WorkerId,
        latest: impl FnOnce(K, &GroupState) -> K,
    ) -> Option<Arc<GroupState>> {
        let first = self.entries.first()?;
        if first.last == worker {
            return Some(self.take(guard, 0));
        }
        let mut own =
            (1..self.entries.len().min(TOP)).filter(|&at| self.entries[at].last == worker);
        let Some(at) = own.next() else {
            return Some(self.take(guard, 0));
        };
        let latest = latest(first.key.0, &first.group);
        let near = own.fold(at, |near, at| {
            if self.entries[at].key < self.entries[near].key {
                at
            } else {
                near
            }
        });
        let at = if self.entries[near].key.0 <= latest {
            near
        } else {
            0
        };
        Some(self.take(guard, at))
    }

    /// Takes this group out; `false` if it is not in here.
    pub(super) fn remove(&mut self, guard: &mut LaneGuard, group: &GroupState) -> bool {
        let place = group.standing(guard).place;
        let found = self
            .entries
            .get(place)
            .is_some_and(|entry| core::ptr::eq(&*entry.group, group));
        if found {
            self.take(guard, place);
        }
        found
    }

    /// Changes the keys of the groups for which `key` gives one; how many.
    pub(super) fn rekey(
        &mut self,
        guard: &mut LaneGuard,
        mut key: impl FnMut(&Arc<GroupState>) -> Option<K>,
    ) -> usize {
        let mut changed = 0;
        for entry in &mut self.entries {
            if let Some(key) = key(&entry.group) {
                entry.key.0 = key;
                changed += 1;
            }
        }
        for place in (0..self.entries.len() / 2).rev() {
            self.sink(guard, place);
        }
        changed
    }

    fn take(&mut self, guard: &mut LaneGuard, place: usize) -> Arc<GroupState> {
        let taken = self.entries.swap_remove(place).group;
        if place < self.entries.len() {
            // The last one is here now, and may belong above or below.
            self.note(guard, place);
            self.sink(guard, place);
            self.rise(guard, place);
        }
        taken
    }

    fn rise(&mut self, guard: &mut LaneGuard, mut place: usize) {
        while let Some(parent) = place.checked_sub(1).map(|above| above / 2)
            && self.entries[place].key < self.entries[parent].key
        {
            self.swap(guard, place, parent);
            place = parent;
        }
    }

    fn sink(&mut self, guard: &mut LaneGuard, mut place: usize) {
        loop {
            let child = 2 * place + 1;
            let children = child..(child + 2).min(self.entries.len());
            let Some(least) = children.min_by_key(|&child| self.entries[child].key) else {
                return;
            };
            if self.entries[place].key <= self.entries[least].key {
                return;
            }
            self.swap(guard, place, least);
            place = least;
        }
    }

    #[inline]
    fn swap(&mut self, guard: &mut LaneGuard, a: usize, b: usize) {
        self.entries.swap(a, b);
        self.note(guard, a);
        self.note(guard, b);
    }

    #[inline]
    fn note(&self, guard: &mut LaneGuard, place: usize) {
        self.entries[place].group.standing_mut(guard).place = place;
    }
}
