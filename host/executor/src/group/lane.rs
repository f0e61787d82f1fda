//! The fair lane: runnable tasks of groups, and whose turn it is.
//!
//! One lane for the whole executor, behind one lock. A poll in this lane is microseconds to milliseconds
//! long, so the lock is rarely asked for; and fairness holds across the machine by construction, because
//! every worker takes the turn that is next anywhere.
//!
//! **Virtual time.** A group's is the CPU time it has used divided by its weight. It is charged at every
//! preemption point and at the end of every poll; what its polls in flight have used since is added when
//! groups are compared, so that several workers do not all take the same group for the one that is behind.
//!
//! **Turns.** The runnable group with the earliest *virtual deadline* is next: its virtual time plus its
//! slice divided by its weight. Slices shift turns and do not change shares: a group with a shorter slice
//! is served earlier, and for a shorter time. Within a group it is first in, first out.
//!
//! **Sleep.** A group that becomes runnable starts at `max(its own virtual time, least - a slice)`, where
//! `least` is that of the groups that compete: it is served soon, a debt stays a debt, and sleep is not
//! saved up.
//!
//! **Tenants.** A tenant's weight is shared by those of its groups that compete, by their weights: a group
//! counts with `tenant weight * group weight / sum of group weights`.
//!
//! The protocol:
//!
//! 1. `push`: the task joins its group's queue. A group that was idle gets its virtual time as above.
//! 2. `pop`: the group whose turn it is gives its oldest task and counts one poll in flight.
//! 3. `charge`, at a preemption point: adds to the virtual time, and says whether somebody else's turn has
//!    come.
//! 4. `finish`, after the poll: adds the rest; the task may join its group's queue again.
//! 5. The number of runnable tasks is raised under the lock and read without: the executor's notification
//!    orders the two as for any queue.

use super::{GroupInner, Tenant};
use crate::{
    sync::{Arc, AtomicUsize, Mutex, Ordering::Relaxed, UnsafeCell},
    task::{Header, TaskRef},
};
use alloc::{collections::BTreeMap, vec::Vec};
use cordyceps::MpscQueue;

/// Virtual time: nanoseconds divided by a weight, in units small enough for the largest weight.
type Virtual = u128;

/// Units of virtual time in a nanosecond at weight 1.
const UNITS: u128 = 1 << 32;

pub(crate) struct Lane {
    turns: Mutex<Turns>,
    /// Runnable tasks of all groups.
    len: AtomicUsize,
}

#[derive(Default)]
struct Turns {
    /// Runnable groups with no poll in flight, by virtual deadline.
    waiting: BTreeMap<(Virtual, usize), Arc<GroupInner>>,
    /// Groups with polls in flight: at most as many as there are workers.
    running: Vec<Arc<GroupInner>>,
    /// No group that competes is behind this. Never goes back.
    least: Virtual,
}

/// A group's runnable tasks, and where it stands. Touched only by who holds the lane's lock.
pub(crate) struct GroupQueue {
    tasks: MpscQueue<Header>,
    standing: UnsafeCell<Standing>,
}

#[derive(Clone, Copy, Default)]
struct Standing {
    /// Runnable tasks.
    len: usize,
    virtual_time: Virtual,
    /// The key under which the group waits, while it does.
    deadline: Virtual,
    /// Polls in flight.
    polls: u64,
    /// The sum of the times at which they began or were last charged.
    began: u128,
    /// What the group adds to its tenant's sum while it competes.
    active_weight: usize,
}

// SAFETY: both fields are touched under the lane's lock only (the fields are private, and `Lane` is the
// only one to use them).
unsafe impl Sync for GroupQueue {}
// SAFETY: tasks are `Send`.
unsafe impl Send for GroupQueue {}

impl GroupQueue {
    pub(crate) fn new() -> Self {
        Self {
            tasks: MpscQueue::new_with_stub(TaskRef::stub()),
            standing: UnsafeCell::new(Standing::default()),
        }
    }
}

/// What a group's weight comes to, as a fraction.
struct Weight {
    over: u128,
    under: u128,
}

impl Weight {
    fn of(group: &GroupInner) -> Self {
        let own = group.weight.load(Relaxed) as u128;
        match &group.tenant {
            None => Self {
                over: own,
                under: 1,
            },
            Some(tenant) => Self {
                over: own * u128::from(tenant.weight()),
                // At least the group itself competes.
                under: (tenant.active_weight().load(Relaxed) as u128).max(own),
            },
        }
    }

    fn scale(&self, nanoseconds: u128) -> Virtual {
        nanoseconds * UNITS * self.under / self.over
    }
}

impl GroupInner {
    /// Reads and changes the standing. Under the lane's lock; `f` must not call back.
    fn standing<R>(&self, f: impl FnOnce(&mut Standing) -> R) -> R {
        self.queue.standing.with_mut(|standing| {
            // SAFETY: the caller holds the lane's lock, and `f` does not get at the field again.
            f(unsafe { &mut *standing })
        })
    }

    fn see(&self) -> Standing {
        self.standing(|standing| *standing)
    }

    fn slice_units(&self) -> Virtual {
        Weight::of(self).scale(u128::from(self.slice()))
    }

    /// The virtual time with what is in flight.
    fn virtual_now(&self, now: u64) -> Virtual {
        let standing = self.see();
        let in_flight =
            (u128::from(standing.polls) * u128::from(now)).saturating_sub(standing.began);
        standing.virtual_time + Weight::of(self).scale(in_flight)
    }

    fn deadline_now(&self, now: u64) -> Virtual {
        self.virtual_now(now) + self.slice_units()
    }
}

impl Lane {
    pub(crate) fn new() -> Self {
        Self {
            turns: Mutex::new(Turns::default()),
            len: AtomicUsize::new(0),
        }
    }

    /// Runnable tasks, as far as anybody can tell without the lock.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Queues a task of `group` at `now`. The caller notifies the executor afterwards.
    pub(crate) fn push(&self, group: &Arc<GroupInner>, task: TaskRef, now: u64) {
        task.header().set_queued_at(now);
        let mut turns = self.turns.lock();
        self.push_locked(&mut turns, group, task);
    }

    fn push_locked(&self, turns: &mut Turns, group: &Arc<GroupInner>, task: TaskRef) {
        let before = group.see();
        if before.len == 0 && before.polls == 0 {
            turns.activate(group);
        }
        group.queue.tasks.enqueue(task);
        group.standing(|standing| standing.len += 1);
        if before.len == 0 && before.polls == 0 {
            turns.wait(group);
        }
        self.len.fetch_add(1, Relaxed);
    }

    /// Takes the task whose turn it is at `now`, and counts a poll of it in flight.
    pub(crate) fn pop(&self, now: u64) -> Option<TaskRef> {
        if self.len() == 0 {
            // Whoever queues after this look notifies.
            return None;
        }
        let mut turns = self.turns.lock();
        let group = turns.next(now)?;
        let task = self.take(&group);
        group.standing(|standing| {
            standing.polls += 1;
            standing.began += u128::from(now);
        });
        Some(task)
    }

    /// Takes the oldest task of a group that has one. Under the lock.
    fn take(&self, group: &GroupInner) -> TaskRef {
        // SAFETY: takes and pushes both happen under the lock, so nobody else takes.
        let task = unsafe { group.queue.tasks.try_dequeue_unchecked() }
            .expect("a runnable group has a task, and no push is half done under the lock");
        group.standing(|standing| standing.len -= 1);
        self.len.fetch_sub(1, Relaxed);
        task
    }

    /// Charges a poll of `group` that goes on: it has used `cpu` nanoseconds since it began, or was last
    /// charged, at `began`. Whether somebody else's turn has come.
    pub(crate) fn charge(&self, group: &Arc<GroupInner>, cpu: u64, began: u64, now: u64) -> bool {
        let mut turns = self.turns.lock();
        turns.charge(group, cpu);
        group.standing(|standing| {
            standing.began = standing.began + u128::from(now) - u128::from(began);
        });
        turns.advance(now);
        // A task of the same group is next after this one in any case.
        group.see().len > 0 || turns.has_earlier_than(group.deadline_now(now), now)
    }

    /// Ends a poll of `group`: it has used `cpu` nanoseconds since it began, or was last charged, at
    /// `began`. `requeue` is its task, if that was woken meanwhile; the caller then notifies.
    pub(crate) fn finish(
        &self,
        group: &Arc<GroupInner>,
        cpu: u64,
        began: u64,
        now: u64,
        requeue: Option<TaskRef>,
    ) {
        let mut turns = self.turns.lock();
        turns.charge(group, cpu);
        let standing = group.standing(|standing| {
            standing.polls -= 1;
            standing.began -= u128::from(began);
            *standing
        });
        if let Some(task) = requeue {
            task.header().set_queued_at(now);
            group.queue.tasks.enqueue(task);
            group.standing(|standing| standing.len += 1);
            self.len.fetch_add(1, Relaxed);
        }
        if standing.polls == 0 {
            turns.running.retain(|running| !Arc::ptr_eq(running, group));
            if group.see().len > 0 {
                turns.wait(group);
            } else {
                deactivate(group);
            }
        }
        turns.advance(now);
    }

    /// Takes any task, for nobody to run: for `close`.
    pub(crate) fn drain(&self) -> Option<TaskRef> {
        let mut turns = self.turns.lock();
        if let Some((_, group)) = turns.waiting.pop_first() {
            let task = self.take(&group);
            if group.see().len > 0 {
                turns.wait(&group);
            } else {
                deactivate(&group);
            }
            return Some(task);
        }
        let group = turns
            .running
            .iter()
            .find(|group| group.see().len > 0)?
            .clone();
        Some(self.take(&group))
    }
}

impl Turns {
    /// An idle group begins to compete.
    fn activate(&mut self, group: &GroupInner) {
        if let Some(tenant) = &group.tenant {
            let weight = group.weight.load(Relaxed);
            tenant.active_weight().fetch_add(weight, Relaxed);
            group.standing(|standing| standing.active_weight = weight);
        }
        let floor = self.least.saturating_sub(group.slice_units());
        group.standing(|standing| standing.virtual_time = standing.virtual_time.max(floor));
    }

    /// A group with tasks and without polls in flight waits for its turn.
    fn wait(&mut self, group: &Arc<GroupInner>) {
        let slice = group.slice_units();
        let deadline = group.standing(|standing| {
            standing.deadline = standing.virtual_time + slice;
            standing.deadline
        });
        self.waiting.insert((deadline, group.id.0), group.clone());
    }

    /// The group whose turn it is; it is among the running ones now.
    fn next(&mut self, now: u64) -> Option<Arc<GroupInner>> {
        let first = self.waiting.first_key_value().map(|(key, _)| key.0);
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

    fn start_first(&mut self) -> Option<Arc<GroupInner>> {
        let (_, group) = self.waiting.pop_first()?;
        self.running.push(group.clone());
        Some(group)
    }

    /// Of the groups with polls in flight and further tasks, the one with the earliest deadline.
    fn earliest_running(&self, now: u64) -> Option<(Virtual, usize)> {
        self.running
            .iter()
            .enumerate()
            .filter(|(_, group)| group.see().len > 0)
            .map(|(at, group)| (group.deadline_now(now), at))
            .min()
    }

    fn has_earlier_than(&self, deadline: Virtual, now: u64) -> bool {
        self.waiting
            .first_key_value()
            .is_some_and(|(key, _)| key.0 < deadline)
            || self
                .earliest_running(now)
                .is_some_and(|(earliest, _)| earliest < deadline)
    }

    fn charge(&mut self, group: &GroupInner, cpu: u64) {
        let units = Weight::of(group).scale(u128::from(cpu));
        group.standing(|standing| standing.virtual_time += units);
    }

    /// Moves `least` to where the group is that is furthest behind.
    fn advance(&mut self, now: u64) {
        let waiting = self
            .waiting
            .first_key_value()
            .map(|(_, group)| group.see().virtual_time);
        let running = self
            .running
            .iter()
            .map(|group| group.virtual_now(now))
            .min();
        let behind = match (waiting, running) {
            (Some(waiting), Some(running)) => waiting.min(running),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => return,
        };
        self.least = self.least.max(behind);
    }
}

/// A group stops competing.
fn deactivate(group: &GroupInner) {
    if let Some(tenant) = &group.tenant {
        let weight = group.standing(|standing| core::mem::take(&mut standing.active_weight));
        tenant.active_weight().fetch_sub(weight, Relaxed);
    }
}

impl Tenant {
    /// The weights of those of its groups that compete. Changed under the lane's lock.
    fn active_weight(&self) -> &AtomicUsize {
        &self.0.active_weight
    }
}
