//! The fair lane: runnable tasks of groups behind one lock.
//!
//! One lane for the whole executor. A poll in this lane is microseconds to milliseconds long, so that the lock is rarely
//! asked for; and fairness holds across the machine by construction, because every worker takes the turn that is next
//! anywhere.
//!
//! The protocol:
//!
//! 1. `push`: the task joins its group's queue. A group that was idle gets its virtual time (see **Sleep** in
//!    [`fair`](super)).
//! 2. `pop`: the group whose turn it is gives its oldest task and counts one poll in flight. If its recent polls were
//!    short, it gives several, which the worker polls as one [batch](super::batch).
//! 3. `charge`, at a preemption point: adds to the virtual time, and says whether another group's turn has come.
//! 4. `finish`, after the turn: adds the rest; its tasks may join their group's queue again. It may take the next turn
//!    at the same time. If that is one of the same group, of as many tasks as joined the queue, nobody is notified: a
//!    worker that found the lane empty since they left it finds no more there now.
//!    Such a worker looks at the batches under the lock before it sleeps. Without the lock it might look at the lane while
//!    the tasks are in the batch, and at the batch while they are in the lane.
//! 5. The number of runnable tasks is raised under the lock and read without: the executor's notification
//!    orders the two as for any queue.
//! 6. Nothing is allocated or freed under the lock: tasks are linked through their headers; room for a group to be
//!    ordered in is reserved before its first task is spawned ([`admit`](Lane::admit)), and for one that runs on a further
//!    worker before that is made.
//! 7. A hold takes `O(log n)` steps for each group that it moves, of `n`. Two things pass over all of them, and neither is
//!    a turn: room that grows, and a change of a tenant's rate, over those that wait for theirs.
//!
//! What is changed under the lock only is read without it as a hint, with Relaxed, unless the field says otherwise.

use super::{
    group::GroupState, guard::LaneId, run_order::RunOrder, running::Running, share::Share,
    slice::Stretch, tenant::TenantState,
};
use crate::sync::{
    Apart, Arc, AtomicUsize, Mutex,
    Ordering::{Relaxed, Release},
};

#[cfg(feature = "lane-hold")]
use super::hold::Hold;
#[cfg(not(feature = "lane-hold"))]
type Hold<'a> = crate::sync::MutexGuard<'a, RunOrder>;

pub(crate) struct Lane {
    id: LaneId,
    order: Apart<Mutex<RunOrder>>,
    pub(super) turns: Apart<Turns>,
    /// Groups that wait for their rates: parked, or with polls in flight and further tasks. Changed under the lock.
    pub(super) parked: AtomicUsize,
    /// The shortest slice among the groups that compete, as it is kept now, nanoseconds; `usize::MAX`
    /// without any. Changed under the lock.
    shortest: AtomicUsize,
    /// Workers that there are.
    workers: AtomicUsize,
    /// Groups for which there is room to compete. Raised under the lock; a group that goes lowers it.
    pub(super) groups: Arc<AtomicUsize>,
}

/// What every turn changes, under the lock.
#[derive(Default)]
pub(super) struct Turns {
    /// Runnable tasks of all groups that are not parked.
    len: AtomicUsize,
    /// Workers that have a turn.
    pub(super) polling: AtomicUsize,
}

impl Turns {
    /// Under the lock, so no read-modify-write. Release pairs with the Acquire in `reclaim`: a worker that finds no task
    /// in the lane finds that another has a turn.
    pub(super) fn add(&self, tasks: usize) {
        self.len.store(self.len.load(Relaxed) + tasks, Release);
    }

    /// The same.
    pub(super) fn sub(&self, tasks: usize) {
        self.len.store(self.len.load(Relaxed) - tasks, Release);
    }

    /// A turn begins, which is to be counted before its tasks are taken from the lane.
    pub(super) fn begin(&self) {
        self.polling.store(self.polling.load(Relaxed) + 1, Relaxed);
    }

    /// A turn is over. Not before the worker's next one is counted, which may have the same tasks: `reclaim` reads the
    /// count without the lock.
    pub(super) fn end(&self) {
        self.polling.store(self.polling.load(Relaxed) - 1, Relaxed);
    }
}

impl Lane {
    pub(crate) fn new() -> Self {
        let order = RunOrder::new();
        Self {
            id: order.guard.lane(),
            order: Apart(Mutex::new(order)),
            turns: Apart::default(),
            parked: AtomicUsize::new(0),
            shortest: AtomicUsize::new(usize::MAX),
            workers: AtomicUsize::new(0),
            groups: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// A group of this lane, with a slice from [`clamp`](super::slice::clamp).
    pub(crate) fn group(
        &self,
        share: Share,
        slice: usize,
        tenant: Option<Arc<TenantState>>,
    ) -> Arc<GroupState> {
        let groups = self.groups.clone();
        Arc::new(GroupState::new(share, slice, tenant, self.id, groups))
    }

    #[inline]
    pub(super) fn lock(&self) -> Hold<'_> {
        let order = self.order.lock();
        #[cfg(feature = "lane-hold")]
        let order = Hold::begin(order);
        order
    }

    /// The lock, to be used with `group`.
    #[inline]
    pub(super) fn lock_for(&self, group: &GroupState) -> Hold<'_> {
        // What a group has in the lane wants the guard of its own lane.
        assert!(group.lane() == self.id, "the group is another executor's");
        self.lock()
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.workers.load(Relaxed)
    }

    /// There is one worker more.
    pub(crate) fn add_worker(&self) {
        let workers = self.workers.fetch_add(1, Relaxed) + 1;
        // Each may have a group of its own in a poll.
        if self.lock().running.room() < workers {
            // Allocated, and what it replaces is freed, outside the lock.
            let more = Running::with_room(workers);
            let old = self.lock().running.move_to(more);
            drop(old);
        }
    }

    /// There is one worker less.
    pub(crate) fn remove_worker(&self) {
        self.workers.fetch_sub(1, Relaxed);
    }

    /// Runnable tasks that wait for nothing but their turn, as far as a look without the lock can tell.
    pub(crate) fn len(&self) -> usize {
        self.turns.len.load(Relaxed)
    }

    /// Whether it is worth asking for a task: one waits for a turn, or may have waited for long enough.
    pub(crate) fn may_have_tasks(&self) -> bool {
        self.len() > 0 || self.parked.load(Relaxed) > 0
    }

    /// The shortest slice among the groups that compete, as it is kept now, nanoseconds.
    pub(crate) fn shortest_slice(&self) -> Option<u64> {
        let shortest = self.shortest.load(Relaxed);
        (shortest != usize::MAX).then_some(shortest as u64)
    }

    pub(super) fn stretch(&self, order: &RunOrder) -> Stretch {
        Stretch::of(order.waiting.len(), order.woken, self.workers())
    }

    /// Publishes the shortest slice.
    pub(super) fn publish(&self, order: &RunOrder) {
        let stretch = self.stretch(order);
        let kept = order.shortest_slice().map_or(usize::MAX, |slice| {
            usize::try_from(stretch.apply(slice)).unwrap_or(usize::MAX)
        });
        // The load keeps the usual case from writing a line that every enqueue reads.
        if self.shortest.load(Relaxed) != kept {
            self.shortest.store(kept, Relaxed);
        }
    }
}
