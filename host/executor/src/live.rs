//! The list of live tasks: what `close` walks.
//!
//! A task is in it from its spawn until it completes, and the list holds a reference to it. Sharded by
//! id, so that spawns on different cores rarely meet.

use crate::{
    sync::{AtomicUsize, Mutex, Ordering::Relaxed},
    task::{Header, TaskRef},
};
use alloc::boxed::Box;
use cordyceps::{Linked, List, list};

#[cfg(loom)]
const SHARDS: usize = 1;
/// A power of two, guessed; the `executor` suite of `hart-bench` would settle it.
#[cfg(not(loom))]
const SHARDS: usize = 16;

pub(crate) struct Live {
    shards: Box<[Mutex<List<Header>>]>,
    len: AtomicUsize,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(List::new())).collect(),
            len: AtomicUsize::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    fn shard(&self, task: &TaskRef) -> &Mutex<List<Header>> {
        &self.shards[task.id().0 % self.shards.len()]
    }

    /// Adds a new task, unless `is_closed`. That is asked under the lock: either the task is in the list
    /// before [`pop`](Self::pop) looks at its shard, or it sees what was closed before that.
    pub(crate) fn insert(&self, task: TaskRef, is_closed: impl FnOnce() -> bool) -> bool {
        let mut shard = self.shard(&task).lock();
        if is_closed() {
            // The reference is dropped after the lock.
            drop(shard);
            drop(task);
            return false;
        }
        task.header().live().store(true, Relaxed);
        self.len.fetch_add(1, Relaxed);
        // The count is there before the task can be seen to end.
        shard.push_front(task);
        true
    }

    /// Takes out a task that completed; gives the list's reference, unless `pop` took it.
    pub(crate) fn remove(&self, task: &TaskRef) -> Option<TaskRef> {
        let mut shard = self.shard(task).lock();
        if !task.header().live().load(Relaxed) {
            return None;
        }
        task.header().live().store(false, Relaxed);
        let node = <Header as Linked<list::Links<Header>>>::into_ptr(task.clone());
        // SAFETY: `live` is true, so the task is in this very list; we hold its lock.
        let removed = unsafe { shard.remove(node) };
        drop(shard);
        self.len.fetch_sub(1, Relaxed);
        // SAFETY: takes back the reference that `into_ptr` was given a few lines above.
        drop(unsafe { <Header as Linked<list::Links<Header>>>::from_ptr(node) });
        removed
    }

    /// Takes out any task.
    pub(crate) fn pop(&self) -> Option<TaskRef> {
        self.shards.iter().find_map(|shard| {
            let mut shard = shard.lock();
            let task = shard.pop_back()?;
            task.header().live().store(false, Relaxed);
            drop(shard);
            self.len.fetch_sub(1, Relaxed);
            Some(task)
        })
    }
}
