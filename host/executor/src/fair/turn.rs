//! Taking turns: tasks go into the lane, to workers, and back.

use super::{
    batch::{Batch, LONGEST_BATCH},
    group::GroupState,
    lane::Lane,
    run_order::RunOrder,
};
use crate::{
    sync::{
        Arc,
        Ordering::{Acquire, Relaxed},
        fence,
    },
    task::TaskRef,
};

/// How long a turn of several polls should be, nanoseconds: long beside what taking a turn costs, short beside a slice.
/// Chosen, not measured.
#[cfg(not(shuttle))]
const BATCH_TIME: u64 = 8_000;
/// There the clock is not what is tested.
#[cfg(shuttle)]
const BATCH_TIME: u64 = u64::MAX / 2;

impl Lane {
    /// Queues a task of `group` at `now`. The caller notifies the executor afterwards.
    pub(crate) fn push(&self, group: &Arc<GroupState>, task: TaskRef, now: u64) {
        let order = &mut *self.lock_for(group);
        let standing = group.standing(&order.guard);
        let was_idle = standing.len == 0 && standing.polls == 0;
        let is_first_further = standing.len == 0 && standing.polls > 0;
        let is_parked = standing.parked;
        if was_idle {
            // A group that runs alone is not charged for long: what it has used counts before others are compared.
            self.advance(order, now);
            self.activate(order, group, now);
            group.standing_mut(&mut order.guard).woken = true;
        }
        group.tasks(&mut order.guard).push(task, now, self.index);
        group.standing_mut(&mut order.guard).len += 1;
        if is_first_further {
            order.running.update(&order.guard, group, now);
        }
        if !is_parked {
            self.told().add(1);
        }
        if was_idle {
            self.line_up(order, group, now);
        }
        if !order.is_alone() && (was_idle || is_first_further) {
            // The others may have to take it.
            self.advance(order, now);
        }
    }

    /// Takes the task whose turn it is at `now`, and counts a poll in flight. Up to `most` tasks of its group may be
    /// taken for one turn; all but the first are in `batch` then.
    pub(crate) fn pop(&self, now: u64, batch: &Batch, most: usize) -> Option<TaskRef> {
        if !self.may_have_tasks() {
            // A task that is queued after this look is notified of.
            return None;
        }
        self.pop_locked(&mut self.lock(), now, batch, most)
    }

    pub(super) fn pop_locked(
        &self,
        order: &mut RunOrder,
        now: u64,
        batch: &Batch,
        most: usize,
    ) -> Option<TaskRef> {
        self.unpark(order, now);
        let group = loop {
            let next = order.next(now, Some(batch.worker()));
            // A worker that is turned away looks at `next_refill` before it sleeps.
            self.count_parked(order);
            let group = next?;
            if group.standing(&order.guard).polls > 0 || group.exhausted_until(now).is_none() {
                break group;
            }
            // Another group of its tenant has used up the tenant's rate while this one waited. Its turn had come: none is
            // further behind.
            order.wait(&group);
            self.advance(order, now);
            order.take_back(&group);
            self.line_up(order, &group, now);
        };
        let (task, _) = self.take_turn(order, &group, now, batch, most);
        self.advance(order, now);
        self.publish(order);
        Some(task)
    }

    /// Takes the oldest tasks of a group that has one, for a turn; says how many.
    pub(super) fn take_turn(
        &self,
        order: &mut RunOrder,
        group: &Arc<GroupState>,
        now: u64,
        batch: &Batch,
        most: usize,
    ) -> (TaskRef, usize) {
        let place = order.running.enter(&mut order.guard, group);
        let standing = group.standing(&order.guard);
        let fit = match standing.poll_time {
            0 => 1,
            poll_time => usize::try_from(BATCH_TIME / poll_time).unwrap_or(usize::MAX),
        };
        // The other workers get theirs.
        let part = standing.len.div_ceil(self.workers().max(1));
        let size = fit.min(part).min(most).clamp(1, LONGEST_BATCH);
        let tasks = group.tasks(&mut order.guard);
        let first = tasks.pop();
        if size > 1 {
            batch.begin(place, tasks, size - 1);
        }
        let standing = group.standing_mut(&mut order.guard);
        standing.len -= size;
        standing.polls += 1;
        standing.began += u128::from(now);
        standing.had_turn = true;
        standing.last = batch.worker();
        order.running.update(&order.guard, group, now);
        self.told().begin();
        self.told().sub(size);
        (first, size)
    }

    /// Ends a batch, which has a poll in flight: its tasks are in the lane again.
    pub(super) fn give_back(
        &self,
        order: &mut RunOrder,
        group: &GroupState,
        batch: &Batch,
        now: u64,
    ) -> usize {
        let given = batch.end(group.tasks(&mut order.guard), now, self.index);
        if given > 0 {
            group.standing_mut(&mut order.guard).len += given;
            self.told().add(given);
        }
        given
    }

    /// Takes the tasks of a worker's batch away from it, into the lane; says how many. The caller notifies.
    ///
    /// `batches` are those of the others: the first one that has any. A look at one of them without the lock may find
    /// none although there always are some: `finish` moves them to the lane and back into the batch.
    pub(crate) fn reclaim<'a>(&self, batches: impl Iterator<Item = &'a Batch>, now: u64) -> usize {
        // Pairs with the Release in `Turns`: a worker that saw in `len` that tasks were taken sees that a worker has
        // them.
        fence(Acquire);
        if self.told().polling.load(Relaxed) == 0 {
            return 0;
        }
        let order = &mut *self.lock();
        let mut batches = batches.filter(|batch| batch.len() > 0);
        let found = batches.find_map(|batch| Some((batch, batch.group()?)));
        // Its group has a poll in flight.
        let Some((batch, place)) = found else {
            return 0;
        };
        let group = order.running.get(place).cloned();
        group.map_or(0, |group| {
            let given = self.give_back(order, &group, batch, now);
            order.running.update(&order.guard, &group, now);
            given
        })
    }

    /// Whether any task is in the lane or in one of `batches`. To be asked if [`len`](Self::len) is zero and that could
    /// be because tasks are on their way from the one to the other.
    pub(crate) fn has_tasks<'a>(&self, mut batches: impl Iterator<Item = &'a Batch>) -> bool {
        let _order = self.lock();
        self.len() > 0 || batches.any(|batch| batch.len() > 0)
    }

    /// Takes any task, which is not to run: for `close`.
    pub(crate) fn drain(&self) -> Option<TaskRef> {
        let order = &mut *self.lock();
        while let Some((_, group)) = order.held.first() {
            let group = group.clone();
            order.release_this(&group, 0);
        }
        while let Some(group) = order.parked.pop_first(&mut order.guard) {
            self.rejoin(order, &group, 0);
            order.wait(&group);
        }
        self.count_parked(order);
        let waiting = order.pop_waiting(None);
        let group = waiting.clone().or_else(|| {
            let (_, place) = order.running.earliest(0)?;
            order.running.get(place).cloned()
        })?;
        let task = group.tasks(&mut order.guard).pop();
        let standing = group.standing_mut(&mut order.guard);
        standing.len -= 1;
        let is_empty = standing.len == 0;
        self.told().sub(1);
        match waiting {
            Some(group) if is_empty => self.deactivate(order, &group, 0),
            Some(group) => order.wait(&group),
            None => order.running.update(&order.guard, &group, 0),
        }
        Some(task)
    }
}
