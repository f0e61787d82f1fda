//! Several short polls of one group that a worker takes together.
//!
//! Taking a task from the fair lane costs a lock that all workers share and a look at the clock. If a group's polls are
//! much shorter than that, a worker takes several of its tasks at once, polls them one after the other, and
//! charges the group for all of them.
//!
//! Tasks in a batch wait behind a poll that may, this once, be long. They are not lost to others:
//!
//! 1. They move between the lane and a batch under the lane's lock, in both directions. Only the owner takes one out of
//!    its batch without that lock. So the holder of the lane's lock sees every runnable task in one of the two.
//! 2. `begin`: the owner, under the lane's lock, fills its batch, which is empty.
//! 3. `next`: the owner takes the oldest task that it has not polled yet, and leaves the one that it has polled, if
//!    that is runnable again.
//! 4. `end`: a holder of the lane's lock takes everything. The owner does that after the last task, and at a
//!    preemption point within one; so does any other worker that finds nothing else to do; and `close`.
//!
//! That the lane's lock is held in 2 and 4 the group's tasks prove, which only its holder can name.

use super::task_list::GroupTasks;
use crate::{
    platform::WorkerId,
    sync::{
        AtomicUsize, Mutex,
        Ordering::{Acquire, Relaxed, Release},
    },
    task::TaskRef,
};
use alloc::collections::VecDeque;

/// Tasks in a batch, at most.
pub(super) const LONGEST_BATCH: usize = 16;

pub(crate) struct Batch {
    worker: WorkerId,
    tasks: Mutex<Tasks>,
    /// Tasks in it: a hint without the lock. Release when it grows, pairs with the Acquire of `len`.
    len: AtomicUsize,
}

struct Tasks {
    /// Those to be polled, then those that were and are runnable again. Never more than the batch began with, for
    /// which there is room: nothing is allocated under the lock.
    tasks: VecDeque<TaskRef>,
    /// How many are to be polled.
    left: usize,
    /// The place of the group whose batch it is, or was, among those that run.
    group: Option<usize>,
}

impl Batch {
    /// That of a worker.
    pub(crate) fn new(worker: WorkerId) -> Self {
        Self {
            worker,
            tasks: Mutex::new(Tasks {
                tasks: VecDeque::with_capacity(LONGEST_BATCH),
                left: 0,
                group: None,
            }),
            len: AtomicUsize::new(0),
        }
    }

    pub(super) fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Tasks in it. Exact under the lane's lock, except for what the owner polls meanwhile.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Acquire)
    }

    /// Fills it with the oldest `more` tasks of the group that runs at `group`, before the lane counts them as gone. By the owner.
    pub(super) fn begin(&self, group: usize, from: &mut GroupTasks, more: usize) {
        debug_assert!(
            more < LONGEST_BATCH,
            "one of a batch's tasks is polled at once"
        );
        // Release pairs with the Acquire of `len`.
        self.len.store(more, Release);
        let mut batch = self.tasks.lock();
        batch.tasks.extend((0..more).map(|_| from.pop()));
        batch.left = more;
        batch.group = Some(group);
    }

    /// The next task to poll; `polled` is the last one, if that is runnable again. By the owner.
    ///
    /// # Errors
    ///
    /// `polled`, if there is no further one.
    pub(crate) fn next(&self, polled: Option<TaskRef>) -> Result<TaskRef, Option<TaskRef>> {
        // Relaxed: the owner filled it, so it does not miss a task; others only take.
        if self.len.load(Relaxed) == 0 {
            return Err(polled);
        }
        let mut batch = self.tasks.lock();
        if batch.left == 0 {
            return Err(polled);
        }
        batch.left -= 1;
        let next = batch.tasks.pop_front();
        batch.tasks.extend(polled);
        // Relaxed: it does not grow.
        self.len.store(batch.tasks.len(), Relaxed);
        next.ok_or(None)
    }

    /// Where the group runs whose tasks are in it, if any are.
    pub(super) fn group(&self) -> Option<usize> {
        let batch = self.tasks.lock();
        batch.group.filter(|_| !batch.tasks.is_empty())
    }

    /// Gives what is in it back to its group at `now`, in the lane of `domain`: those that were not polled yet go before
    /// the others. Returns how many.
    pub(super) fn end(&self, to: &mut GroupTasks, now: u64, domain: usize) -> usize {
        if self.len.load(Acquire) == 0 {
            return 0;
        }
        let mut batch = self.tasks.lock();
        let left = core::mem::take(&mut batch.left);
        let mut given = 0;
        while let Some(task) = batch.tasks.pop_front() {
            if given < left {
                to.push_older(task);
            } else {
                to.push(task, now, domain);
            }
            given += 1;
        }
        // Relaxed: it does not grow.
        self.len.store(0, Relaxed);
        given
    }
}
