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
//! is served earlier, and for a shorter time. So is a group that wakes, if its polls were short of late: its first turn
//! is expected to take no longer than they did. Else it would wait for every group whose slice begins at a virtual time
//! that is a bit earlier than its own, which among hundreds of groups that spin in step is a turn of all of them,
//! although it asks for less than its share. Within a group it is first in, first out.
//!
//! **Sleep.** A group that becomes runnable starts at `max(its own virtual time, least - a slice)`, where
//! `least` is that of the groups that compete: it is served soon, a debt stays a debt, and sleep is not
//! saved up. One that was never charged starts at `least` once new groups use more than all the others: else a
//! stream of them, each done within its first slice, would keep everybody else from theirs. The slice is the
//! default one or its own, whichever is longer, so that a short slice is not
//! paid for with less credit. A core that other processes take from a running group is as good as asleep:
//! what is in flight counts by the clock, and a charge that turns out smaller leaves the group no further
//! behind than a sleeper.
//!
//! **Tenants.** A tenant's weight is shared by those of its groups that compete, by their weights: a group
//! counts with `tenant weight * group weight / sum of group weights`. Sleep is not saved up by taking turns at
//! it, either: a tenant has a virtual time of its own, what its groups have used divided by its weight, and a
//! group of it that becomes runnable starts at `max(its own, max(tenant's, least) - a slice)`, where the slice is
//! divided by the tenant's whole weight. However many of its groups wake, they are one slice ahead together.
//!
//! **Slices.** Where preemption points come by time ([`Pace::Time`]), a poll keeps its slice, as
//! nearly as the clock can tell, except from groups with a shorter slice: theirs is the earlier turn that
//! they have bought. The slice that a poll keeps adapts ([`Stretch`]): shorter where many wait for a turn,
//! longer where few do and none of them has just woken. Turns are ordered by the slices as they were set.
//!
//! **Rates.** A group whose [rate](super::rate), or whose tenant's, is used up does not compete: it is parked
//! until a time, its tasks with it. Whoever takes a turn, or asks for a verdict, lets those go on whose time
//! has come; a worker that sleeps does so until the first of them.
//!
//! The protocol:
//!
//! 1. `push`: the task joins its group's queue. A group that was idle gets its virtual time as above.
//! 2. `pop`: the group whose turn it is gives its oldest task and counts one poll in flight. One whose polls were short
//!    of late gives several, which the worker polls as one [turn](super::turn).
//! 3. `charge`, at a preemption point: adds to the virtual time, and says whether somebody else's turn has
//!    come.
//! 4. `finish`, after the turn: adds the rest; its tasks may join their group's queue again. It may take the next turn
//!    at the same time. Where that is one of the same group, of as many tasks as joined the queue, nobody is notified: a
//!    worker that found the lane empty since they left it finds no more there now.
//! 5. The number of runnable tasks is raised under the lock and read without: the executor's notification
//!    orders the two as for any queue.

use super::{
    DEFAULT_SLICE, GroupInner, LONGEST_TICK, SHORTEST_SLICE, Tenant,
    rate::Budget,
    turn::{LONGEST_TURN, Turn},
};
use crate::{
    planted::{Planted, is_planted},
    sync::{
        Arc, AtomicUsize, Mutex,
        Ordering::{Acquire, Relaxed, Release},
        UnsafeCell,
    },
    task::TaskRef,
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

/// Virtual time: nanoseconds divided by a weight, in units small enough for the largest weight.
type Virtual = u128;

/// Units of virtual time in a nanosecond at weight 1.
const UNITS: u128 = 1 << 32;

pub(crate) struct Lane {
    turns: Mutex<Turns>,
    /// Runnable tasks of all groups that are not parked.
    len: AtomicUsize,
    /// Parked groups. Changed under the lock.
    parked: AtomicUsize,
    /// Not zero if somebody was turned away although groups with polls in flight have further tasks: their rates
    /// were used up. Changed under the lock.
    held_back: AtomicUsize,
    /// The shortest slice among the groups that compete, as it is kept now, nanoseconds; `usize::MAX`
    /// without any. Changed under the lock.
    shortest: AtomicUsize,
    /// Workers that take turns.
    workers: AtomicUsize,
}

/// How much of its slice a poll keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stretch {
    /// At most one group per worker waits, and all that wait had a turn before.
    Double,
    Whole,
    /// Many wait: more than [`MANY`] per worker.
    Half,
    /// More than four times as many.
    Quarter,
}

/// Groups that wait, per worker, from which on slices are shorter. Guessed; the suite `latency` of
/// `hart-bench` shows what it does to those who wait and to what the others get done.
const MANY: usize = 8;

/// How much more than all others new groups may use before further ones get no credit. Guessed: a burst of eight
/// is served at once.
const FLOOD: u64 = 8 * DEFAULT_SLICE.as_nanos() as u64;

impl Stretch {
    fn of(waiting: usize, woken: usize, workers: usize) -> Self {
        let workers = workers.max(1);
        if waiting > 4 * MANY * workers {
            Self::Quarter
        } else if waiting > MANY * workers {
            Self::Half
        } else if woken == 0 && waiting <= workers {
            Self::Double
        } else {
            Self::Whole
        }
    }

    /// What is kept of a slice of so many nanoseconds: not less than the shortest slice there is.
    fn apply(self, slice: u64) -> u64 {
        let kept = match self {
            Self::Double => slice.saturating_mul(2),
            Self::Whole => slice,
            Self::Half => slice / 2,
            Self::Quarter => slice / 4,
        };
        kept.max(SHORTEST_SLICE.as_nanos() as u64)
    }
}

/// How long a turn of several polls should be, nanoseconds: long beside what taking a turn costs, short beside a slice.
/// Guessed.
#[cfg(not(shuttle))]
const TURN: u64 = 8_000;
/// There the clock is not what is tested.
#[cfg(shuttle)]
const TURN: u64 = u64::MAX / 2;

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

#[derive(Default)]
struct Turns {
    /// Runnable groups with no poll in flight, by virtual deadline.
    waiting: BTreeMap<(Virtual, usize), Arc<GroupInner>>,
    /// Groups with polls in flight: at most as many as there are workers.
    running: Vec<Arc<GroupInner>>,
    /// Runnable groups whose rate is used up, by when it is not any more.
    parked: BTreeMap<(u64, usize), Arc<GroupInner>>,
    /// The slices of the groups that compete, and how many have each. Few are different.
    slices: Vec<(usize, usize)>,
    /// Of the waiting groups, those that have had no turn since they woke.
    woken: usize,
    /// Nanoseconds that groups used in their first slice beyond what others used meanwhile.
    flood: u64,
    /// No group that competes is behind this. Never goes back.
    least: Virtual,
}

/// A group's runnable tasks, and where it stands. Touched only by who holds the lane's lock.
pub(crate) struct GroupQueue {
    tasks: UnsafeCell<Tasks>,
    standing: UnsafeCell<Standing>,
}

#[derive(Default)]
struct Tasks {
    /// In the order in which they became runnable.
    queued: VecDeque<TaskRef>,
    /// Tasks that were part of a turn which ended before theirs: they go first.
    older: VecDeque<TaskRef>,
}

/// Runnable tasks for which an idle group keeps room. Guessed: 2 KiB.
const ROOM_KEPT: usize = 256;

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
    /// Its slice as it is counted while it competes.
    active_slice: usize,
    budget: Budget,
    /// Since when it is parked.
    parked: Option<u64>,
    /// It has had no turn since it woke.
    woken: bool,
    /// How long its polls were of late, nanoseconds; zero as long as nobody knows.
    poll_time: u64,
}

/// Where a tenant stands.
#[derive(Default)]
pub(super) struct TenantStanding {
    /// What its groups have used, divided by its weight; no less than `least` was when it was last charged.
    virtual_time: Virtual,
    budget: Budget,
}

// SAFETY: all fields are touched under the lane's lock only (the fields are private, and `Lane` is the
// only one to use them).
unsafe impl Sync for GroupQueue {}
// SAFETY: tasks are `Send`.
unsafe impl Send for GroupQueue {}

impl GroupQueue {
    pub(crate) fn new() -> Self {
        Self {
            tasks: UnsafeCell::new(Tasks::default()),
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
        // Nothing that is real comes near the end of the range.
        let units = nanoseconds.saturating_mul(UNITS).saturating_mul(self.under);
        // Short times and usual weights: a division of words is many times faster.
        match (u64::try_from(units), u64::try_from(self.over)) {
            (Ok(units), Ok(over)) => u128::from(units / over),
            _ => units / self.over,
        }
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

    /// Its runnable tasks. Under the lane's lock; `f` must not call back.
    fn tasks<R>(&self, f: impl FnOnce(&mut Tasks) -> R) -> R {
        self.queue.tasks.with_mut(|tasks| {
            // SAFETY: as in `standing`.
            f(unsafe { &mut *tasks })
        })
    }

    fn see(&self) -> Standing {
        self.standing(|standing| *standing)
    }

    fn slice_units(&self) -> Virtual {
        Weight::of(self).scale(u128::from(self.slice()))
    }

    /// What its next turn is expected to take: a slice, or less if it has just woken and its polls are short.
    fn request_units(&self) -> Virtual {
        let slice = self.slice();
        let standing = self.see();
        let request = match standing.poll_time {
            0 => slice,
            _ if !standing.woken => slice,
            poll_time => poll_time.min(slice),
        };
        Weight::of(self).scale(u128::from(request))
    }

    /// How far behind `least` a group may be that did not use its turns.
    fn credit_units(&self) -> Virtual {
        let slice = self.slice().max(DEFAULT_SLICE.as_nanos() as u64);
        Weight::of(self).scale(u128::from(slice))
    }

    /// What is in flight at `now` and not charged yet, nanoseconds by the clock.
    fn in_flight(&self, now: u64) -> u128 {
        let standing = self.see();
        (u128::from(standing.polls) * u128::from(now)).saturating_sub(standing.began)
    }

    /// The virtual time with what is in flight.
    fn virtual_now(&self, now: u64) -> Virtual {
        self.see().virtual_time + Weight::of(self).scale(self.in_flight(now))
    }

    fn deadline_now(&self, now: u64) -> Virtual {
        self.virtual_now(now) + self.slice_units()
    }

    /// Charges the rates that it is subject to, and its tenant.
    fn charge_others(&self, cpu: u64, began: u64, now: u64, least: Virtual) {
        let rate = self.rate.load(Relaxed);
        if rate > 0 {
            self.standing(|standing| standing.budget.charge(cpu, rate, began, now));
        }
        if let Some(tenant) = &self.tenant {
            tenant.charge(cpu, began, now, least);
        }
    }

    /// Until when its own rate or its tenant's is used up, if one is.
    fn exhausted_until(&self, now: u64) -> Option<u64> {
        let rate = self.rate.load(Relaxed);
        let own = (rate > 0)
            .then(|| self.standing(|standing| standing.budget.exhausted_until(rate, now)))
            .flatten();
        let tenants = self
            .tenant
            .as_ref()
            .and_then(|tenant| tenant.exhausted_until(now));
        own.max(tenants)
    }
}

impl Lane {
    pub(crate) fn new() -> Self {
        Self {
            turns: Mutex::new(Turns::default()),
            len: AtomicUsize::new(0),
            parked: AtomicUsize::new(0),
            held_back: AtomicUsize::new(0),
            shortest: AtomicUsize::new(usize::MAX),
            workers: AtomicUsize::new(0),
        }
    }

    /// So many workers take turns from now on.
    pub(crate) fn set_workers(&self, workers: usize) {
        self.workers.store(workers, Relaxed);
    }

    /// What polls of `group` have used at `now` since they began, or were last charged: nanoseconds by the
    /// clock.
    pub(crate) fn in_flight(&self, group: &GroupInner, now: u64) -> u64 {
        let _turns = self.turns.lock();
        u64::try_from(group.in_flight(now)).unwrap_or(u64::MAX)
    }

    /// Runnable tasks that wait for nothing but their turn, as far as anybody can tell without the lock.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Whether it is worth asking for a task: somebody waits for a turn, or may have waited for long enough.
    pub(crate) fn may_have_tasks(&self) -> bool {
        self.len() > 0 || self.parked.load(Relaxed) > 0
    }

    /// The shortest slice among the groups that compete, as it is kept now, nanoseconds.
    pub(crate) fn shortest_slice(&self) -> Option<u64> {
        let shortest = self.shortest.load(Relaxed);
        (shortest != usize::MAX).then_some(shortest as u64)
    }

    /// When the first group may go on, or have more polls, whose rate is used up.
    pub(crate) fn next_refill(&self) -> Option<u64> {
        if self.parked.load(Relaxed) == 0 && self.held_back.load(Relaxed) == 0 {
            // Whoever parks one after this look notifies, and whoever is turned away looks here afterwards.
            return None;
        }
        let turns = self.turns.lock();
        let parked = turns.parked.first_key_value().map(|(key, _)| key.0);
        let running = turns.held_back().min();
        if running.is_none() {
            self.held_back.store(0, Relaxed);
        }
        parked.into_iter().chain(running).min()
    }

    /// Lets `group` go on if it is parked and its rate, which was changed, allows it; whether it was parked.
    pub(crate) fn reconsider(&self, group: &Arc<GroupInner>, now: u64) -> bool {
        let mut turns = self.turns.lock();
        let key = turns
            .parked
            .iter()
            .find(|(_, parked)| Arc::ptr_eq(parked, group))
            .map(|(key, _)| *key);
        let Some(group) = key.and_then(|key| turns.parked.remove(&key)) else {
            return false;
        };
        let since = self.rejoin(&mut turns, &group, now);
        group.counts.throttled(now.saturating_sub(since));
        self.line_up(&mut turns, &group, now);
        true
    }

    /// Lets parked groups compete whose time has come; says how many. The caller notifies.
    pub(crate) fn refill(&self, now: u64) -> usize {
        if self.parked.load(Relaxed) == 0 {
            return 0;
        }
        self.unpark(&mut self.turns.lock(), now)
    }

    /// Queues a task of `group` at `now`. The caller notifies the executor afterwards.
    pub(crate) fn push(&self, group: &Arc<GroupInner>, task: TaskRef, now: u64) {
        task.header().set_queued_at(now);
        let mut turns = self.turns.lock();
        let before = group.see();
        let was_idle = before.len == 0 && before.polls == 0;
        if was_idle {
            // Who runs alone is not charged for long: what it has used counts before others are compared.
            turns.advance(now);
            self.activate(&mut turns, group, now);
            group.standing(|standing| standing.woken = true);
        }
        group.tasks(|tasks| tasks.queued.push_back(task));
        group.standing(|standing| standing.len += 1);
        if before.parked.is_none() {
            self.len.fetch_add(1, Relaxed);
        }
        if was_idle {
            self.line_up(&mut turns, group, now);
        }
    }

    /// Takes the task whose turn it is at `now`, and counts a poll in flight. Up to `most` tasks of its group together
    /// may be taken for one turn, of which all but the first are in `turn` then.
    pub(crate) fn pop(&self, now: u64, turn: &Turn, most: usize) -> Option<TaskRef> {
        if !self.may_have_tasks() {
            // Whoever queues after this look notifies.
            return None;
        }
        self.pop_locked(&mut self.turns.lock(), now, turn, most)
    }

    fn pop_locked(&self, turns: &mut Turns, now: u64, turn: &Turn, most: usize) -> Option<TaskRef> {
        self.unpark(turns, now);
        let group = loop {
            let Some(group) = turns.next(now) else {
                if turns.held_back().next().is_some() {
                    // Whoever is turned away looks at `next_refill` before it sleeps.
                    self.held_back.store(1, Relaxed);
                }
                return None;
            };
            if group.see().polls > 0 || group.exhausted_until(now).is_none() {
                break group;
            }
            // Another group of its tenant has used up the tenant's rate while this one waited.
            turns
                .running
                .retain(|running| !Arc::ptr_eq(running, &group));
            self.line_up(turns, &group, now);
        };
        let (task, _) = self.take_turn(&group, now, turn, most);
        self.publish(turns);
        Some(task)
    }

    /// Takes the oldest tasks of a group that has one, for a turn; says how many. Under the lock.
    fn take_turn(
        &self,
        group: &GroupInner,
        now: u64,
        turn: &Turn,
        most: usize,
    ) -> (TaskRef, usize) {
        let standing = group.see();
        let fit = match standing.poll_time {
            0 => 1,
            poll_time => usize::try_from(TURN / poll_time).unwrap_or(usize::MAX),
        };
        // The other workers get theirs.
        let part = standing.len.div_ceil(self.workers.load(Relaxed).max(1));
        let size = fit.min(part).min(most).clamp(1, LONGEST_TURN);
        let first = self.dequeue(group);
        if size > 1 {
            turn.begin(size - 1, || self.dequeue(group));
        }
        group.standing(|standing| {
            standing.len -= size;
            standing.polls += 1;
            standing.began += u128::from(now);
        });
        // Release: pairs with the Acquire in `reclaim`: who finds none here finds them in the turn.
        self.len.fetch_sub(size, Release);
        (first, size)
    }

    /// Takes the oldest task of a group that has one. Under the lock. The caller counts.
    fn dequeue(&self, group: &GroupInner) -> TaskRef {
        let oldest = group.tasks(|tasks| match tasks.older.pop_front() {
            None => tasks.queued.pop_front(),
            older => older,
        });
        oldest.expect("a runnable group has a task")
    }

    /// Takes the oldest task of a group that has one, for nobody to run. Under the lock.
    fn take(&self, group: &GroupInner) -> TaskRef {
        let task = self.dequeue(group);
        group.standing(|standing| standing.len -= 1);
        self.len.fetch_sub(1, Relaxed);
        task
    }

    /// Ends a turn, which has a poll in flight: its tasks are in the lane again. Under the lock.
    fn give_back(&self, group: &GroupInner, turn: &Turn, now: u64) -> usize {
        let given = turn.end(
            |task| group.tasks(|tasks| tasks.older.push_back(task)),
            |task| {
                task.header().set_queued_at(now);
                group.tasks(|tasks| tasks.queued.push_back(task));
            },
        );
        if given > 0 {
            group.standing(|standing| standing.len += given);
            self.len.fetch_add(given, Relaxed);
        }
        given
    }

    /// Takes the tasks of a worker's turn away from it, into the lane; says how many. The caller notifies.
    pub(crate) fn reclaim(&self, turn: &Turn, now: u64) -> usize {
        // Acquire: whoever saw in `len` that tasks were taken from the lane sees the turn that has them.
        crate::sync::fence(Acquire);
        if turn.len() == 0 {
            return 0;
        }
        let _turns = self.turns.lock();
        let Some(group) = turn.group() else {
            return 0;
        };
        self.give_back(&group, turn, now)
    }

    /// Whether any task is in the lane or in one of `turns`. To be asked where [`len`](Self::len) is zero and that could
    /// be because tasks are on their way from the one to the other.
    pub(crate) fn has_tasks<'a>(&self, mut turns: impl Iterator<Item = &'a Turn>) -> bool {
        let _turns = self.turns.lock();
        self.len() > 0 || turns.any(|turn| turn.len() > 0)
    }

    /// Charges a poll of `group` that goes on: it has used `cpu` nanoseconds since it began, or was last
    /// charged, at `began`. Whether somebody else's turn has come.
    pub(crate) fn charge(
        &self,
        group: &Arc<GroupInner>,
        cpu: u64,
        began: u64,
        now: u64,
        pace: Pace,
        turn: &Turn,
    ) -> Charged {
        let mut turns = self.turns.lock();
        // This poll is longer than those of its group usually are.
        let gave_back = self.give_back(group, turn, now);
        turns.charge(group, cpu, began, now);
        group.standing(|standing| {
            standing.began = standing.began + u128::from(now) - u128::from(began);
        });
        turns.keep_up(group, now);
        self.unpark(&mut turns, now);
        turns.advance(now);
        let is_others_turn = self.is_others_turn(&turns, group, now, pace);
        Charged {
            is_others_turn,
            gave_back,
        }
    }

    fn is_others_turn(&self, turns: &Turns, group: &Arc<GroupInner>, now: u64, pace: Pace) -> bool {
        if group.exhausted_until(now).is_some() {
            return true;
        }
        let deadline = group.deadline_now(now);
        match pace {
            Pace::Time(ran) if !self.is_used_up(turns, group, ran) => {
                turns.has_earlier_with_shorter_slice(deadline, group.slice())
            }
            // A task of the same group is next after this one in any case.
            _ => group.see().len > 0 || turns.has_earlier_than(deadline, now),
        }
    }

    /// Whether a poll that has gone on for `ran` has used its slice, as nearly as a clock can tell that
    /// ticks once in the shortest slice, or once in [`LONGEST_TICK`]. Rounded down by three quarters of a tick (guessed; the suite
    /// `latency` of `hart-bench` would settle it): who waits should rather be early than a tick late.
    fn is_used_up(&self, turns: &Turns, group: &GroupInner, ran: u64) -> bool {
        let longest = LONGEST_TICK.as_nanos() as u64;
        let tick = self.shortest_slice().unwrap_or(0).min(longest);
        ran.saturating_add(tick / 4 * 3) >= self.stretch(turns).apply(group.slice())
    }

    fn stretch(&self, turns: &Turns) -> Stretch {
        Stretch::of(turns.waiting.len(), turns.woken, self.workers.load(Relaxed))
    }

    /// Ends a turn of `group`. `requeue` is the task that was polled last, if that was woken meanwhile; further ones are
    /// in `turn`. If `most` is not zero it takes the tasks whose turn it is then, as [`pop`](Self::pop) would, at one lock
    /// for both.
    pub(crate) fn finish(
        &self,
        group: &Arc<GroupInner>,
        used: Used,
        requeue: Option<TaskRef>,
        turn: &Turn,
        most: usize,
    ) -> Finished {
        let Used {
            cpu,
            charged,
            began,
            now,
            polls,
        } = used;
        let mut turns = self.turns.lock();
        turns.charge(group, cpu, charged, now);
        let polls = group.standing(|standing| {
            let poll_time = now.saturating_sub(began) / polls;
            standing.poll_time = match standing.poll_time {
                0 => poll_time,
                // Slowly down and fast up: a turn of several polls is for those that are reliably short.
                before => poll_time.max((before * 7 + poll_time) / 8),
            }
            .max(1);
            standing.polls -= 1;
            standing.began -= u128::from(charged);
            standing.polls
        });
        turns.keep_up(group, now);
        let mut requeued = self.give_back(group, turn, now);
        if let Some(task) = requeue {
            task.header().set_queued_at(now);
            group.tasks(|tasks| tasks.queued.push_back(task));
            group.standing(|standing| standing.len += 1);
            self.len.fetch_add(1, Relaxed);
            requeued += 1;
        }
        let mut notify = requeued > 0;
        if most > 0 {
            self.unpark(&mut turns, now);
        }
        if most > 0 && turns.has_next_turn(group, now) {
            // Its turn goes on: it stays among the running ones.
            let (task, taken) = self.take_turn(group, now, turn, most);
            turns.advance(now);
            return Finished {
                next: Some(task),
                notify: requeued > taken,
            };
        }
        if polls == 0 {
            // While it still counts: if nobody else competes, whoever comes later starts where it is now.
            turns.advance(now);
            turns.running.retain(|running| !Arc::ptr_eq(running, group));
            if group.see().len > 0 {
                self.line_up(&mut turns, group, now);
                // Those who sleep do not know for how long, if it is parked now.
                notify |= group.see().parked.is_some();
            } else {
                self.deactivate(&mut turns, group);
            }
        }
        turns.advance(now);
        let next = if most > 0 {
            self.pop_locked(&mut turns, now, turn, most)
        } else {
            None
        };
        Finished { next, notify }
    }

    /// Charges `cpu` nanoseconds that were used for `group` outside of its polls.
    pub(crate) fn charge_aside(&self, group: &Arc<GroupInner>, cpu: u64, now: u64) {
        let mut turns = self.turns.lock();
        let waits = turns.take_back(group);
        turns.charge(group, cpu, now, now);
        if waits {
            turns.wait(group);
        }
        turns.advance(now);
    }

    /// Takes any task, for nobody to run: for `close`.
    pub(crate) fn drain(&self) -> Option<TaskRef> {
        let mut turns = self.turns.lock();
        while let Some((_, group)) = turns.parked.pop_first() {
            self.rejoin(&mut turns, &group, 0);
            turns.wait(&group);
        }
        if let Some(group) = turns.pop_waiting() {
            let task = self.take(&group);
            if group.see().len > 0 {
                turns.wait(&group);
            } else {
                self.deactivate(&mut turns, &group);
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

    // === who competes ===

    /// A group begins to compete: an idle one, or one that was parked.
    fn activate(&self, turns: &mut Turns, group: &GroupInner, now: u64) {
        if let Some(tenant) = &group.tenant {
            let weight = group.weight.load(Relaxed);
            tenant.active_weight().fetch_add(weight, Relaxed);
            group.standing(|standing| standing.active_weight = weight);
        }
        let slice = group.slice.load(Relaxed);
        group.standing(|standing| standing.active_slice = slice);
        turns.add_slice(slice);
        self.publish(turns);
        if is_planted(Planted::SleepForgives) {
            let floor = turns.least.saturating_sub(group.credit_units());
            group.standing(|standing| standing.virtual_time = floor);
        }
        if let Some(tenant) = &group.tenant {
            let start = tenant.start(turns.least);
            group.standing(|standing| standing.virtual_time = standing.virtual_time.max(start));
        }
        turns.keep_up(group, now);
    }

    /// A group stops competing.
    fn deactivate(&self, turns: &mut Turns, group: &GroupInner) {
        group.tasks(|tasks| {
            if tasks.queued.is_empty() && tasks.queued.capacity() > ROOM_KEPT {
                tasks.queued = VecDeque::new();
            }
        });
        if let Some(tenant) = &group.tenant {
            let weight = group.standing(|standing| core::mem::take(&mut standing.active_weight));
            tenant.active_weight().fetch_sub(weight, Relaxed);
        }
        turns.remove_slice(group.see().active_slice);
        self.publish(turns);
    }

    fn publish(&self, turns: &Turns) {
        let shortest = turns.slices.iter().map(|(slice, _)| *slice).min();
        let stretch = self.stretch(turns);
        let kept = shortest.map_or(usize::MAX, |slice| {
            usize::try_from(stretch.apply(slice as u64)).unwrap_or(usize::MAX)
        });
        // The load keeps the usual case from writing a line that every enqueue reads.
        if self.shortest.load(Relaxed) != kept {
            self.shortest.store(kept, Relaxed);
        }
    }

    /// A group with tasks and without polls in flight waits for its turn, or until its rate allows one.
    fn line_up(&self, turns: &mut Turns, group: &Arc<GroupInner>, now: u64) {
        let Some(until) = group.exhausted_until(now) else {
            // It may have been given another weight or slice since it began to compete.
            if let Some(tenant) = &group.tenant {
                let weight = group.weight.load(Relaxed);
                let before = group
                    .standing(|standing| core::mem::replace(&mut standing.active_weight, weight));
                tenant
                    .active_weight()
                    .fetch_add(weight.wrapping_sub(before), Relaxed);
            }
            let slice = group.slice.load(Relaxed);
            let before =
                group.standing(|standing| core::mem::replace(&mut standing.active_slice, slice));
            if before != slice {
                turns.remove_slice(before);
                turns.add_slice(slice);
            }
            turns.wait(group);
            self.publish(turns);
            return;
        };
        self.deactivate(turns, group);
        let tasks = group.standing(|standing| {
            standing.parked = Some(now);
            standing.len
        });
        self.len.fetch_sub(tasks, Relaxed);
        self.parked.fetch_add(1, Relaxed);
        turns.parked.insert((until, group.id.0), group.clone());
    }

    /// Lets parked groups compete whose time has come; says how many.
    fn unpark(&self, turns: &mut Turns, now: u64) -> usize {
        let mut unparked = 0;
        while let Some(first) = turns.parked.first_entry() {
            if first.key().0 > now {
                break;
            }
            let group = first.remove();
            let since = self.rejoin(turns, &group, now);
            group.counts.throttled(now.saturating_sub(since));
            // Parked again, where its tenant's rate is what is used up now.
            self.line_up(turns, &group, now);
            unparked += 1;
        }
        unparked
    }

    /// A group that was parked, and is in no list now, competes again; returns since when it was.
    fn rejoin(&self, turns: &mut Turns, group: &GroupInner, now: u64) -> u64 {
        let (since, tasks) = group.standing(|standing| (standing.parked.take(), standing.len));
        self.parked.fetch_sub(1, Relaxed);
        self.len.fetch_add(tasks, Relaxed);
        self.activate(turns, group, now);
        since.unwrap_or_default()
    }
}

impl Turns {
    fn add_slice(&mut self, slice: usize) {
        match self.slices.iter_mut().find(|(other, _)| *other == slice) {
            Some((_, count)) => *count += 1,
            None => self.slices.push((slice, 1)),
        }
    }

    fn remove_slice(&mut self, slice: usize) {
        if let Some(at) = self.slices.iter().position(|(other, _)| *other == slice) {
            self.slices[at].1 -= 1;
            if self.slices[at].1 == 0 {
                self.slices.swap_remove(at);
            }
        }
    }

    /// A group with tasks and without polls in flight waits for its turn.
    fn wait(&mut self, group: &Arc<GroupInner>) {
        let request = group.request_units();
        let deadline = group.standing(|standing| {
            standing.deadline = standing.virtual_time + request;
            standing.deadline
        });
        self.waiting.insert((deadline, group.id.0), group.clone());
        self.woken += usize::from(group.see().woken);
    }

    fn pop_waiting(&mut self) -> Option<Arc<GroupInner>> {
        let (_, group) = self.waiting.pop_first()?;
        self.woken -= usize::from(group.see().woken);
        Some(group)
    }

    /// Takes a group out of those that wait, whether or not its turn has come; `false` if it is not among
    /// them.
    fn take_back(&mut self, group: &GroupInner) -> bool {
        let standing = group.see();
        let waited = self.waiting.remove(&(standing.deadline, group.id.0));
        if waited.is_some() {
            self.woken -= usize::from(standing.woken);
        }
        waited.is_some()
    }

    /// A group that has used no turns for a while, or less of them than the clock said, is not further behind
    /// than its credit. What it has in flight now counts for it.
    fn keep_up(&self, group: &GroupInner, now: u64) {
        let credit = if group.see().virtual_time == 0 && self.flood >= FLOOD {
            0
        } else {
            group.credit_units()
        };
        let behind = self
            .least
            .saturating_sub(credit)
            .saturating_sub(group.virtual_now(now));
        group.standing(|standing| standing.virtual_time += behind);
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
        let group = self.pop_waiting()?;
        group.standing(|standing| standing.woken = false);
        self.running.push(group.clone());
        Some(group)
    }

    /// Until when those groups are held back that have polls in flight and further tasks.
    fn held_back(&self) -> impl Iterator<Item = u64> {
        // At least what the platform's clock said when it was last charged: a window that has passed since is found
        // to have passed by whoever asks for a turn.
        self.running
            .iter()
            .filter(|group| group.see().len > 0)
            .filter_map(|group| group.exhausted_until(0))
    }

    /// Of the groups with polls in flight and further tasks, the one with the earliest deadline.
    fn earliest_running(&self, now: u64) -> Option<(Virtual, usize)> {
        self.running
            .iter()
            .enumerate()
            .filter(|(_, group)| group.see().len > 0 && group.exhausted_until(now).is_none())
            .map(|(at, group)| (group.deadline_now(now), at))
            .min()
    }

    /// Whether `group`, of which a poll has just ended, is the one that [`next`](Self::next) would choose.
    fn has_next_turn(&self, group: &Arc<GroupInner>, now: u64) -> bool {
        if group.see().len == 0 || group.exhausted_until(now).is_some() {
            return false;
        }
        let deadline = group.deadline_now(now);
        let waits = self.waiting.first_key_value();
        if waits.is_some_and(|(key, _)| key.0 <= deadline) {
            return false;
        }
        self.running.iter().all(|other| {
            Arc::ptr_eq(other, group) || other.see().len == 0 || deadline <= other.deadline_now(now)
        })
    }

    fn has_earlier_than(&self, deadline: Virtual, now: u64) -> bool {
        // Who waits goes before who has just run.
        self.waiting
            .first_key_value()
            .is_some_and(|(key, _)| key.0 <= deadline)
            || self
                .earliest_running(now)
                .is_some_and(|(earliest, _)| earliest < deadline)
    }

    /// Whether the next turn is that of a group whose slice is shorter than `slice`.
    fn has_earlier_with_shorter_slice(&self, deadline: Virtual, slice: u64) -> bool {
        self.waiting
            .first_key_value()
            .is_some_and(|(key, group)| key.0 < deadline && group.slice() < slice)
    }

    /// Charges `cpu` nanoseconds that `group` used between `began` and `now`.
    fn charge(&mut self, group: &GroupInner, cpu: u64, began: u64, now: u64) {
        group.charge_others(cpu, began, now, self.least);
        self.flood = if group.counts.cpu() <= DEFAULT_SLICE.as_nanos() as u64 {
            self.flood.saturating_add(cpu)
        } else {
            self.flood.saturating_sub(cpu)
        };
        let units = Weight::of(group).scale(u128::from(cpu));
        group.standing(|standing| standing.virtual_time += units);
    }

    /// Moves `least` to where the group is that is furthest behind.
    fn advance(&mut self, now: u64) {
        // The first one's own virtual time, unless it goes first because its turn is short: then the others, whose
        // deadlines are no earlier, may be further behind than it is, but by no more than a slice.
        let waiting = self
            .waiting
            .first_key_value()
            .map(|(key, group)| key.0.saturating_sub(group.slice_units()));
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

impl Tenant {
    /// The weights of those of its groups that compete. Changed under the lane's lock.
    fn active_weight(&self) -> &AtomicUsize {
        &self.0.active_weight
    }

    fn scale(&self, nanoseconds: u64) -> Virtual {
        let weight = Weight {
            over: u128::from(self.weight()),
            under: 1,
        };
        weight.scale(u128::from(nanoseconds))
    }

    fn charge(&self, cpu: u64, began: u64, now: u64, least: Virtual) {
        let rate = self.0.rate.load(Relaxed);
        let used = self.scale(cpu);
        let mut standing = self.0.standing.lock();
        standing.virtual_time = standing.virtual_time.max(least) + used;
        if rate > 0 {
            standing.budget.charge(cpu, rate, began, now);
        }
    }

    /// Where a group of it starts that becomes runnable, or ahead of that.
    fn start(&self, least: Virtual) -> Virtual {
        let credit = self.scale(DEFAULT_SLICE.as_nanos() as u64);
        let virtual_time = self.0.standing.lock().virtual_time;
        virtual_time.max(least).saturating_sub(credit)
    }

    fn exhausted_until(&self, now: u64) -> Option<u64> {
        let rate = self.0.rate.load(Relaxed);
        if rate == 0 {
            return None;
        }
        self.0.standing.lock().budget.exhausted_until(rate, now)
    }
}
