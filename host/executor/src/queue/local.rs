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
//! 1. First in, first out, except for the slot `next`: it holds the task that the owner woke or spawned last, whose
//!    data is still in its caches. At most [`NEXT_POLLS`] tasks in a row come from there while others wait.
//! 2. While anything is in the backlog, what would go to the ring goes to the backlog's end.
//! 3. The owner refills the ring from the backlog when the ring is empty. It holds the backlog meanwhile, and
//!    counts the tasks as gone from it after they are in the ring: a thief finds them in one of the two, or is
//!    turned away, and then the owner notifies (see [`RunQueue`]).
//! 4. A thief looks at the backlog's length first and at the ring then, so that it does not miss what is on its way
//!    from one to the other.

use super::{
    mpsc::{RunQueue, Taker},
    ring::Ring,
};
use crate::{
    sync::{
        AtomicPtr,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    task::{Header, TaskRef},
};
use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
};

/// Tasks in a row that are taken from the slot `next` while others wait in the ring. tokio's number.
pub(super) const NEXT_POLLS: usize = 3;

/// What a thief has taken.
pub(crate) struct Stolen {
    /// The one to poll next; kept out of the queue so that two thieves cannot trade it forever.
    pub(crate) first: Option<TaskRef>,
    /// How many others are in the thief's queue now.
    pub(crate) more: usize,
    /// The backlog was wanted meanwhile: notify.
    pub(crate) wanted: bool,
}

pub(crate) struct LocalQueue {
    /// The owner fills it; anyone empties it.
    next: AtomicPtr<Header>,
    ring: Ring,
    backlog: RunQueue,
}

/// The owner's side of a queue. It stays on the owner's core.
#[derive(Clone, Copy)]
pub(crate) struct LocalOwner<'a> {
    queue: &'a LocalQueue,
    _not_send: PhantomData<*mut ()>,
}

impl LocalQueue {
    pub(crate) fn new() -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            ring: Ring::new(),
            backlog: RunQueue::new(),
        }
    }

    /// The owner's side.
    ///
    /// # Safety
    ///
    /// The caller is the owner: for as long as the result is used, no other thread has one.
    #[inline]
    pub(crate) unsafe fn owner(&self) -> LocalOwner<'_> {
        LocalOwner {
            queue: self,
            _not_send: PhantomData,
        }
    }

    pub(crate) fn backlog(&self) -> &RunQueue {
        &self.backlog
    }

    /// How many tasks are queued, as far as a look from outside can tell.
    pub(crate) fn len(&self) -> usize {
        self.backlog.len() + self.ring.len() + usize::from(self.has_next())
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.has_next() && self.backlog.len() == 0 && self.ring.len() == 0
    }

    fn has_next(&self) -> bool {
        // Relaxed: a hint. The swap that follows synchronizes.
        !self.next.load(Relaxed).is_null()
    }

    /// Takes the task in the slot `next`.
    fn take_next(&self) -> Option<TaskRef> {
        if !self.has_next() {
            return None;
        }
        self.swap_next(ptr::null_mut())
    }

    /// Puts a task into the slot `next`, or nothing, and takes what was there.
    fn swap_next(&self, task: *mut Header) -> Option<TaskRef> {
        // Acquire pairs with the Release of the owner's store in `push_next`, and of this. Release, so that a thief that
        // finds the slot empty (`steal_half`) sees what its taker had queued before.
        let taken = NonNull::new(self.next.swap(task, AcqRel))?;
        // SAFETY: a swap that takes a task out of the slot gets the reference that was put in.
        Some(unsafe { TaskRef::from_counted(taken) })
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
    /// one is returned, the others go to `thief`.
    pub(crate) fn steal_half(&self, thief: LocalOwner<'_>, last_resort: bool) -> Stolen {
        let mut stolen = self.steal_queued(thief);
        if stolen.first.is_none() && last_resort {
            // Acquire, here and in the swap, pairs with the Release of the swap that emptied the slot: its taker may have
            // queued another task before, without a notification.
            if !self.next.load(Acquire).is_null() {
                stolen.first = self.swap_next(ptr::null_mut());
            }
            if stolen.first.is_none() {
                let wanted = stolen.wanted;
                stolen = self.steal_queued(thief);
                stolen.wanted |= wanted;
            }
        }
        stolen
    }

    /// As `steal_half`, but not from the slot.
    fn steal_queued(&self, thief: LocalOwner<'_>) -> Stolen {
        // SAFETY: the thief's owner calls.
        let steal_ring = || unsafe { self.ring.steal_half(&thief.queue.ring) };
        let (mut first, mut more, mut wanted) = (None, 0, false);
        if self.backlog.len() == 0 {
            (first, more) = steal_ring();
        } else if let Some(mut taker) = self.backlog.try_take() {
            // While we hold the backlog, nothing is on its way from there to the ring.
            (first, more) = steal_ring();
            if first.is_none() {
                let half = self.backlog.len().div_ceil(2);
                taker.take(half.min(1), |task| first = Some(task));
                // If a push is half done there is no first, and there may be a second by now. It stays: a caller that
                // finds no first looks no further, and might sleep beside it.
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

impl LocalOwner<'_> {
    /// Queues a task at the end.
    pub(crate) fn push_back(self, task: TaskRef) {
        let queue = self.queue;
        // Rule 2. A push from elsewhere that is not counted yet is not ordered with this one either.
        if queue.backlog.len() > 0 {
            queue.backlog.push(task);
            return;
        }
        // SAFETY: we are the owner.
        if let Err(task) = unsafe { queue.ring.push(task) } {
            queue.backlog.push(task);
        }
    }

    /// Queues a task as the one to run next. The one that was next before goes to the end.
    pub(crate) fn push_next(self, task: TaskRef) {
        let task = task.into_counted().as_ptr();
        if !self.queue.has_next() {
            // Nobody else fills it. Release pairs with the Acquire of `swap_next`.
            self.queue.next.store(task, Release);
        } else if let Some(displaced) = self.queue.swap_next(task) {
            self.push_back(displaced);
        }
    }

    /// Takes the task that is to run next. `in_a_row` counts those in a row that came from the slot `next`. `true` if
    /// others may have missed tasks on their way from the backlog: notify.
    pub(crate) fn pop(self, in_a_row: &mut usize) -> (Option<TaskRef>, bool) {
        let queue = self.queue;
        if *in_a_row < NEXT_POLLS
            && let Some(task) = queue.take_next()
        {
            *in_a_row += 1;
            return (Some(task), false);
        }
        *in_a_row = 0;
        if let Some(task) = queue.ring.pop() {
            return (Some(task), false);
        }
        let missed = self.refill();
        (queue.take_unheld(), missed)
    }

    /// Rule 3. `true` if others may have missed tasks because of it.
    fn refill(self) -> bool {
        let backlog = &self.queue.backlog;
        if backlog.len() == 0 {
            return false;
        }
        // A thief that holds it notifies when it is done; meanwhile there may be other work.
        let Some(mut taker) = backlog.try_take() else {
            return false;
        };
        let moved = self.take_from(&mut taker, usize::MAX);
        // One is polled at once. Of several, some may have been queued without a notification, behind others that a
        // thief found gone.
        taker.release() | (moved > 1)
    }

    /// Moves up to `max` tasks from another queue into the ring, as many as fit; returns how many.
    pub(crate) fn take_from(self, taker: &mut Taker<'_>, max: usize) -> usize {
        let ring = &self.queue.ring;
        taker.take(max.min(ring.room()), |task| {
            // SAFETY: we are the owner.
            let pushed = unsafe { ring.push(task) };
            debug_assert!(pushed.is_ok(), "there was room, and only we push");
        })
    }
}

impl Drop for LocalQueue {
    fn drop(&mut self) {
        drop(self.take_next());
    }
}
