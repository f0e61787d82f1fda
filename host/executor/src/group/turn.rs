//! A worker's turn in the fair lane: the tasks of one group that it took together.
//!
//! Taking a turn costs a lock that all workers share and a look at the clock. Where a group's polls are much
//! shorter than that is worth, a worker takes several of its tasks at once, polls them one after the other, and
//! charges the group for all of them.
//!
//! Tasks that are part of a turn wait behind a poll that may, this once, be long. They are not lost to others:
//!
//! 1. They move between the lane and a turn under the lane's lock, in both directions; the owner alone takes one out of
//!    its turn without that lock. So whoever holds the lane's lock sees every runnable task in one of them.
//! 2. `begin`: the owner, under the lane's lock, fills its turn, which is empty.
//! 3. `next`: the owner takes the oldest task that it has not polled yet, and leaves the one that it has polled, if
//!    that is runnable again.
//! 4. `end`: somebody who holds the lane's lock takes everything. The owner does that after the last task, and at a
//!    preemption point within one; any other worker that finds nothing else to do; and `close`.

use super::GroupInner;
use crate::{
    sync::{
        Arc, AtomicUsize, Mutex,
        Ordering::{Acquire, Relaxed, Release},
    },
    task::TaskRef,
};
use alloc::collections::VecDeque;

/// Tasks in a turn, at most.
pub(crate) const LONGEST_TURN: usize = 16;

pub(crate) struct Turn {
    tasks: Mutex<Tasks>,
    /// Tasks in it: a hint without the lock. Release when it grows, pairs with the Acquire of `len`.
    len: AtomicUsize,
}

struct Tasks {
    /// Those to be polled, then those that were and are runnable again. Never more than the turn began with, for
    /// which there is room: nothing is allocated under the lock.
    tasks: VecDeque<TaskRef>,
    /// How many are to be polled.
    left: usize,
}

impl Turn {
    pub(crate) fn new() -> Self {
        Self {
            tasks: Mutex::new(Tasks {
                tasks: VecDeque::with_capacity(LONGEST_TURN),
                left: 0,
            }),
            len: AtomicUsize::new(0),
        }
    }

    /// Tasks in it. Exact under the lane's lock, but for what the owner polls meanwhile.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Acquire)
    }

    /// Fills it with `more` tasks. By the owner, under the lane's lock, before the lane counts them as gone.
    pub(super) fn begin(&self, more: usize, mut take: impl FnMut() -> TaskRef) {
        debug_assert!(
            more < LONGEST_TURN,
            "one of a turn's tasks is polled at once"
        );
        self.len.store(more, Release);
        let mut turn = self.tasks.lock();
        for _ in 0..more {
            turn.tasks.push_back(take());
        }
        turn.left = more;
    }

    /// The next task to poll; `polled` is the last one, if that is runnable again. By the owner.
    ///
    /// # Errors
    ///
    /// `polled`, where there is no further one.
    pub(crate) fn next(&self, polled: Option<TaskRef>) -> Result<TaskRef, Option<TaskRef>> {
        if self.len.load(Relaxed) == 0 {
            // The owner filled it, so it does not miss a task; others only take.
            return Err(polled);
        }
        let mut turn = self.tasks.lock();
        if turn.left == 0 {
            return Err(polled);
        }
        turn.left -= 1;
        let next = turn.tasks.pop_front();
        turn.tasks.extend(polled);
        // Relaxed: it does not grow.
        self.len.store(turn.tasks.len(), Relaxed);
        next.ok_or(None)
    }

    /// Whose tasks are in it, if any are. Under the lane's lock.
    pub(super) fn group(&self) -> Option<Arc<GroupInner>> {
        let turn = self.tasks.lock();
        turn.tasks
            .front()
            .and_then(|task| task.header().group())
            .cloned()
    }

    /// Takes what is in it: first `waiting` gets those that were not polled yet, then `polled` the others. Under the
    /// lane's lock, after which the lane has them.
    pub(super) fn end(
        &self,
        mut waiting: impl FnMut(TaskRef),
        mut polled: impl FnMut(TaskRef),
    ) -> usize {
        if self.len.load(Acquire) == 0 {
            return 0;
        }
        let mut turn = self.tasks.lock();
        let left = core::mem::take(&mut turn.left);
        let mut taken = 0;
        while let Some(task) = turn.tasks.pop_front() {
            if taken < left {
                waiting(task);
            } else {
                polled(task);
            }
            taken += 1;
        }
        self.len.store(0, Relaxed);
        taken
    }
}
