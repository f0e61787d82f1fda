//! The ring: the fast part of a worker's queue. Its owner pushes, any thread takes.
//!
//! 1. Only the owner pushes: it fills the place at `tail`, then moves `tail` on.
//! 2. To take, read the oldest places, then move `head` past them with one compare-and-swap. The owner takes
//!    one, a thief half. A taker whose swap fails has read what belongs to another, and forgets it.
//! 3. The owner never fills a place that is not behind `head`. So what a taker read is still there if its
//!    swap succeeds: nobody moved `head` meanwhile.
//! 4. A thief keeps the oldest for itself. It fills the places of its own ring with the others and moves its own
//!    `tail` after its swap succeeded: before that nobody looks at them.
//!
//! The indices only grow, and wrap. Rule 3 would break where a taker stands still between its read and its swap
//! while exactly `usize::MAX + 1` tasks pass through the ring.

use crate::{
    sync::{
        AtomicPtr, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
    task::{Header, TaskRef},
};
use alloc::boxed::Box;
use core::ptr::{self, NonNull};

/// Tasks in a ring. Other schedulers use the same number. A larger one moves no case of `hart-bench`'s suite
/// `executor`: what does not fit costs one more atomic operation in the backlog.
#[cfg(not(any(loom, shuttle, miri)))]
pub(super) const RING: usize = 256;
#[cfg(any(loom, shuttle, miri))]
pub(super) const RING: usize = 4;

const _: () = assert!(RING.is_power_of_two());

pub(super) struct Ring {
    /// Where the oldest task is. Takers move it.
    head: AtomicUsize,
    /// Where the next task goes. Moved by the owner only.
    tail: AtomicUsize,
    places: Box<[AtomicPtr<Header>; RING]>,
}

impl Ring {
    pub(super) fn new() -> Self {
        Self {
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            places: Box::new(core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut()))),
        }
    }

    fn place(&self, index: usize) -> &AtomicPtr<Header> {
        &self.places[index % RING]
    }

    /// How many tasks are in it, as far as a look from outside can tell.
    pub(super) fn len(&self) -> usize {
        // Acquire, so that `tail` is read after it.
        let head = self.head.load(Acquire);
        // Acquire pairs with the Release of a push. Read after `head`, it is never behind it, but may be too far ahead.
        self.tail.load(Acquire).wrapping_sub(head).min(RING)
    }

    /// How many more fit. Only the owner may rely on it.
    pub(super) fn room(&self) -> usize {
        // Acquire pairs with the Release of the takers' exchanges: they have read the places that are filled next.
        let head = self.head.load(Acquire);
        RING - self.tail.load(Relaxed).wrapping_sub(head)
    }

    /// Adds a task at the end, or gives it back if there is no room.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    pub(super) unsafe fn push(&self, task: TaskRef) -> Result<(), TaskRef> {
        if self.room() == 0 {
            return Err(task);
        }
        let tail = self.tail.load(Relaxed);
        self.place(tail)
            .store(task.into_counted().as_ptr(), Relaxed);
        // Release pairs with the Acquire loads of `tail` in `pop` and `steal_half`: the place, and the task.
        self.tail.store(tail.wrapping_add(1), Release);
        Ok(())
    }

    /// Takes the oldest task.
    pub(super) fn pop(&self) -> Option<TaskRef> {
        // Acquire pairs with the Release of the takers' exchanges.
        let mut head = self.head.load(Acquire);
        loop {
            // Acquire pairs with the Release of `push`: the place.
            if self.tail.load(Acquire) == head {
                return None;
            }
            let task = self.place(head).load(Relaxed);
            // Release pairs with the Acquire in `room`, and with the Acquire of an exchange that fails: a thread that
            // sees that a task is gone sees what its taker had queued before.
            match self
                .head
                .compare_exchange(head, head.wrapping_add(1), Release, Acquire)
            {
                Ok(_) => return Some(taken(task)),
                // Another took it: progress, so this is no spin.
                Err(actual) => head = actual,
            }
        }
    }

    /// Takes half of the tasks, rounded up: the oldest is returned, the others go to the end of `thief`. Also returns
    /// how many others.
    ///
    /// # Safety
    ///
    /// The caller is the owner of `thief`.
    pub(super) unsafe fn steal_half(&self, thief: &Self) -> (Option<TaskRef>, usize) {
        let room = thief.room();
        let end = thief.tail.load(Relaxed);
        // As in `pop`.
        let mut head = self.head.load(Acquire);
        loop {
            let there = self.tail.load(Acquire).wrapping_sub(head);
            // More than there can be: `head` has moved since it was read, and the swap will say so.
            let take = there.min(RING).div_ceil(2).min(room + 1);
            if take == 0 {
                return (None, 0);
            }
            let first = self.place(head).load(Relaxed);
            let more = take - 1;
            for offset in 0..more {
                let task = self.place(head.wrapping_add(1 + offset)).load(Relaxed);
                thief.place(end.wrapping_add(offset)).store(task, Relaxed);
            }
            // As in `pop`.
            match self
                .head
                .compare_exchange(head, head.wrapping_add(take), Release, Acquire)
            {
                Ok(_) => {
                    if more > 0 {
                        // As in `push`.
                        thief.tail.store(end.wrapping_add(more), Release);
                    }
                    return (Some(taken(first)), more);
                }
                Err(actual) => head = actual,
            }
        }
    }
}

/// The reference that a place held.
fn taken(task: *mut Header) -> TaskRef {
    let task = NonNull::new(task).expect("a place between head and tail was filled");
    // SAFETY: the caller's exchange succeeded, so the reference that `push` put into the place is its own.
    unsafe { TaskRef::from_counted(task) }
}

impl Drop for Ring {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
