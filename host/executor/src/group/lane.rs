//! The fair lane: runnable tasks of groups.
//!
//! One for the whole executor, behind one lock: a poll in this lane is microseconds to milliseconds long,
//! and any worker may take any task. For now groups take turns: a ring of runnable groups, each with its
//! tasks first in, first out.
//!
//! 1. Push: the task joins its group's queue; a group that had none joins the end of the ring.
//! 2. Pop: the group at the front gives its oldest task, and goes to the end if it has more.
//! 3. The count is raised under the lock and read without: the executor's notification orders the two as
//!    for any queue.

use super::GroupInner;
use crate::{
    sync::{AtomicUsize, Mutex, Ordering::Relaxed, UnsafeCell},
    task::{Header, TaskRef},
};
use alloc::{collections::VecDeque, sync::Arc};
use cordyceps::MpscQueue;

pub(crate) struct Lane {
    ring: Mutex<VecDeque<Arc<GroupInner>>>,
    /// Runnable tasks of all groups.
    len: AtomicUsize,
}

/// A group's runnable tasks. Touched only by who holds the lane's lock.
pub(crate) struct GroupQueue {
    tasks: MpscQueue<Header>,
    len: UnsafeCell<usize>,
}

// SAFETY: both fields are touched under the lane's lock only (the fields are private, and `Lane` is the
// only one to use them).
unsafe impl Sync for GroupQueue {}
// SAFETY: tasks are `Send`.
unsafe impl Send for GroupQueue {}

impl GroupQueue {
    pub(crate) fn new() -> Self {
        Self {
            tasks: MpscQueue::new_with_stub(TaskRef::stub()),
            len: UnsafeCell::new(0),
        }
    }

    /// Adds to the length and returns the old one. Under the lane's lock.
    fn add_len(&self, n: isize) -> usize {
        self.len.with_mut(|len| {
            // SAFETY: the caller holds the lane's lock.
            let len = unsafe { &mut *len };
            core::mem::replace(len, len.wrapping_add_signed(n))
        })
    }
}

impl Lane {
    pub(crate) fn new() -> Self {
        Self {
            ring: Mutex::new(VecDeque::new()),
            len: AtomicUsize::new(0),
        }
    }

    /// Runnable tasks, as far as anybody can tell without the lock.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Queues a task of `group` at `now`. The caller notifies the executor afterwards.
    pub(crate) fn push(&self, group: &Arc<GroupInner>, task: TaskRef, now: u64) {
        task.header().set_queued_at(now);
        let mut ring = self.ring.lock();
        group.queue.tasks.enqueue(task);
        if group.queue.add_len(1) == 0 {
            ring.push_back(group.clone());
        }
        self.len.fetch_add(1, Relaxed);
    }

    /// Takes the task whose turn it is.
    pub(crate) fn pop(&self) -> Option<TaskRef> {
        if self.len() == 0 {
            // Whoever queues after this look notifies.
            return None;
        }
        let mut ring = self.ring.lock();
        let group = ring.pop_front()?;
        // SAFETY: takes and pushes both happen under the lock, so nobody else takes.
        let task = unsafe { group.queue.tasks.try_dequeue_unchecked() }
            .expect("a group in the ring has a task, and no push is half done under the lock");
        if group.queue.add_len(-1) > 1 {
            ring.push_back(group);
        }
        self.len.fetch_sub(1, Relaxed);
        Some(task)
    }
}
