//! A fair lane: the runnable tasks of groups in a domain, behind one lock.
//!
//! A small machine has one lane, where fairness holds by construction, because every worker takes the turn that is next
//! anywhere. A large one has one for every few workers, so that the lock is rarely asked for: see [`lanes`](super::lanes).
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
//! 7. With several lanes, whoever changes what is next tells it before it gives the lock back: see [`board`](super::board).
//! 8. A hold takes `O(log n)` steps for each group that it moves, of `n`. Two things pass over all of them, and neither is
//!    a turn: room that grows, and a change of a tenant's rate, over those that wait for theirs.
//!
//! What is changed under the lock only is read without it as a hint, with Relaxed, unless the field says otherwise.

use super::{
    board::{Board, Told},
    group::GroupState,
    guard::LaneId,
    part::Part,
    run_order::RunOrder,
    running::Running,
    slice::Stretch,
};
use crate::{
    platform::{Platform, WorkerId},
    sync::{Apart, Arc, AtomicUsize, Mutex, Ordering::Relaxed},
};

#[cfg(feature = "lane-hold")]
use super::hold::Hold;
#[cfg(not(feature = "lane-hold"))]
type Hold<'a> = crate::sync::MutexGuard<'a, RunOrder>;

/// Nanoseconds between two looks at another lane: of one lane at another, or of one worker. Chosen, not measured: a few
/// times what a line costs that other cores write.
pub(super) const LOOK: u64 = 50_000;

pub(crate) struct Lane {
    id: LaneId,
    /// Which of its executor's lanes it is.
    pub(super) index: usize,
    /// Tells executors apart: the first of the lanes.
    lanes: LaneId,
    order: Apart<Mutex<RunOrder>>,
    told: alloc::sync::Arc<Apart<Told>>,
    pub(super) board: Board,
    first_worker: AtomicUsize,
    /// Groups that wait for their rates: parked, or with polls in flight and further tasks. Changed under the lock.
    pub(super) parked: AtomicUsize,
    /// The shortest slice among the groups that compete, as it is kept now, nanoseconds; `usize::MAX`
    /// without any. Changed under the lock.
    shortest: AtomicUsize,
    /// Groups for which there is room to compete. Raised under the lock; a group that goes lowers it.
    pub(super) groups: Arc<AtomicUsize>,
    /// Is told when the lock is taken, if that counts it.
    platform: Option<alloc::sync::Arc<dyn Platform>>,
}

impl Lane {
    /// The lane `index` of those that tell on `board`. `first` is the id of the first one, unless it is this.
    pub(super) fn new(
        index: usize,
        first: Option<LaneId>,
        board: &Board,
        platform: &alloc::sync::Arc<dyn Platform>,
    ) -> Self {
        let order = RunOrder::new(index, board.len() == 1);
        let id = order.guard.lane();
        Self {
            id,
            index,
            lanes: first.unwrap_or(id),
            order: Apart(Mutex::new(order)),
            told: board.of(index).clone(),
            board: board.clone(),
            first_worker: AtomicUsize::new(WorkerId::MAX),
            parked: AtomicUsize::new(0),
            shortest: AtomicUsize::new(usize::MAX),
            groups: Arc::new(AtomicUsize::new(0)),
            platform: platform.counts_lanes().then(|| platform.clone()),
        }
    }

    pub(super) fn id(&self) -> LaneId {
        self.id
    }

    pub(super) fn lanes(&self) -> LaneId {
        self.lanes
    }

    /// What this lane has of a new group.
    pub(super) fn part(&self) -> Part {
        Part::new(self.id, self.groups.clone())
    }

    /// What it tells the others.
    #[inline]
    pub(super) fn told(&self) -> &Told {
        &self.told
    }

    #[inline]
    pub(super) fn lock(&self) -> Hold<'_> {
        self.count();
        let order = self.order.lock();
        #[cfg(feature = "lane-hold")]
        let order = Hold::begin(order);
        order
    }

    #[inline]
    fn count(&self) {
        if let Some(platform) = &self.platform {
            platform.takes_lane(self.index);
        }
    }

    /// The lock, unless another has it.
    pub(super) fn try_lock(&self) -> Option<Hold<'_>> {
        self.count();
        let order = self.order.try_lock()?;
        #[cfg(feature = "lane-hold")]
        let order = Hold::begin(order);
        Some(order)
    }

    /// The lock, to be used with `group`.
    #[inline]
    pub(super) fn lock_for(&self, group: &GroupState) -> Hold<'_> {
        // What a group has in the lane wants the guard of that lane.
        assert!(
            group.lanes() == self.lanes,
            "the group is another executor's"
        );
        self.lock()
    }

    /// How many workers its domain has.
    pub(crate) fn workers(&self) -> usize {
        self.told().workers()
    }

    /// There is one worker more.
    pub(crate) fn add_worker(&self, worker: WorkerId) {
        self.first_worker.fetch_min(worker, Relaxed);
        let workers = self.told().add_worker();
        // Each may have a group of its own in a poll.
        if self.lock().running.room() < workers {
            // Allocated, and what it replaces is freed, outside the lock.
            let more = Running::with_room(workers);
            let old = self.lock().running.move_to(more);
            drop(old);
        }
    }

    /// The lowest id of those that it ever had; 0 without any.
    pub(super) fn first_worker(&self) -> WorkerId {
        match self.first_worker.load(Relaxed) {
            WorkerId::MAX => 0,
            worker => worker,
        }
    }

    /// There is one worker less.
    pub(crate) fn remove_worker(&self) {
        self.told().remove_worker();
    }

    /// Runnable tasks that wait for nothing but their turn, as far as a look without the lock can tell.
    pub(crate) fn len(&self) -> usize {
        self.told().len()
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

    /// Moves `least` on, and tells the others where this lane stands.
    pub(super) fn advance(&self, order: &mut RunOrder, now: u64) {
        order.advance(now);
        if !order.is_alone() {
            let first = order.first(now);
            self.told().tell(first, order.least);
        }
    }

    /// A group is about to begin to compete: what is known of the other lanes is not too old. They write what this reads
    /// at every turn, so it does not look each time: a `least` that is late is one that lets a group start a bit earlier.
    pub(super) fn look_at_others(&self, order: &mut RunOrder, now: u64) {
        if order.is_alone() {
            return;
        }
        let often = LOOK * self.board.len() as u64;
        if order.is_idle() || now.saturating_sub(order.looked) >= often {
            order.looked = now;
            order.machine = self.board.least(self.index, order.least);
        }
        if order.is_idle() {
            // Nobody is behind here. It is told before the group is: else this lane would seem to be furthest behind.
            order.least = order.least.max(order.machine);
            self.told().tell(None, order.least);
        }
    }
}
