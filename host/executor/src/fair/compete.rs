//! Which groups compete: those that begin and stop, those whose rate is used up, and room for all of them.

use super::{
    group::GroupState, heap::Heap, lane::Lane, room::Room, run_order::RunOrder, tenant::TenantState,
};
use crate::{
    error::SpawnError,
    planted::{Planted, is_planted},
    sync::{Arc, Ordering::Relaxed},
};

/// For how many groups room is made at first.
#[cfg(not(any(loom, shuttle, miri)))]
const FIRST_ROOM: usize = 16;
#[cfg(any(loom, shuttle, miri))]
const FIRST_ROOM: usize = 1;

impl Lane {
    /// Makes room for `group`, once: from then on nothing is allocated for it or for its tasks.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Alloc`] without memory.
    pub(crate) fn admit(&self, group: &GroupState) -> Result<(), SpawnError> {
        if group.is_admitted_to(self.index) {
            return Ok(());
        }
        let part = group.make_part(self.index, || self.part())?;
        // Relaxed: it is set under the lock, which is taken before the room is used.
        while !part.admitted.load(Relaxed) {
            let needed = {
                let order = self.lock_for(group);
                let groups = self.groups.load(Relaxed) + 1;
                if part.admitted.load(Relaxed) {
                    break;
                }
                if groups <= order.room() {
                    self.groups.fetch_add(1, Relaxed);
                    part.admitted.store(true, Relaxed);
                    break;
                }
                groups
            };
            // Allocated, and what it replaces is freed, outside the lock.
            let room = Room::new((2 * needed).max(FIRST_ROOM))?;
            let old = self.lock().move_to(room);
            drop(old);
        }
        Ok(())
    }

    /// When the first group whose rate is used up may go on, or have more polls.
    pub(crate) fn next_refill(&self) -> Option<u64> {
        if self.parked.load(Relaxed) == 0 {
            // A worker that parks a group after this look notifies; one that is turned away looks here afterwards.
            return None;
        }
        let order = self.lock();
        let firsts = [&order.parked, &order.held].map(Heap::first);
        let firsts = firsts.into_iter().flatten();
        firsts.map(|(until, _)| until).min()
    }

    /// The rate of `group` was changed: lets it go on if it is parked and may. `true` if a sleeping worker could run
    /// a task of it now: the caller notifies.
    pub(crate) fn reconsider(&self, group: &Arc<GroupState>, now: u64) -> bool {
        let order = &mut *self.lock_for(group);
        let standing = group.standing(&order.guard);
        if !standing.parked {
            // A worker that was turned away from its further tasks sleeps until the old rate allows them.
            let (polls, len) = (standing.polls, standing.len);
            order.release_this(group, now);
            self.count_parked(order);
            return polls > 0 && len > 0;
        }
        order.parked.remove(&mut order.guard, group);
        self.rejoin(order, group, now);
        self.line_up(order, group, now);
        true
    }

    /// The rate of `tenant` was changed: lets those of its groups go on that are parked and may. Returns how many there
    /// may be that a sleeping worker could run now: the caller notifies. This looks at all groups that wait for a rate.
    pub(crate) fn reconsider_tenant(&self, tenant: &Arc<TenantState>, now: u64) -> usize {
        let mut until = |group: &Arc<GroupState>| {
            let of = group.tenant.as_ref();
            of.is_some_and(|of| Arc::ptr_eq(of, tenant))
                .then(|| group.exhausted_until(now).unwrap_or(0))
        };
        let order = &mut *self.lock();
        let parked = order.parked.rekey(&mut order.guard, &mut until);
        // A worker that was turned away from their further tasks sleeps until the old rate allows them.
        let held = order.held.rekey(&mut order.guard, &mut until);
        // Those that stay parked count: until another time than sleeping workers know.
        (parked + held).max(self.unpark(order, now))
    }

    /// Lets parked groups compete whose time has come; says how many. The caller notifies.
    pub(crate) fn refill(&self, now: u64) -> usize {
        if self.parked.load(Relaxed) == 0 {
            return 0;
        }
        self.unpark(&mut self.lock(), now)
    }

    /// A group begins to compete: an idle one, or one that was parked.
    pub(super) fn activate(&self, order: &mut RunOrder, group: &GroupState, now: u64) {
        self.look_at_others(order, now);
        let slice = group.slice() as usize;
        group.standing_mut(&mut order.guard).active_slice = slice;
        order.count_weight(group, group.share.weight());
        order.add_slice(slice);
        self.publish(order);
        if is_planted(Planted::SleepForgives) {
            let floor = order.least.saturating_sub(group.credit_units());
            group.standing_mut(&mut order.guard).virtual_time = floor;
        }
        order.catch_up(group, now);
    }

    /// A group stops competing.
    pub(super) fn deactivate(&self, order: &mut RunOrder, group: &GroupState, now: u64) {
        if !order.is_alone() {
            order.settle(group, now, 0);
        }
        let slice = group.standing(&order.guard).active_slice;
        order.count_weight(group, 0);
        order.remove_slice(slice);
        self.publish(order);
    }

    /// A group with tasks and without polls in flight waits for its turn, or until its rate allows one.
    pub(super) fn line_up(&self, order: &mut RunOrder, group: &Arc<GroupState>, now: u64) {
        if let Some(until) = group.exhausted_until(now) {
            self.deactivate(order, group, now);
            group.account.parks(now);
            let standing = group.standing_mut(&mut order.guard);
            standing.parked = true;
            self.told().sub(standing.len);
            let parked = &mut order.parked;
            parked.insert(&mut order.guard, until, group.clone());
            return self.count_parked(order);
        }
        // It may have been given another weight or slice since it began to compete.
        order.count_weight(group, group.share.weight());
        let slice = group.slice() as usize;
        let standing = group.standing_mut(&mut order.guard);
        let before = core::mem::replace(&mut standing.active_slice, slice);
        if before != slice {
            order.remove_slice(before);
            order.add_slice(slice);
        }
        order.wait(group);
        self.publish(order);
    }

    /// Lets groups go on that wait for their rate, if their time has come; says how many.
    pub(super) fn unpark(&self, order: &mut RunOrder, now: u64) -> usize {
        let mut unparked = order.release(now);
        while order.parked.first().is_some_and(|(until, _)| until <= now)
            && let Some(group) = order.parked.pop_first(&mut order.guard)
        {
            self.rejoin(order, &group, now);
            // Parked again, if it is its tenant's rate that is used up now.
            self.line_up(order, &group, now);
            unparked += 1;
        }
        if unparked > 0 {
            self.count_parked(order);
        }
        unparked
    }

    /// Publishes how many groups wait for their rate.
    pub(super) fn count_parked(&self, order: &RunOrder) {
        let parked = order.parked.len() + order.held.len();
        if self.parked.load(Relaxed) != parked {
            self.parked.store(parked, Relaxed);
        }
    }

    /// A group that was parked, and is in no heap now, competes again.
    pub(super) fn rejoin(&self, order: &mut RunOrder, group: &GroupState, now: u64) {
        let standing = group.standing_mut(&mut order.guard);
        standing.parked = false;
        self.told().add(standing.len);
        group.counts.throttled(group.account.goes_on(now));
        self.activate(order, group, now);
    }
}
