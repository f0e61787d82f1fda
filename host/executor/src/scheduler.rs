//! One worker's queue, and the right to take from queues.

mod slots;

#[cfg(feature = "counters")]
pub(crate) use self::slots::Counts;
pub(crate) use self::slots::{Slot, Slots};

use crate::{
    executor::Strong,
    platform::WorkerId,
    queue::{LocalQueue, RunQueue, Taker},
    task::TaskRef,
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
    shared: Strong,
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
    shared: Strong,
}

/// The right to take from one queue, which no other stealer has while it lives. A worker goes on with what its own
/// queue's fast part holds; for the rest it and others find the queue busy and go on with something else; they are
/// woken, if need be, when the stealer is dropped.
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
    shared: &'a Strong,
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
    /// Somebody else is taking from it.
    Busy,
    /// There is nothing in it.
    Empty,
}

impl fmt::Display for TryStealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "somebody else is taking from the queue",
            Self::Empty => "the queue is empty",
        })
    }
}

impl core::error::Error for TryStealError {}

// === impl Scheduler ===

impl Scheduler {
    pub(crate) fn new(shared: Strong, worker: WorkerId) -> Self {
        Self { shared, worker }
    }

    fn slot(&self) -> &Slot {
        self.shared
            .slots()
            .get(self.worker)
            .expect("a scheduler is made of a worker's slot, and slots stay")
    }

    /// The worker whose queue this is. Once that worker is gone, a later one may have the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// assert_eq!(worker.scheduler().worker(), worker.id());
    /// ```
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// The task that this worker polls, asked from inside that poll; `None` from anywhere else.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let scheduler = worker.scheduler();
    /// let task = executor.spawn(async move { scheduler.current_task().unwrap().id() });
    /// let id = task.id();
    /// assert_eq!(worker.run(task).unwrap().unwrap(), id);
    /// ```
    pub fn current_task(&self) -> Option<TaskRef> {
        (self.shared.current_worker() == Some(self.worker))
            .then(|| self.slot().current_task())
            .flatten()
    }

    /// Wakes an idle task onto this queue. A task that is queued, running or complete is woken as its
    /// waker would; one in a group goes to its group.
    ///
    /// # Panics
    ///
    /// If the task belongs to another executor.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let mut first = true;
    /// let handle = executor.spawn(std::future::poll_fn(move |_| match std::mem::take(&mut first) {
    ///     true => std::task::Poll::Pending,
    ///     false => std::task::Poll::Ready(()),
    /// }));
    /// worker.tick();
    /// worker.scheduler().schedule(&handle.task());
    /// assert_eq!(worker.scheduler().queue_len(), 1);
    /// worker.tick();
    /// assert!(handle.is_complete());
    /// ```
    #[track_caller]
    pub fn schedule(&self, task: &TaskRef) {
        assert!(
            task.is_of(&self.shared),
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
    /// [`TryStealError::Empty`] if nothing is queued, [`TryStealError::Busy`] if somebody takes from it.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, TryStealError, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let scheduler = worker.scheduler();
    /// assert_eq!(scheduler.try_steal().unwrap_err(), TryStealError::Empty);
    /// ```
    pub fn try_steal(&self) -> Result<Stealer<'_>, TryStealError> {
        Stealer::new(
            &self.shared,
            self.slot().queue.backlog(),
            Some(&self.slot().queue),
        )
    }

    /// How many tasks are queued here. The fair lane's are not: they belong to no worker.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let here = executor.clone();
    /// let scheduler = worker.scheduler();
    /// let queued = worker.run(async move {
    ///     drop(here.spawn(async {}));
    ///     scheduler.queue_len()
    /// });
    /// assert_eq!(queued.unwrap(), 1);
    /// ```
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

// === impl Injector ===

impl Injector {
    pub(crate) fn new(shared: Strong) -> Self {
        Self { shared }
    }

    /// How many tasks are in it.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// drop(executor.spawn(async {}));
    /// assert_eq!(executor.injector().len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.shared.injector().len()
    }

    /// Whether there is none in it.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// assert!(executor.injector().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The right to take from it.
    ///
    /// # Errors
    ///
    /// [`TryStealError::Empty`] if nothing is queued, [`TryStealError::Busy`] if somebody takes from it.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// drop(executor.spawn(async {}));
    /// let injector = executor.injector();
    /// assert!(injector.try_steal().unwrap().spawn_one(&worker.scheduler()));
    /// assert_eq!(worker.tick().polled, 1);
    /// ```
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

// === impl Stealer ===

impl<'a> Stealer<'a> {
    fn new(
        shared: &'a Strong,
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
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// drop(executor.spawn(async {}));
    /// let injector = executor.injector();
    /// let mut stealer = injector.try_steal().unwrap();
    /// assert!(stealer.spawn_one(&worker.scheduler()));
    /// assert!(!stealer.spawn_one(&worker.scheduler()), "there was one");
    /// ```
    pub fn spawn_one(&mut self, target: &Scheduler) -> bool {
        self.spawn_n(target, 1) == 1
    }

    /// Moves up to `max` tasks, the oldest first; returns how many.
    ///
    /// # Panics
    ///
    /// If `target` belongs to another executor.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// for _ in 0..3 {
    ///     drop(executor.spawn(async {}));
    /// }
    /// let injector = executor.injector();
    /// assert_eq!(injector.try_steal().unwrap().spawn_n(&worker.scheduler(), 2), 2);
    /// assert_eq!(injector.len(), 1);
    /// ```
    #[track_caller]
    pub fn spawn_n(&mut self, target: &Scheduler, max: usize) -> usize {
        assert!(
            Strong::ptr_eq(self.shared, &target.shared),
            "the target belongs to another executor"
        );
        // No more than there were: somebody may push all the time, or the target may be this very queue.
        let max = max.min(self.len());
        let queue = &target.slot().queue;
        let is_own = self.shared.is_own(target.slot());
        let mut moved = 0;
        while moved < max
            && let Some(task) = self.pop()
        {
            if is_own {
                queue.push_back(task);
            } else {
                queue.backlog().push(task);
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
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// for _ in 0..3 {
    ///     drop(executor.spawn(async {}));
    /// }
    /// let injector = executor.injector();
    /// assert_eq!(injector.try_steal().unwrap().spawn_half(&worker.scheduler()), 2);
    /// ```
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
