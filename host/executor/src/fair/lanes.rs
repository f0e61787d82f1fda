//! The lanes of a machine: one for each domain of cores that share a cache.
//!
//! A small machine has one, and then this does nothing but pass on. Otherwise a worker takes turns in the lane of its own
//! domain, and the lanes are kept together by pulling:
//!
//! 1. **Where a task goes.** A task that wakes goes to the lane in which it was last, and of those workers that sleep one of
//!    its domain is woken first; one that is spawned to that of the worker
//!    that spawns it; from outside to its group's home, the lane with the least to do when the group was made. A lane that
//!    has no room for its group is not asked: every group has room at home.
//! 2. **Pull.** A worker whose lane has no task looks at all others, and takes the next turn of one that has some. A worker
//!    whose lane has tasks looks at one other lane now and then, in turn, before it takes a turn and at a preemption point:
//!    at the line that this tells on its [`board`](super::board). It pulls from a lane that lags, which is one whose next
//!    turn would have been over a slice before the worker's own begins; and from one that has more tasks for each worker, by
//!    more than one, if their next turn is over no later than its own. See [`migrate`](super::migrate).
//! 3. **One lock at a time.** Nobody holds the locks of two lanes. What a group has used anywhere is settled under a lock of
//!    the group's own, inside that of one lane: see [`account`](super::account).
//! 4. **Sleep.** The last look before a sleep is one at every lane, after the fence of the idle protocol: it waits for locks,
//!    and takes what it finds. A task that is in no lane is in the hands of a worker that polls it, or that notifies.
//!    A worker that cannot pull because there is no memory for the group's room sleeps for a while only.
//! 5. **Rates** are one for the machine. Every lane parks for itself; a worker that sleeps does so until the first of all.

use super::{
    batch::Batch,
    board::{Board, Stand},
    charge::{Charged, Pace},
    group::GroupState,
    lane::{LOOK, Lane},
    migrate::{Given, Pulled},
    share::Share,
    tenant::TenantState,
};
use crate::{
    error::SpawnError,
    planted::{Planted, is_planted},
    platform::{Platform, WorkerId},
    sync::{Arc, AtomicUsize, Ordering::Relaxed},
    task::{MAX_DOMAINS, TaskRef},
};
use alloc::{boxed::Box, vec::Vec};

/// Lanes that are compared for a new group. Chosen, not measured: two would do, were they random.
const COMPARED: usize = 4;

/// How long a worker sleeps that had no memory for what it wanted to pull, nanoseconds.
const NO_ROOM: u64 = 1_000_000;

pub(crate) struct Lanes {
    lanes: Box<[Lane]>,
    board: Board,
    workers: AtomicUsize,
    /// Where the search for a new group's home begins.
    next: AtomicUsize,
}

/// A worker that asks for a turn, of one task or up to `most`; all but the first go into its batch.
pub(crate) struct Taker<'a> {
    pub(crate) domain: usize,
    pub(crate) look: &'a mut Look,
    pub(crate) batch: &'a Batch,
    pub(crate) most: usize,
    pub(crate) now: u64,
}

/// When a worker looks at which lane; and which one it found to be behind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    due: u64,
    lane: usize,
    behind: Option<usize>,
    /// There was no memory for a group's room.
    no_room: bool,
}

impl Look {
    /// A worker's. Each begins with another lane.
    pub(crate) fn new(worker: usize) -> Self {
        Self {
            lane: worker,
            ..Self::default()
        }
    }

    /// Until when a worker may sleep, at most.
    pub(crate) fn until(&self, now: impl FnOnce() -> u64) -> Option<u64> {
        self.no_room.then(|| now().saturating_add(NO_ROOM))
    }
}

impl Lanes {
    /// So many lanes.
    pub(crate) fn new(domains: usize, platform: &alloc::sync::Arc<dyn Platform>) -> Self {
        let lanes = if is_planted(Planted::OneLane) {
            1
        } else {
            domains.clamp(1, MAX_DOMAINS)
        };
        let board = Board::new(lanes);
        let mut made: Vec<Lane> = Vec::with_capacity(lanes);
        for index in 0..lanes {
            let first = made.first().map(Lane::id);
            made.push(Lane::new(index, first, &board, platform));
        }
        Self {
            lanes: made.into(),
            board,
            workers: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
        }
    }

    /// All lanes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter()
    }

    /// The lane of a domain.
    #[inline]
    pub(crate) fn of(&self, domain: usize) -> &Lane {
        &self.lanes[domain]
    }

    /// A domain as the platform names it.
    pub(crate) fn domain(&self, named: usize) -> usize {
        named % self.lanes.len()
    }

    /// Whether there is one lane only.
    #[inline]
    pub(crate) fn is_alone(&self) -> bool {
        self.lanes.len() == 1
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.workers.load(Relaxed)
    }

    pub(crate) fn add_worker(&self, worker: WorkerId, domain: usize) {
        self.workers.fetch_add(1, Relaxed);
        self.of(domain).add_worker(worker);
    }

    pub(crate) fn remove_worker(&self, domain: usize) {
        self.workers.fetch_sub(1, Relaxed);
        self.of(domain).remove_worker();
    }

    // === groups ===

    /// A group, with a slice from [`clamp`](super::slice::clamp).
    pub(crate) fn group(
        &self,
        share: Share,
        slice: usize,
        tenant: Option<Arc<TenantState>>,
    ) -> Arc<GroupState> {
        let home = self.least_loaded();
        let lane = self.of(home);
        let lanes = (lane.lanes(), self.lanes.len());
        Arc::new(GroupState::new(
            share,
            slice,
            tenant,
            (home, lane.part()),
            lanes,
        ))
    }

    fn least_loaded(&self) -> usize {
        if self.is_alone() {
            return 0;
        }
        let start = self.next.fetch_add(1, Relaxed);
        let some = (start..).take(COMPARED.min(self.lanes.len()));
        let some = some.map(|lane| lane % self.lanes.len());
        some.min_by_key(|&lane| self.board.of(lane).load())
            .unwrap_or(0)
    }

    /// Makes room for `group` at home, and in the lane of the worker that spawns, if one does: from then on nothing is
    /// allocated there for it or for its tasks.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Alloc`] without memory.
    pub(crate) fn admit(
        &self,
        group: &GroupState,
        domain: Option<usize>,
    ) -> Result<(), SpawnError> {
        self.of(group.home()).admit(group)?;
        match domain {
            Some(domain) if !self.is_alone() => self.of(domain).admit(group),
            _ => Ok(()),
        }
    }

    /// The rate of `group` was changed: as [`Lane::reconsider`]; how many lanes are to be notified of.
    pub(crate) fn reconsider(&self, group: &Arc<GroupState>, now: u64) -> usize {
        let lanes = self.iter();
        let has_room = lanes.filter(|lane| group.is_admitted_to(lane.index));
        has_room.filter(|lane| lane.reconsider(group, now)).count()
    }

    /// The rate of `tenant` was changed: as [`Lane::reconsider_tenant`].
    pub(crate) fn reconsider_tenant(&self, tenant: &Arc<TenantState>, now: u64) -> usize {
        let lanes = self.iter();
        lanes.map(|lane| lane.reconsider_tenant(tenant, now)).sum()
    }

    /// Lets parked groups compete whose time has come; says how many. The caller notifies.
    pub(crate) fn refill(&self, now: u64) -> usize {
        self.iter().map(|lane| lane.refill(now)).sum()
    }

    /// When the first group whose rate is used up may go on, or have more polls.
    pub(crate) fn next_refill(&self) -> Option<u64> {
        self.iter().filter_map(Lane::next_refill).min()
    }

    /// The shortest slice among the groups that compete, as it is kept now, nanoseconds.
    pub(crate) fn shortest_slice(&self) -> Option<u64> {
        self.iter().filter_map(Lane::shortest_slice).min()
    }

    /// Charges `cpu` nanoseconds that were used for `group` outside of its polls.
    pub(crate) fn charge_aside(&self, group: &Arc<GroupState>, cpu: u64, now: u64) {
        self.of(group.home()).charge_aside(group, cpu, now);
    }

    // === tasks ===

    /// Runnable tasks that wait for nothing but their turn, as far as a look without the locks can tell.
    pub(crate) fn len(&self) -> usize {
        self.iter().map(Lane::len).sum()
    }

    /// Whether it is worth asking for a task.
    #[inline]
    pub(crate) fn may_have_tasks(&self, domain: usize) -> bool {
        self.of(domain).may_have_tasks()
            || !self.is_alone() && self.iter().any(Lane::may_have_tasks)
    }

    /// Queues a task: of the worker whose domain is given, or from outside. The caller notifies: the first worker of the
    /// lane's domain, by its id, or one near it.
    pub(crate) fn push(
        &self,
        group: &Arc<GroupState>,
        task: TaskRef,
        domain: Option<usize>,
        now: u64,
    ) -> WorkerId {
        if self.is_alone() {
            self.of(0).push(group, task, now);
            return 0;
        }
        let was_in = task.header().domain();
        let wanted = was_in.or(domain).map(|domain| self.domain(domain));
        let lane = wanted.filter(|&lane| group.is_admitted_to(lane));
        let lane = lane.unwrap_or(group.home());
        let lane = self.of(lane);
        lane.push(group, task, now);
        lane.first_worker()
    }

    /// Takes the task whose turn it is, in the worker's own lane or in one that is behind that. Counts a poll in flight in the
    /// own lane, into which what is pulled goes.
    pub(crate) fn pop(&self, taker: &mut Taker<'_>) -> Option<Pulled> {
        let own = self.of(taker.domain);
        let of_own = |task| Pulled {
            task,
            notify: false,
        };
        if self.is_alone() {
            let task = own.pop(taker.now, taker.batch, taker.most);
            return task.map(of_own);
        }
        taker.look.no_room = false;
        if let Some(stand) = self.board.stand(taker.domain)
            && self.finds_behind(taker.domain, taker.look, stand, taker.now)
            && let Some(from) = taker.look.behind.take()
            && let Some(pulled) = self.pull(from, taker, Some(stand))
        {
            return Some(pulled);
        }
        taker.look.behind = None;
        if let Some(task) = own.pop(taker.now, taker.batch, taker.most) {
            return Some(of_own(task));
        }
        let lanes = self.lanes.len();
        let others = taker.domain + 1..taker.domain + lanes;
        let mut others = others.map(|lane| lane % lanes);
        others.find_map(|from| {
            let has_tasks = self.of(from).may_have_tasks();
            has_tasks.then(|| self.pull(from, taker, None)).flatten()
        })
    }

    /// Whether a lane is known that is behind what is at `stand` in that of `domain`. Looks at one, if it is time to.
    #[inline]
    pub(crate) fn is_behind(&self, domain: usize, look: &mut Look, now: u64) -> bool {
        let stand = self.board.stand(domain);
        stand.is_some_and(|stand| self.finds_behind(domain, look, stand, now))
    }

    fn finds_behind(&self, domain: usize, look: &mut Look, stand: Stand, now: u64) -> bool {
        if look.behind.is_none() && now >= look.due {
            look.due = now + LOOK;
            look.lane = (look.lane + 1) % self.lanes.len();
            if look.lane == domain {
                look.lane = (look.lane + 1) % self.lanes.len();
            }
            let lags = self.board.lags(look.lane, domain, stand);
            look.behind = lags.then_some(look.lane);
        }
        look.behind.is_some()
    }

    fn pull(&self, from: usize, taker: &mut Taker<'_>, stand: Option<Stand>) -> Option<Pulled> {
        let (from, own) = (self.of(from), self.of(taker.domain));
        loop {
            let given = {
                let mut order = match stand {
                    // Another worker is at it.
                    Some(_) => from.try_lock()?,
                    None => from.lock(),
                };
                from.give(&mut order, taker.domain, stand, taker.now)
            };
            match given {
                Given::Nothing => return None,
                Given::Moved(moved) => {
                    return Some(own.take_in(moved, taker.now, taker.batch, taker.most));
                }
                Given::NeedsRoom(group) => {
                    if own.admit(&group).is_err() {
                        taker.look.no_room = true;
                        return None;
                    }
                }
            }
        }
    }

    /// As [`Lane::charge`], for a worker that goes on with a poll of `group`. It is another's turn, too, if another lane is
    /// behind.
    pub(crate) fn charge(
        &self,
        taker: &mut Taker<'_>,
        group: &Arc<GroupState>,
        (cpu, began): (u64, u64),
        pace: Pace,
    ) -> Charged {
        let own = self.of(taker.domain);
        let mut charged = own.charge(group, cpu, began, taker.now, pace, taker.batch);
        if let Some(stand) = charged.stand {
            charged.is_others_turn |= self.finds_behind(taker.domain, taker.look, stand, taker.now);
        }
        charged
    }

    /// Takes the tasks of a worker's batch away from it, into its lane; says how many. `batches` gives those of the other
    /// workers of a domain.
    pub(crate) fn reclaim<'a, I: Iterator<Item = &'a Batch>>(
        &self,
        mut batches: impl FnMut(usize) -> I,
        now: u64,
    ) -> usize {
        let lanes = self.iter();
        let mut reclaimed = lanes.map(|lane| lane.reclaim(batches(lane.index), now));
        reclaimed.find(|&tasks| tasks > 0).unwrap_or(0)
    }

    /// Whether any task is in a lane or in one of its workers' batches: as [`Lane::has_tasks`].
    pub(crate) fn has_tasks<'a, I: Iterator<Item = &'a Batch>>(
        &self,
        mut batches: impl FnMut(usize) -> I,
    ) -> bool {
        self.iter().any(|lane| lane.has_tasks(batches(lane.index)))
    }

    /// The group's virtual time, when all that is used of it is settled.
    #[cfg(all(loom, test))]
    pub(crate) fn virtual_time(group: &GroupState) -> u128 {
        group.account.settle(0, 0).virtual_time
    }

    /// Takes any task, which is not to run: for `close`.
    pub(crate) fn drain(&self) -> Option<TaskRef> {
        self.iter().find_map(Lane::drain)
    }
}
