//! One worker's queue: a slot for the task that goes next, a ring, and a backlog.
//!
//! ```text
//!             wake, spawn (owner)        back of the queue (owner)       from other threads
//!                      |                            |                            |
//!                      v        displaced           v         no room            v
//!                  +------+ ------------------> +------+ -----------------> +---------+
//!   owner <--------| next |                     | ring | <----------------- | backlog |
//!                  +------+                     +------+   refill (owner)   +---------+
//!                      |                            |                            |
//!              last resort, one                 half of it                  half of it
//!                      +-------------> thieves <----+----------------------------+
//! ```
//!
//! 1. First in, first out, but for the slot `next`: it holds the task that the owner has woken or spawned last,
//!    whose data is still in its caches. At most [`NEXT_POLLS`] in a row are taken from there while others wait.
//! 2. While anything is in the backlog, what would go to the ring goes to the backlog's end.
//! 3. The owner refills the ring from the backlog when the ring is empty. It holds the backlog meanwhile, and
//!    counts the tasks as gone from it after they are in the ring: a thief finds them in one of the two, or is
//!    turned away, and then the owner notifies (see [`RunQueue`]).
//! 4. A thief looks at the backlog's length first and at the ring then, so that what is on its way from one to
//!    the other is not missed.

use super::{RunQueue, Taker, ring::Ring};
use crate::{
    sync::{
        AtomicPtr,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    task::{Header, TaskRef},
};
use core::ptr::{self, NonNull};

/// Tasks in a row that are taken from the slot `next` while others wait in the ring. tokio's number.
pub(crate) const NEXT_POLLS: usize = 3;

/// What a thief has taken.
pub(crate) struct Stolen {
    /// The one that it polls next. Were it in a queue, two idle workers could take it from one another for ever.
    pub(crate) first: Option<TaskRef>,
    /// How many others are in its queue now.
    pub(crate) more: usize,
    /// Somebody wanted the backlog meanwhile: notify.
    pub(crate) wanted: bool,
}

pub(crate) struct LocalQueue {
    /// The owner fills it; anybody empties it.
    next: AtomicPtr<Header>,
    ring: Ring,
    backlog: RunQueue,
}

impl LocalQueue {
    pub(crate) fn new() -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            ring: Ring::new(),
            backlog: RunQueue::new(),
        }
    }

    pub(crate) fn backlog(&self) -> &RunQueue {
        &self.backlog
    }

    /// How many tasks are queued, as far as anybody can tell from outside.
    pub(crate) fn len(&self) -> usize {
        self.backlog.len() + self.ring.len() + usize::from(self.has_next())
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.has_next() && self.backlog.len() == 0 && self.ring.len() == 0
    }

    fn has_next(&self) -> bool {
        !self.next.load(Relaxed).is_null()
    }

    // === by the owner ===

    /// Queues a task at the end. Only the owner may call this.
    pub(crate) fn push_back(&self, task: TaskRef) {
        // Rule 2. A push from elsewhere that is not counted yet is not ordered with this one either.
        if self.backlog.len() > 0 {
            self.backlog.push(task);
        } else if let Err(task) = self.ring.push(task) {
            self.backlog.push(task);
        }
    }

    /// Queues a task as the one to run next; who was that goes to the end. Only the owner may call this.
    pub(crate) fn push_next(&self, task: TaskRef) {
        let task = task.into_counted().as_ptr();
        if !self.has_next() {
            // Nobody else fills it. Release pairs with the Acquire of `take_next`.
            self.next.store(task, Release);
            return;
        }
        if let Some(displaced) = taken(self.next.swap(task, AcqRel)) {
            self.push_back(displaced);
        }
    }

    /// Takes the task that is to run next. `in_a_row` is how many came from the slot `next` in a row. `true` if
    /// others may have missed tasks on their way from the backlog: notify. Only the owner may call this.
    pub(crate) fn pop(&self, in_a_row: &mut usize) -> (Option<TaskRef>, bool) {
        if *in_a_row < NEXT_POLLS
            && let Some(task) = self.take_next()
        {
            *in_a_row += 1;
            return (Some(task), false);
        }
        *in_a_row = 0;
        if let Some(task) = self.ring.pop() {
            return (Some(task), false);
        }
        let missed = self.refill();
        let task = self.ring.pop().or_else(|| self.take_next());
        (task, missed)
    }

    /// Rule 3. `true` if somebody else may have missed tasks because of it. Only the owner may call this.
    fn refill(&self) -> bool {
        if self.backlog.len() == 0 {
            return false;
        }
        // A thief that holds it notifies when it is done; meanwhile there may be other work.
        let Some(mut taker) = self.backlog.try_take() else {
            return false;
        };
        let moved = self.take_from(&mut taker, usize::MAX);
        // One is polled at once. Of several, some may have been queued without a notification, behind others that a
        // thief found gone.
        taker.release() | (moved > 1)
    }

    /// Moves up to `max` tasks from another queue into the ring, as many as fit; returns how many. Only the owner
    /// may call this.
    pub(crate) fn take_from(&self, taker: &mut Taker<'_>, max: usize) -> usize {
        let max = max.min(self.ring.room());
        taker.take(max, |task| {
            let pushed = self.ring.push(task);
            debug_assert!(pushed.is_ok(), "there was room, and only we push");
        })
    }

    // === by thieves, and by the owner ===

    /// Takes the task in the slot `next`.
    pub(crate) fn take_next(&self) -> Option<TaskRef> {
        if !self.has_next() {
            return None;
        }
        // Acquire pairs with the Release of who filled it; Release, so that whoever finds it empty sees what its
        // taker had queued before.
        taken(self.next.swap(ptr::null_mut(), AcqRel))
    }

    /// Takes the oldest task that is not in the backlog, which needs no right to it.
    pub(crate) fn take_unheld(&self) -> Option<TaskRef> {
        self.ring.pop().or_else(|| self.take_next())
    }

    /// Takes the oldest task, for the holder of the backlog.
    pub(crate) fn take_oldest(&self, backlog: &mut Taker<'_>) -> Option<TaskRef> {
        self.ring
            .pop()
            .or_else(|| backlog.pop())
            .or_else(|| self.take_next())
    }

    /// Takes half of the tasks, or with `last_resort` the one that is to run next if there is no other: the first
    /// for who calls this, the others go to `thief`. Only the owner of `thief` may call this.
    pub(crate) fn steal_half(&self, thief: &Self, last_resort: bool) -> Stolen {
        let mut stolen = self.steal_queued(thief);
        if stolen.first.is_none() && last_resort {
            // Acquire, here and in the swap, pairs with the Release of who emptied the slot: it may have queued
            // another task before, without a notification.
            if !self.next.load(Acquire).is_null() {
                stolen.first = taken(self.next.swap(ptr::null_mut(), AcqRel));
            }
            if stolen.first.is_none() {
                let wanted = stolen.wanted;
                stolen = self.steal_queued(thief);
                stolen.wanted |= wanted;
            }
        }
        stolen
    }

    /// `steal_half`, but for the slot.
    fn steal_queued(&self, thief: &Self) -> Stolen {
        let (mut first, mut more, mut wanted) = (None, 0, false);
        if self.backlog.len() == 0 {
            (first, more) = self.ring.steal_half(&thief.ring);
        } else if let Some(mut taker) = self.backlog.try_take() {
            // While we hold the backlog, nothing is on its way from there to the ring.
            (first, more) = self.ring.steal_half(&thief.ring);
            if first.is_none() {
                let half = self.backlog.len().div_ceil(2);
                taker.take(half.min(1), |task| first = Some(task));
                // Where a push was half done there is no first, and may be a second by now: not to be taken, for
                // who finds no first looks no further, and might sleep beside it.
                if first.is_some() {
                    more = thief.take_from(&mut taker, half - 1);
                }
            }
            wanted = taker.release();
        }
        Stolen {
            first,
            more,
            wanted,
        }
    }
}

/// The reference that the slot held.
fn taken(task: *mut Header) -> Option<TaskRef> {
    let task = NonNull::new(task)?;
    // SAFETY: whoever swaps a task out of the slot owns the reference that was put in.
    Some(unsafe { TaskRef::from_counted(task) })
}

impl Drop for LocalQueue {
    fn drop(&mut self) {
        drop(self.take_next());
    }
}
