//! A queue into which anyone pushes and from which one at a time takes: the injector, and each worker's backlog.
//!
//! It is cordyceps' intrusive [`MpscQueue`] with a length, and a lock of its own for the taking side, because both the
//! owning worker and thieves take. The lock never waits. The protocol:
//!
//! 1. To take, set `HELD`. A thread that finds it set sets `WANTED` and goes away: to it the queue is empty for now.
//! 2. The holder that clears `HELD` and finds `WANTED` notifies the executor, as if it had just queued what is
//!    left. So nobody misses tasks because another was looking at them.
//! 3. A push makes the task reachable, then counts it, then notifies. A taker that comes in between
//!    sees "inconsistent", treats it as "empty for now" and goes away; the pusher's notification
//!    follows.
//! 4. A taker that moves tasks to another queue counts them as gone from here after they are there. A thread that finds
//!    this queue empty and looks at the other one afterwards does not miss them.
//!
//! Because of 2 and 3 nobody ever spins until another thread gets on.

use crate::{
    sync::{
        AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    task::{Header, TaskRef, stub},
};
use cordyceps::{MpscQueue, mpsc_queue::TryDequeueError};

const HELD: usize = 1;
const WANTED: usize = 2;

pub(crate) struct RunQueue {
    tasks: MpscQueue<Header>,
    /// Pushes minus takes. A take may be counted before its push is, so it can be "negative".
    len: AtomicUsize,
    /// `HELD` and `WANTED`.
    lock: AtomicUsize,
}

/// The exclusive right to take from a queue.
pub(crate) struct Taker<'a> {
    queue: &'a RunQueue,
}

impl RunQueue {
    pub(crate) fn new() -> Self {
        Self {
            tasks: MpscQueue::new_with_stub(stub()),
            len: AtomicUsize::new(0),
            lock: AtomicUsize::new(0),
        }
    }

    /// Queues a task. The caller notifies the executor afterwards (rule 3), unless it is the worker that
    /// takes it next.
    pub(crate) fn push(&self, task: TaskRef) {
        debug_assert!(!task.header().is_fair(), "groups have queues of their own");
        self.tasks.enqueue(task);
        // Relaxed: the notification's fence orders it before the look for sleepers.
        self.len.fetch_add(1, Relaxed);
    }

    /// How many tasks are queued, as far as a look from outside can tell.
    pub(crate) fn len(&self) -> usize {
        // Acquire pairs with the Release of `take`: where the tasks went.
        usize::try_from(self.len.load(Acquire).cast_signed()).unwrap_or(0)
    }

    /// The right to take, unless another has it (rule 1). The caller must call [`Taker::release`].
    pub(crate) fn try_take(&self) -> Option<Taker<'_>> {
        loop {
            let now = self.lock.load(Relaxed);
            if now & HELD == 0 {
                // A WANTED left behind is ours to answer: we look at the queue ourselves. Acquire
                // pairs with the Release of the last holder's `release`: the queue's tail.
                if self
                    .lock
                    .compare_exchange(now, HELD, Acquire, Relaxed)
                    .is_ok()
                {
                    return Some(Taker { queue: self });
                }
            } else if self.lock.fetch_or(WANTED, AcqRel) & HELD != 0 {
                // The holder's `release` reads this write, so it also sees what we announced before it.
                return None;
            }
            // Another thread released or took meanwhile: progress, so this is no spin.
        }
    }
}

impl Taker<'_> {
    /// Takes the oldest task. `None` means empty, for now (rule 3).
    pub(crate) fn pop(&mut self) -> Option<TaskRef> {
        let task = self.dequeue()?;
        self.queue.len.fetch_sub(1, Relaxed);
        Some(task)
    }

    /// Takes up to `max` tasks, the oldest first, and gives them to `put`; returns how many.
    pub(crate) fn take(&mut self, max: usize, mut put: impl FnMut(TaskRef)) -> usize {
        let mut taken = 0;
        while taken < max
            && let Some(task) = self.dequeue()
        {
            put(task);
            taken += 1;
        }
        if taken > 0 {
            // Rule 4. Release pairs with the Acquire of `len`.
            self.queue.len.fetch_sub(taken, Release);
        }
        taken
    }

    fn dequeue(&mut self) -> Option<TaskRef> {
        // SAFETY: `HELD` is ours until `release`, so nobody else takes from this queue.
        match unsafe { self.queue.tasks.try_dequeue_unchecked() } {
            Ok(task) => Some(task),
            Err(TryDequeueError::Empty | TryDequeueError::Inconsistent) => None,
            Err(TryDequeueError::Busy) => unreachable!("cordyceps' own lock is not used"),
        }
    }

    /// Gives the right back. `true` if it was wanted meanwhile: notify the executor (rule 2).
    #[must_use = "another thread may have gone away because of us"]
    pub(crate) fn release(self) -> bool {
        // Release pairs with the Acquire of `try_take`: the queue's tail. Acquire pairs with its `fetch_or`.
        self.queue.lock.swap(0, AcqRel) & WANTED != 0
    }

    pub(crate) fn queue(&self) -> &RunQueue {
        self.queue
    }
}
