//! Tasks go from one lane to another: a worker pulls them, for a turn that it begins with at once.
//!
//! 1. `give`, under the lock of the lane that has them: the group whose turn is next there gives its oldest tasks, if its
//!    turn has come before all that is in the other lane, or that has less to do.
//! 2. The worker has them in its hands, and no lock. Nobody else sees them, so it has to look for all of them to be run: one
//!    is polled at once, and for the others it notifies after 3, as a thief does.
//! 3. `take_in`, under the lock of its own lane: they are their group's oldest tasks there, and the group's turn begins.
//!
//! A lane that lags gives once in a slice: with a task less it may keep up.
//!
//! The group needs room in the other lane. That is made before tasks are taken: without memory they stay where they are.

use super::{
    batch::Batch, board::Stand, group::GroupState, lane::Lane, run_order::RunOrder,
    slice::DEFAULT_NANOSECONDS, task_list::GroupTasks,
};
use crate::{sync::Arc, task::TaskRef};

/// Tasks that are moved at once, at most.
const MOST_MOVED: usize = 32;

/// What a lane gives to another.
#[must_use]
pub(super) enum Given {
    Nothing,
    /// The group needs room in the other lane before it can come.
    NeedsRoom(Arc<GroupState>),
    Moved(Moved),
}

/// Tasks on their way.
pub(super) struct Moved {
    group: Arc<GroupState>,
    tasks: GroupTasks,
    count: usize,
}

/// A turn that begins.
#[must_use]
pub(crate) struct Pulled {
    pub(crate) task: TaskRef,
    /// Further tasks are in the lane: notify.
    pub(crate) notify: bool,
}

impl Lane {
    /// Gives tasks to the lane `to`, if the turn `stand` there makes way for the next one here; always, if that is not given.
    pub(super) fn give(
        &self,
        order: &mut RunOrder,
        to: usize,
        stand: Option<Stand>,
        now: u64,
    ) -> Given {
        self.unpark(order, now);
        let given = self.give_first(order, to, stand, now);
        self.count_parked(order);
        self.advance(order, now);
        self.publish(order);
        given
    }

    fn give_first(&self, order: &mut RunOrder, to: usize, stand: Option<Stand>, now: u64) -> Given {
        let group = loop {
            order.refresh(now);
            let Some((deadline, late)) = order.first(now) else {
                return Given::Nothing;
            };
            let more = self.board.has_more(self.index, to);
            if stand.is_some_and(|stand| !stand.makes_way(deadline, late, more)) {
                return Given::Nothing;
            }
            // All that wait in a lane lag with it, and many workers see that: it would be ahead with what they leave.
            let gave = order
                .gave
                .is_some_and(|gave| now < gave + DEFAULT_NANOSECONDS);
            if stand.is_some() && !more && gave {
                return Given::Nothing;
            }
            let Some(group) = order.next(now, None) else {
                return Given::Nothing;
            };
            if group.standing(&order.guard).polls > 0 {
                break group;
            }
            if group.exhausted_until(now).is_none() {
                break group;
            }
            self.line_up(order, &group, now);
        };
        let waited = group.standing(&order.guard).polls == 0;
        if !group.is_admitted_to(to) {
            if waited {
                order.wait(&group);
            }
            return Given::NeedsRoom(group);
        }
        let standing = group.standing(&order.guard);
        // Not more than a slice's worth of them, and half of what there is.
        let fit = match standing.poll_time {
            0 => 1,
            poll_time => usize::try_from(DEFAULT_NANOSECONDS / poll_time).unwrap_or(MOST_MOVED),
        };
        let count = fit.min(standing.len.div_ceil(2)).clamp(1, MOST_MOVED);
        let mut tasks = GroupTasks::default();
        for _ in 0..count {
            let task = group.tasks(&mut order.guard).pop();
            tasks.push_moved(task, to);
        }
        if stand.is_some() {
            order.gave = Some(now);
        }
        let standing = group.standing_mut(&mut order.guard);
        standing.len -= count;
        let left = standing.len;
        self.told().sub(count);
        if !waited {
            order.running.update(&order.guard, &group, now);
        } else if left > 0 {
            order.wait(&group);
        } else {
            self.deactivate(order, &group, now);
        }
        Given::Moved(Moved {
            group,
            tasks,
            count,
        })
    }

    /// Takes in what another lane gave, for a turn that begins now.
    pub(super) fn take_in(&self, moved: Moved, now: u64, batch: &Batch, most: usize) -> Pulled {
        let Moved {
            group,
            mut tasks,
            count,
        } = moved;
        let order = &mut *self.lock_for(&group);
        let standing = group.standing(&order.guard);
        let (len, polls) = (standing.len, standing.polls);
        if standing.parked {
            // Its rate was used up when it was parked here, and is not now.
            order.parked.remove(&mut order.guard, &group);
            self.rejoin(order, &group, now);
        } else if len == 0 && polls == 0 {
            self.advance(order, now);
            self.activate(order, &group, now);
        } else if polls == 0 {
            order.take_back(&group);
        } else {
            order.release_this(&group, now);
        }
        order.take_in(&group);
        for _ in 0..count {
            group.tasks(&mut order.guard).push_older(tasks.pop());
        }
        group.standing_mut(&mut order.guard).len += count;
        self.told().add(count);
        let (task, taken) = self.take_turn(order, &group, now, batch, most);
        self.count_parked(order);
        self.advance(order, now);
        self.publish(order);
        let notify = len + count > taken;
        Pulled { task, notify }
    }
}
