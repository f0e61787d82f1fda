//! What workers have done.

use crate::{
    executor::{Counts, Executor},
    platform::WorkerId,
};

/// What one worker has done so far.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// drop(executor.spawn(async {}));
/// worker.tick();
/// let stats = executor.workers()[worker.id()];
/// assert_eq!((stats.polls, stats.completed, stats.stolen), (1, 1, 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStats {
    /// The worker.
    pub id: WorkerId,
    /// Tasks polled.
    pub polls: u64,
    /// Of these, how many completed.
    pub completed: u64,
    /// How often it found work elsewhere, in the injector or another worker's queue.
    pub steals: u64,
    /// How many tasks that moved.
    pub stolen: u64,
    /// How often it slept.
    pub parks: u64,
    /// Tasks spawned on it.
    pub spawned: u64,
    /// Wakes that queued a task, on it.
    pub woken: u64,
}

impl WorkerStats {
    fn read(id: WorkerId, counts: &Counts) -> Self {
        Self {
            id,
            polls: counts.polls.get() as u64,
            completed: counts.completed.get() as u64,
            steals: counts.steals.get() as u64,
            stolen: counts.stolen.get() as u64,
            parks: counts.parks.get() as u64,
            spawned: counts.spawned.get() as u64,
            woken: counts.woken.get() as u64,
        }
    }
}

impl Executor {
    /// What each worker has done so far. Workers that are gone are included until their slot is used again.
    pub fn workers(&self) -> alloc::vec::Vec<WorkerStats> {
        let slots = self.shared().slots().iter();
        slots
            .map(|slot| WorkerStats::read(slot.worker(), &slot.counts))
            .collect()
    }
}
