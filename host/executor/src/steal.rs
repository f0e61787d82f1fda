//! One worker's queue as other threads see it, and the right to take from queues.
//!
//! It stands above [`worker`](crate::worker) and [`executor`](crate::executor), and uses both.

use crate::{
    executor::{Executor, SharedRef, Slot, is_of},
    platform::WorkerId,
    queue::{LocalQueue, RunQueue, Taker},
    task::TaskRef,
    worker::Worker,
};
use core::fmt;

/// One worker's queue, as other threads see it: they may queue tasks there, and steal.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// let here = executor.clone();
/// let task = executor.spawn(async move { here.current_scheduler().unwrap().worker() });
/// assert_eq!(worker.run(task).unwrap().unwrap(), worker.id());
/// ```
#[derive(Clone)]
pub struct Scheduler {
    shared: SharedRef,
    worker: WorkerId,
}

/// The queue for tasks that come from outside every worker.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, TryStealError, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// let injector = executor.injector();
/// assert_eq!(injector.try_steal().unwrap_err(), TryStealError::Empty);
/// drop(executor.spawn(async {}));
/// drop(executor.spawn(async {}));
/// assert_eq!(injector.try_steal().unwrap().spawn_n(&worker.scheduler(), 1), 1);
/// assert_eq!(worker.scheduler().queue_len(), 1);
/// # worker.tick();
/// ```
#[derive(Clone)]
pub struct Injector {
    shared: SharedRef,
}

/// The right to take from one queue, which no other stealer has while it lives. Meanwhile the queue's worker goes on with
/// what the fast part of its queue holds. For the rest, all workers find the queue busy and go on with something else;
/// they are woken, if need be, when the stealer is dropped.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// for _ in 0..4 {
///     drop(executor.spawn(async {}));
/// }
/// let injector = executor.injector();
/// let mut stealer = injector.try_steal().unwrap();
/// assert_eq!(stealer.spawn_half(&worker.scheduler()), 2);
/// assert!(stealer.spawn_one(&worker.scheduler()));
/// drop(stealer);
/// assert_eq!((injector.len(), worker.scheduler().queue_len()), (1, 3));
/// # worker.tick();
/// ```
pub struct Stealer<'a> {
    shared: &'a SharedRef,
    /// The worker's queue whose backlog `taker` is for; `None` for the injector's.
    local: Option<&'a LocalQueue>,
    /// `None` only while it is dropped.
    taker: Option<Taker<'a>>,
}

/// Why nothing can be stolen from a queue now.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, TryStealError};
///
/// let executor = Executor::new();
/// drop(executor.spawn(async {}));
/// let injector = executor.injector();
/// let stealer = injector.try_steal().unwrap();
/// assert_eq!(injector.try_steal().unwrap_err(), TryStealError::Busy);
/// drop(stealer);
/// assert!(injector.try_steal().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryStealError {
    /// Another thread is taking from it.
    Busy,
    /// There is nothing in it.
    Empty,
}

impl fmt::Display for TryStealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "another thread is taking from the queue",
            Self::Empty => "the queue is empty",
        })
    }
}

impl core::error::Error for TryStealError {}

impl Executor {
    /// The scheduler of the worker that runs on the calling core, if it is one of this executor's.
    pub fn current_scheduler(&self) -> Option<Scheduler> {
        let worker = self.shared().current_worker()?;
        Some(Scheduler::new(self.shared().clone(), worker))
    }

    /// The queue for tasks from outside every worker.
    pub fn injector(&self) -> Injector {
        Injector {
            shared: self.shared().clone(),
        }
    }
}

impl Worker {
    /// Its queue.
    pub fn scheduler(&self) -> Scheduler {
        Scheduler::new(self.executor().shared().clone(), self.id())
    }

    /// The task that it polls, asked from inside that poll; else `None`.
    pub fn current_task(&self) -> Option<TaskRef> {
        self.scheduler().current_task()
    }
}

impl Scheduler {
    fn new(shared: SharedRef, worker: WorkerId) -> Self {
        Self { shared, worker }
    }

    fn slot(&self) -> &Slot {
        self.shared
            .slots()
            .get(self.worker)
            .expect("a scheduler is made of a worker's slot, and slots stay")
    }

    /// The worker whose queue this is. Once that worker is gone, a later one may have the same.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// The task that this worker polls, asked from inside that poll; `None` from anywhere else.
    pub fn current_task(&self) -> Option<TaskRef> {
        let own = self.shared.own(self.slot())?;
        own.current_task()
    }

    /// Wakes an idle task onto this queue. A task that is queued, running or complete is woken as its
    /// waker would; one in a group goes to its group.
    ///
    /// # Panics
    ///
    /// If the task belongs to another executor.
    #[track_caller]
    pub fn schedule(&self, task: &TaskRef) {
        assert!(
            is_of(task, &self.shared),
            "the task belongs to another executor"
        );
        if let Some(task) = task.claim_for_queue() {
            self.shared.schedule_on(self.slot(), task);
        }
    }

    /// The right to take from this queue.
    ///
    /// # Errors
    ///
    /// [`TryStealError::Empty`] if nothing is queued, [`TryStealError::Busy`] if another thread takes from it.
    pub fn try_steal(&self) -> Result<Stealer<'_>, TryStealError> {
        Stealer::new(
            &self.shared,
            self.slot().queue.backlog(),
            Some(&self.slot().queue),
        )
    }

    /// How many tasks are queued here. The fair lane's are not: they belong to no worker.
    pub fn queue_len(&self) -> usize {
        self.slot().queue.len()
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("worker", &self.worker)
            .field("queue_len", &self.queue_len())
            .finish()
    }
}

impl Injector {
    /// How many tasks are in it.
    pub fn len(&self) -> usize {
        self.shared.injector().len()
    }

    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The right to take from it.
    ///
    /// # Errors
    ///
    /// [`TryStealError::Empty`] if nothing is queued, [`TryStealError::Busy`] if another thread takes from it.
    pub fn try_steal(&self) -> Result<Stealer<'_>, TryStealError> {
        Stealer::new(&self.shared, self.shared.injector(), None)
    }
}

impl fmt::Debug for Injector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injector")
            .field("len", &self.len())
            .finish()
    }
}

impl<'a> Stealer<'a> {
    fn new(
        shared: &'a SharedRef,
        queue: &'a RunQueue,
        local: Option<&'a LocalQueue>,
    ) -> Result<Self, TryStealError> {
        // A queue that is only being pushed to is empty for now: the pusher notifies when it is done.
        if local.map_or(queue.len(), LocalQueue::len) == 0 {
            return Err(TryStealError::Empty);
        }
        match queue.try_take() {
            None => Err(TryStealError::Busy),
            Some(taker) => Ok(Self {
                shared,
                local,
                taker: Some(taker),
            }),
        }
    }

    fn len(&self) -> usize {
        let injector = || self.taker.as_ref().map_or(0, |taker| taker.queue().len());
        self.local.map_or_else(injector, LocalQueue::len)
    }

    /// Takes the oldest task.
    fn pop(&mut self) -> Option<TaskRef> {
        let taker = self.taker.as_mut()?;
        match self.local {
            Some(local) => local.take_oldest(taker),
            None => taker.pop(),
        }
    }

    /// Moves the oldest task to `target`; whether there was one.
    pub fn spawn_one(&mut self, target: &Scheduler) -> bool {
        self.spawn_n(target, 1) == 1
    }

    /// Moves up to `max` tasks, the oldest first; returns how many.
    ///
    /// # Panics
    ///
    /// If `target` belongs to another executor.
    #[track_caller]
    pub fn spawn_n(&mut self, target: &Scheduler, max: usize) -> usize {
        assert!(
            SharedRef::ptr_eq(self.shared, &target.shared),
            "the target belongs to another executor"
        );
        // No more than there were: others may push all the time, or the target may be this very queue.
        let max = max.min(self.len());
        let queue = &target.slot().queue;
        let own = self.shared.own(target.slot());
        let mut moved = 0;
        while moved < max
            && let Some(task) = self.pop()
        {
            match own {
                Some(own) => own.own_queue().push_back(task),
                None => queue.backlog().push(task),
            }
            moved += 1;
        }
        if moved > 0 {
            // The target's worker may sleep.
            self.shared.notify();
        }
        moved
    }

    /// Moves half of the tasks, rounded up; returns how many.
    ///
    /// # Panics
    ///
    /// If `target` belongs to another executor.
    #[track_caller]
    pub fn spawn_half(&mut self, target: &Scheduler) -> usize {
        let half = self.len().div_ceil(2);
        self.spawn_n(target, half)
    }
}

impl Drop for Stealer<'_> {
    fn drop(&mut self) {
        if self.taker.take().is_some_and(Taker::release) {
            self.shared.notify();
        }
    }
}

impl fmt::Debug for Stealer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stealer").finish_non_exhaustive()
    }
}
