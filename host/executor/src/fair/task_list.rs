//! Queues of tasks that allocate nothing: the tasks are linked through their headers.

use crate::task::{Header, TaskRef};
use core::ptr::NonNull;

/// Tasks of the fair lane, first in, first out.
#[derive(Default)]
struct TaskList {
    /// The first and the last one. The list has a counted reference to each of its tasks.
    ends: Option<(NonNull<Header>, NonNull<Header>)>,
}

// SAFETY: its pointers are counted references to tasks, which are `Send`.
unsafe impl Send for TaskList {}

/// A group's runnable tasks.
#[derive(Default)]
pub(super) struct GroupTasks {
    /// In the order in which they became runnable.
    queued: TaskList,
    /// Tasks of a batch that ended before it came to them: they go first.
    older: TaskList,
}

impl GroupTasks {
    /// Queues a task that became runnable at `now`, in a domain's lane.
    pub(super) fn push(&mut self, task: TaskRef, now: u64, domain: usize) {
        task.header().set_queued_at(now, domain);
        self.queued.push_back(task);
    }

    /// Queues a task that was at the front before.
    pub(super) fn push_older(&mut self, task: TaskRef) {
        self.older.push_back(task);
    }

    /// Queues a task that waited in another domain's lane.
    pub(super) fn push_moved(&mut self, task: TaskRef, domain: usize) {
        task.header().set_domain(domain);
        self.older.push_back(task);
    }

    /// Takes the oldest task of a group that has one.
    pub(super) fn pop(&mut self) -> TaskRef {
        let oldest = match self.older.pop_front() {
            None => self.queued.pop_front(),
            older => older,
        };
        oldest.expect("a runnable group has a task")
    }
}

impl TaskList {
    fn push_back(&mut self, task: TaskRef) {
        let task = task.into_counted();
        // SAFETY: its counted reference is ours, and it is in no other queue: a runnable task is in one at most.
        unsafe { set_next(task, None) };
        self.ends = match self.ends {
            None => Some((task, task)),
            Some((first, last)) => {
                // SAFETY: the list has a counted reference to it.
                unsafe { set_next(last, Some(task)) };
                Some((first, task))
            }
        };
    }

    fn pop_front(&mut self) -> Option<TaskRef> {
        let (first, last) = self.ends?;
        // SAFETY: the list has a counted reference to it.
        let link = unsafe { first.as_ref() }.fair_link();
        // SAFETY: the link of a task in a list is the list's, and `&mut self` is the only access to that.
        let next = link.with(|next| unsafe { *next });
        self.ends = next.map(|next| (next, last));
        // SAFETY: the list's reference, which it has no more.
        Some(unsafe { TaskRef::from_counted(first) })
    }
}

/// # Safety
///
/// The caller has a counted reference to `task`, which is in its list, or about to be, and in no other.
unsafe fn set_next(task: NonNull<Header>, to: Option<NonNull<Header>>) {
    // SAFETY: the caller's: the task is alive.
    let link = unsafe { task.as_ref() }.fair_link();
    // SAFETY: the caller's: nobody else touches the link.
    link.with_mut(|next| unsafe { *next = to });
}
