//! Which workers sleep, which search, and which one is woken.
//!
//! The protocol, for an executor of N workers:
//!
//! 1. Enqueue: push; fence; look at the word below. If no worker searches and one sleeps, wake
//!    one sleeper. It starts as a searcher.
//!    There is one exception. A worker that puts the task which it has just polled back into its own queue does not
//!    notify, because it takes a task from there next (before it does anything else, it notifies). Either it takes the
//!    task that it put back. Or it takes another, which was queued before by these rules: a worker that fell asleep
//!    after that has seen this task there, or has seen that it was taken, and then also what was queued before the
//!    taking.
//! 2. A worker that runs dry becomes a searcher if fewer than half of the workers are; a searcher looks
//!    for work everywhere.
//! 3. A searcher that finds work stops being one; if it was the last, it wakes one more sleeper, because
//!    threads that queued meanwhile relied on it.
//!    A worker that takes more tasks than it runs at once, without being a searcher, notifies as in 1: while the tasks
//!    are on their way from one queue to another, no other worker sees them.
//! 4. A worker that found nothing announces that it sleeps; fence; looks everywhere once more; sleeps. A
//!    worker is neither a searcher nor announced while it runs foreign code.
//! 5. Close sets `CLOSED` in the word and wakes all workers. A thread that enqueues after that finds it (as in 1)
//!    and empties the queues.
//!
//! Why no wake is lost: the fences of 1 and 4 are both SeqCst. Either the enqueuer's fence is first, and
//! the second look of 4 finds the task; or the sleeper's is, and the look of 1 finds the sleeper. The
//! same holds if 1 does nothing because a worker searches: that searcher either finds the task, or
//! announces later, fences, and looks again.
//!
//! The counts themselves order nothing, so they change with Relaxed unless a comment says otherwise.

#[cfg(all(loom, test))]
mod models;

use crate::{
    platform::{MAX_WORKERS, WorkerId},
    sync::{
        AtomicUsize, Mutex, MutexGuard,
        Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
        fence,
    },
};
use alloc::vec::Vec;

const SEARCHING_ONE: usize = 1;
const SLEEPING_ONE: usize = 1 << 15;
const FIELD: usize = SLEEPING_ONE - 1;
const CLOSED: usize = 1 << 30;

const _: () = assert!(MAX_WORKERS <= FIELD / 2, "a field of the word overflows");

pub(crate) struct Idle {
    /// Searching and sleeping counts, and `CLOSED`. The sleeping count changes under the lock only.
    word: AtomicUsize,
    /// The sleepers. The last one to fall asleep is woken first: its caches are warm.
    sleepers: Mutex<Vec<WorkerId>>,
}

/// What an enqueuer has to do.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notify {
    /// A worker searches and will find it.
    Nothing,
    /// Unpark this worker, which is a searcher now.
    Unpark(WorkerId),
    /// No worker sleeps and none searches: all are busy.
    Contended,
    /// The executor is closed: empty the queues.
    Closed,
}

impl Idle {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            word: AtomicUsize::new(0),
            sleepers: Mutex::new(Vec::with_capacity(workers)),
        }
    }

    /// There are so many workers: each has room to fall asleep, which allocates nothing.
    pub(crate) fn make_room(&self, workers: usize) {
        let mut sleepers = self.sleepers.lock();
        let more = workers.saturating_sub(sleepers.len());
        sleepers.reserve(more);
    }

    /// Something was queued (rule 1).
    pub(crate) fn notify(&self) -> Notify {
        // Pairs with the fence in `announce`.
        fence(SeqCst);
        match decide(self.word.load(Relaxed)) {
            Notify::Unpark(_) => {}
            other => return other,
        }
        let mut sleepers = self.sleepers.lock();
        // Others may have woken it, or begun to search, since.
        match decide(self.word.load(Relaxed)) {
            Notify::Unpark(_) => self.wake(&mut sleepers, None),
            other => other,
        }
    }

    /// Wakes a sleeper whatever the others do; `None` if nobody sleeps.
    pub(crate) fn wake_one(&self) -> Option<WorkerId> {
        let mut sleepers = self.sleepers.lock();
        match self.wake(&mut sleepers, None) {
            Notify::Unpark(worker) => Some(worker),
            _ => None,
        }
    }

    /// Takes this worker from the sleepers; `false` if it is not among them.
    pub(crate) fn wake_this(&self, worker: WorkerId) -> bool {
        let mut sleepers = self.sleepers.lock();
        self.wake(&mut sleepers, Some(worker)) != Notify::Nothing
    }

    fn wake(
        &self,
        sleepers: &mut MutexGuard<'_, Vec<WorkerId>>,
        which: Option<WorkerId>,
    ) -> Notify {
        let woken = match which {
            None => sleepers.pop(),
            Some(worker) => sleepers
                .iter()
                .position(|&sleeper| sleeper == worker)
                .map(|at| sleepers.remove(at)),
        };
        let Some(worker) = woken else {
            return Notify::Nothing;
        };
        self.word.fetch_sub(SLEEPING_ONE - SEARCHING_ONE, Relaxed);
        Notify::Unpark(worker)
    }

    /// Becomes a searcher, unless half of `workers` are (rule 2).
    pub(crate) fn try_search(&self, workers: usize) -> bool {
        let searching = self.word.load(Relaxed) & FIELD;
        if searching * 2 >= workers.max(1) {
            return false;
        }
        // Two may pass the check together: the bound saves work, nothing depends on it.
        self.word.fetch_add(SEARCHING_ONE, Relaxed);
        true
    }

    /// Stops searching, having found work; `true` if one more has to be woken (rule 3).
    #[must_use]
    pub(crate) fn found(&self) -> bool {
        // Release: what it found may have moved to its own queue without a notification. It pairs with the
        // Acquire of the worker that leaves the searchers later, here or in `announce`: that one sees the move.
        self.word.fetch_sub(SEARCHING_ONE, AcqRel) & FIELD == SEARCHING_ONE
    }

    /// Announces that `worker` sleeps (rule 4). It has to look everywhere once more after this.
    pub(crate) fn announce(&self, worker: WorkerId, searching: bool) {
        let mut sleepers = self.sleepers.lock();
        sleepers.push(worker);
        let change = SLEEPING_ONE - if searching { SEARCHING_ONE } else { 0 };
        // Relaxed: the fence below is the Acquire that pairs with the Release in `found`.
        self.word.fetch_add(change, Relaxed);
        drop(sleepers);
        // Pairs with the fence in `notify`.
        fence(SeqCst);
    }

    /// Rule 5.
    pub(crate) fn close(&self) {
        // Release pairs with the Acquire of `is_closed`.
        self.word.fetch_or(CLOSED, AcqRel);
        // Pairs with the fence in `notify`: our emptying sees what was queued before it, and a thread that queues
        // later sees the flag.
        fence(SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        // Acquire pairs with the Release of `close`.
        self.word.load(Acquire) & CLOSED != 0
    }
}

fn decide(word: usize) -> Notify {
    if word & CLOSED != 0 {
        Notify::Closed
    } else if word & FIELD != 0 {
        Notify::Nothing
    } else if (word / SLEEPING_ONE) & FIELD != 0 {
        // The list tells which one.
        Notify::Unpark(WorkerId::MAX)
    } else {
        Notify::Contended
    }
}
