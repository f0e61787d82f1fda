//! Which workers sleep, which search, and which one is woken.
//!
//! The protocol, for an executor of N workers:
//!
//! 1. Enqueue: push; fence; look at the word and the map below. If no worker searches and one sleeps, count one searcher
//!    more, take one sleeper out of the map, and unpark it: it is that searcher.
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
//! 4. A worker that found nothing puts itself into the map; is no searcher any more; fence; looks everywhere once more;
//!    sleeps. A worker is neither a searcher nor in the map while it runs foreign code.
//! 5. A worker is counted as a searcher before it is taken out of the map, by another or by itself when it is awake
//!    again. So one that finds itself taken out is counted. If there is none left to take, because others were faster, the
//!    count is taken back as in 3: threads that queued meanwhile may have relied on it, so if it was the last, fence, and
//!    look again as in 1.
//! 6. Close sets `CLOSED` in the word and unparks all workers. A thread that enqueues after that finds it (as in 1)
//!    and empties the queues.
//!
//! Why no wake is lost: the fences of 1 and 4 are both SeqCst. Either the enqueuer's fence is first, and
//! the second look of 4 finds the task; or the sleeper's is, and the look of 1 finds the sleeper. The
//! same holds if 1 does nothing because a worker searches: that searcher either finds the task, or
//! announces later, fences, and looks again. In 5 it holds for the one that takes a count back: its fence comes after
//! that, and whoever relied on the count had its own before.
//!
//! There is no lock, so an interrupt handler may wake: what it interrupts holds nothing. The first words of the map are
//! beside the count, so with up to some hundred workers a wake touches one line here.
//!
//! The counts themselves order nothing, so they change with Relaxed unless a comment says otherwise.

#[cfg(all(loom, test))]
mod models;

use crate::{
    platform::{MAX_WORKERS, WorkerId},
    sync::{
        AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        fence,
    },
};

const SEARCHING_ONE: usize = 1;
const CLOSED: usize = 1 << 30;
const SEARCHING: usize = CLOSED - 1;

const BITS: usize = usize::BITS as usize;
#[cfg(not(loom))]
const WORDS: usize = MAX_WORKERS.div_ceil(BITS);
#[cfg(loom)]
const WORDS: usize = 1;

const _: () = assert!(MAX_WORKERS <= SEARCHING / 2, "the count overflows");

/// Aligned so that nothing else is on its lines.
#[repr(align(128))]
pub(crate) struct Idle {
    /// How many search, and `CLOSED`.
    word: AtomicUsize,
    /// The map: a bit for each worker that sleeps. The lowest one is woken first, so that few are kept warm; for a task of a
    /// group the lowest of its domain, if one of that sleeps.
    asleep: [AtomicUsize; WORDS],
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
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicUsize::new(0),
            asleep: core::array::from_fn(|_| AtomicUsize::new(0)),
        }
    }

    /// Something was queued (rule 1). Ids are below `workers`; of those that sleep the first from `near` on is woken.
    pub(crate) fn notify(&self, workers: usize, near: WorkerId) -> Notify {
        loop {
            // Pairs with the fence in `announce`.
            fence(SeqCst);
            let word = self.word.load(Relaxed);
            if word & CLOSED != 0 {
                return Notify::Closed;
            }
            if word & SEARCHING != 0 {
                return Notify::Nothing;
            }
            if !self.has_sleepers(workers) {
                return Notify::Contended;
            }
            // Only the first of those who queue now wakes one.
            let counted = word + SEARCHING_ONE;
            let counted = self.word.compare_exchange(word, counted, Relaxed, Relaxed);
            if counted.is_err() {
                continue;
            }
            match self.take_any(workers, near) {
                Some(worker) => return Notify::Unpark(worker),
                None if self.found() => {}
                None => return Notify::Nothing,
            }
        }
    }

    /// Wakes a sleeper whatever the others do; `None` if nobody sleeps.
    pub(crate) fn wake_one(&self, workers: usize) -> Option<WorkerId> {
        if !self.has_sleepers(workers) {
            return None;
        }
        self.word.fetch_add(SEARCHING_ONE, Relaxed);
        let woken = self.take_any(workers, 0);
        if woken.is_none()
            && self.found()
            && let Notify::Unpark(worker) = self.notify(workers, 0)
        {
            return Some(worker);
        }
        woken
    }

    /// Wakes this worker, if it sleeps. What was done before a SeqCst fence before this, it sees if it does not.
    pub(crate) fn wake_this(&self, worker: WorkerId, workers: usize) -> Notify {
        if !self.is_asleep(worker) {
            return Notify::Contended;
        }
        self.word.fetch_add(SEARCHING_ONE, Relaxed);
        if self.take(worker) {
            Notify::Unpark(worker)
        } else if self.found() {
            self.notify(workers, worker)
        } else {
            Notify::Nothing
        }
    }

    /// This worker, which has announced that it sleeps, is awake: a searcher, as if another had woken it.
    pub(crate) fn retract(&self, worker: WorkerId) {
        if !self.is_asleep(worker) {
            // Who took it out has counted it.
            return;
        }
        self.word.fetch_add(SEARCHING_ONE, Relaxed);
        if !self.take(worker) {
            let last = self.found();
            debug_assert!(!last, "who took it out has counted it");
        }
    }

    fn has_sleepers(&self, workers: usize) -> bool {
        let mut words = self.asleep[..workers.div_ceil(BITS)].iter();
        words.any(|word| word.load(Relaxed) != 0)
    }

    fn is_asleep(&self, worker: WorkerId) -> bool {
        // Acquire pairs with the Release in `take`: that the worker was counted.
        self.asleep[worker / BITS].load(Acquire) & (1 << (worker % BITS)) != 0
    }

    /// Takes a worker out of the map, for a searcher that is counted (rule 5); `false` if another was faster.
    fn take(&self, worker: WorkerId) -> bool {
        let bit = 1 << (worker % BITS);
        // Release pairs with the Acquire in `is_asleep` and here: the worker was counted. Acquire also pairs with the
        // Release in `announce`.
        self.asleep[worker / BITS].fetch_and(!bit, AcqRel) & bit != 0
    }

    /// The same for any worker: the first from `near` on, else the first of all.
    fn take_any(&self, workers: usize, near: WorkerId) -> Option<WorkerId> {
        let words = workers.div_ceil(BITS);
        let first = near / BITS;
        let from = |at| if at == first { near % BITS } else { 0 };
        let near = (first..words).map(|at| (at, from(at)));
        let all = (0..words).map(|at| (at, 0));
        near.chain(all)
            .find_map(|(at, from)| self.take_in_word(at, from))
    }

    fn take_in_word(&self, at: usize, from: usize) -> Option<WorkerId> {
        loop {
            let bits = self.asleep[at].load(Relaxed) & usize::MAX << from;
            if bits == 0 {
                return None;
            }
            let worker = at * BITS + bits.trailing_zeros() as usize;
            if self.take(worker) {
                return Some(worker);
            }
        }
    }

    /// Becomes a searcher, unless half of `workers` are (rule 2).
    pub(crate) fn try_search(&self, workers: usize) -> bool {
        let searching = self.word.load(Relaxed) & SEARCHING;
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
        self.word.fetch_sub(SEARCHING_ONE, AcqRel) & SEARCHING == SEARCHING_ONE
    }

    /// Announces that `worker` sleeps (rule 4). It has to look everywhere once more after this.
    pub(crate) fn announce(&self, worker: WorkerId, searching: bool) {
        // Release pairs with the Acquire in `take`: by which waker the worker is to be woken.
        self.asleep[worker / BITS].fetch_or(1 << (worker % BITS), Release);
        if searching {
            // Relaxed: the fence below is the Acquire that pairs with the Release in `found`.
            self.word.fetch_sub(SEARCHING_ONE, Relaxed);
        }
        // Pairs with the fence in `notify`.
        fence(SeqCst);
    }

    /// Rule 6.
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
