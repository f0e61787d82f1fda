//! Charging groups for what they use, and saying whose turn has come.

use super::{
    batch::Batch, board::Stand, group::GroupState, lane::Lane, run_order::RunOrder,
    slice::LONGEST_TICK,
};
use crate::{sync::Arc, task::TaskRef};

/// What a turn used.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    /// Nanoseconds of CPU time since it began, or was last charged.
    pub(crate) cpu: u64,
    /// When that was.
    pub(crate) charged: u64,
    pub(crate) began: u64,
    /// When it ended.
    pub(crate) now: u64,
    /// The polls that it had.
    pub(crate) polls: u64,
}

/// What came of a preemption point.
#[must_use]
pub(crate) struct Charged {
    pub(crate) is_others_turn: bool,
    /// If it is not, and the slice is used up: where the group stands, beside other lanes.
    pub(super) stand: Option<Stand>,
    /// So many tasks are in the lane again: notify the executor of each.
    pub(crate) gave_back: usize,
}

/// What the end of a turn leaves to be done.
#[must_use]
pub(crate) struct Finished {
    /// Poll this.
    pub(crate) next: Option<TaskRef>,
    /// Notify the executor.
    pub(crate) notify: bool,
}

/// How the preemption points of a poll come.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Each of them ends a slice.
    Slice,
    /// As a clock ticks: the poll has gone on for so many nanoseconds.
    Time(u64),
}

impl Lane {
    /// Charges a poll of `group` that goes on: it has used `cpu` nanoseconds since it began, or was last
    /// charged, at `began`.
    pub(crate) fn charge(
        &self,
        group: &Arc<GroupState>,
        cpu: u64,
        began: u64,
        now: u64,
        pace: Pace,
        batch: &Batch,
    ) -> Charged {
        let order = &mut *self.lock_for(group);
        // This poll is longer than those of its group usually are.
        let gave_back = self.give_back(order, group, batch, now);
        order.charge(group, cpu, began, now);
        let standing = group.standing_mut(&mut order.guard);
        standing.began = standing.began + u128::from(now) - u128::from(began);
        order.keep_up(group, now);
        order.running.update(&order.guard, group, now);
        self.unpark(order, now);
        self.advance(order, now);
        let kept = matches!(pace, Pace::Time(ran) if !self.is_used_up(order, group, ran));
        let is_others_turn = self.is_others_turn(order, group, now, kept);
        self.count_parked(order);
        let stand = (!is_others_turn && !kept && !order.is_alone()).then(|| {
            let begins = group.virtual_now(&order.guard, now);
            Stand::new(begins, begins + group.slice_units())
        });
        Charged {
            is_others_turn,
            stand,
            gave_back,
        }
    }

    /// `kept` is whether the poll has its slice still.
    fn is_others_turn(
        &self,
        order: &mut RunOrder,
        group: &GroupState,
        now: u64,
        kept: bool,
    ) -> bool {
        if group.exhausted_until(now).is_some() {
            return true;
        }
        order.refresh(now);
        let deadline = group.deadline_now(&order.guard, now);
        if kept {
            return order.has_earlier_with_shorter_slice(deadline, group.slice());
        }
        // A task of the same group is next after this one in any case.
        group.standing(&order.guard).len > 0 || order.has_earlier_than(deadline, now)
    }

    /// Whether a poll that has gone on for `ran` has used its slice, as nearly as a clock can tell that ticks once in
    /// the shortest slice, or once in [`LONGEST_TICK`]. Rounded down by three quarters of a tick: a task that waits
    /// is rather served early than a tick late. The part is chosen, not measured; `hart-bench`'s suite `latency` shows
    /// what it does.
    fn is_used_up(&self, order: &RunOrder, group: &GroupState, ran: u64) -> bool {
        let longest = LONGEST_TICK.as_nanos() as u64;
        let tick = self.shortest_slice().unwrap_or(0).min(longest);
        ran.saturating_add(tick / 4 * 3) >= self.stretch(order).apply(group.slice())
    }

    /// Ends a turn of `group`. `requeue` is the task that was polled last, if that was woken meanwhile; further ones are
    /// in `batch`. If `most` is not zero it takes the tasks whose turn it is then, as [`pop`](Self::pop) would, at one
    /// lock for both.
    pub(crate) fn finish(
        &self,
        group: &Arc<GroupState>,
        used: Used,
        requeue: Option<TaskRef>,
        batch: &Batch,
        most: usize,
    ) -> Finished {
        let now = used.now;
        let order = &mut *self.lock_for(group);
        order.charge(group, used.cpu, used.charged, now);
        let standing = group.standing_mut(&mut order.guard);
        let poll_time = now.saturating_sub(used.began) / used.polls;
        standing.poll_time = match standing.poll_time {
            0 => poll_time,
            // Slowly down and fast up: a batch is for groups whose polls are reliably short.
            before => poll_time.max((before * 7 + poll_time) / 8),
        }
        .max(1);
        standing.polls -= 1;
        standing.began -= u128::from(used.charged);
        let in_flight = standing.polls;
        order.keep_up(group, now);
        let mut requeued = self.give_back(order, group, batch, now);
        if let Some(task) = requeue {
            group.tasks(&mut order.guard).push(task, now, self.index);
            group.standing_mut(&mut order.guard).len += 1;
            self.told().add(1);
            requeued += 1;
        }
        let mut notify = requeued > 0;
        if most > 0 {
            self.unpark(order, now);
        }
        if most > 0 && order.has_next_turn(group, now) {
            // Its turn goes on: it stays among the running ones.
            let (task, taken) = self.take_turn(order, group, now, batch, most);
            self.told().end();
            self.count_parked(order);
            self.advance(order, now);
            return Finished {
                next: Some(task),
                notify: requeued > taken,
            };
        }
        if in_flight == 0 {
            order.leave(group, now);
            if group.standing(&order.guard).len > 0 {
                self.line_up(order, group, now);
                // Sleeping workers do not know until when, if it is parked now.
                notify |= group.standing(&order.guard).parked;
            } else {
                self.deactivate(order, group, now);
            }
        } else {
            order.running.update(&order.guard, group, now);
        }
        self.advance(order, now);
        let next = (most > 0)
            .then(|| self.pop_locked(order, now, batch, most))
            .flatten();
        self.told().end();
        Finished { next, notify }
    }

    /// Charges `cpu` nanoseconds that were used for `group` outside of its polls.
    pub(crate) fn charge_aside(&self, group: &Arc<GroupState>, cpu: u64, now: u64) {
        let order = &mut *self.lock_for(group);
        let waits = order.take_back(group);
        let runs = group.standing(&order.guard).polls > 0;
        if !waits && !runs {
            // Idle or parked: without this, what it did not use meanwhile would pay for the charge when it wakes.
            self.advance(order, now);
            self.look_at_others(order, now);
            order.catch_up(group, now);
        }
        order.charge(group, cpu, now, now);
        if !order.is_alone() {
            order.settle(group, now, 0);
        }
        if waits {
            order.wait(group);
        } else if runs {
            order.running.update(&order.guard, group, now);
        }
        self.advance(order, now);
    }
}
