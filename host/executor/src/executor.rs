//! The shared part: what all workers of one executor have in common.

mod shared;
mod strong;

pub(crate) use self::{shared::Shared, strong::Strong};

#[cfg(feature = "counters")]
use crate::worker::WorkerStats;
use crate::{
    error::SpawnError,
    group::{GroupBuilder, TenantBuilder},
    platform::Platform,
    scheduler::{Injector, Scheduler},
    task::{JoinHandle, TaskBuilder},
};
use allocator_api2::alloc::Allocator;
use core::{fmt, future::Future, mem::ManuallyDrop, time::Duration};

/// An executor: a handle to the part that all its workers share.
///
/// It polls nothing by itself: [`Worker`](crate::Worker)s do, one per core. Clones are handles to the
/// same executor. When the last handle is dropped (workers hold one each) it is [closed](Self::close) and
/// everything is freed; handles to groups, tasks and wakers do not keep it open.
///
/// # Examples
///
/// Two workers on two threads:
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::with_capacity(2);
/// std::thread::scope(|threads| {
///     let helper = executor.clone();
///     threads.spawn(move || {
///         // Runs until the executor is closed.
///         if let Ok(mut worker) = Worker::new(&helper) {
///             assert!(worker.run(std::future::pending::<()>()).is_err());
///         }
///     });
///     let tasks: Vec<_> = (0..100).map(|i| executor.spawn(async move { i })).collect();
///     let sum = Worker::new(&executor).unwrap().run(async {
///         let mut sum = 0;
///         for task in tasks {
///             sum += task.await.unwrap();
///         }
///         sum
///     });
///     assert_eq!(sum.unwrap(), 4950);
///     executor.close();
/// });
/// ```
pub struct Executor {
    /// All handles together hold one count; the last one gives it back.
    shared: ManuallyDrop<Strong>,
}

impl Executor {
    /// An executor on OS threads.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// assert_eq!(executor.pending_tasks(), 0);
    /// ```
    #[cfg(all(feature = "std", not(any(loom, shuttle))))]
    pub fn new() -> Self {
        Self::with_capacity(1)
    }

    /// An executor on OS threads, with room for `workers` workers. More may come: it grows.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::with_capacity(4);
    /// assert!(!executor.is_closed());
    /// ```
    #[cfg(all(feature = "std", not(any(loom, shuttle))))]
    pub fn with_capacity(workers: usize) -> Self {
        Self::with_platform(
            workers,
            alloc::sync::Arc::new(crate::platform::StdPlatform::new()),
        )
    }

    /// An executor on the platform given, with room for `workers` workers. More may come: it grows.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, StdPlatform};
    /// use std::sync::Arc;
    ///
    /// let executor = Executor::with_platform(4, Arc::new(StdPlatform::new()));
    /// assert!(executor.try_spawn(async {}).is_ok());
    /// ```
    pub fn with_platform(workers: usize, platform: alloc::sync::Arc<dyn Platform>) -> Self {
        Self {
            shared: ManuallyDrop::new(Strong::new(Shared::new(workers, platform))),
        }
    }

    pub(crate) fn shared(&self) -> &Strong {
        &self.shared
    }

    /// Closes it, for good.
    ///
    /// Afterwards no task is polled (a poll that is under way on another worker ends, and its task with
    /// it); every queued or idle task's future has been dropped, on the calling thread; every
    /// [`JoinHandle`] gives a result or [a closed error](crate::JoinError::is_closed); every
    /// [`Worker::run`](crate::Worker::run) returns `Err(Closed)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let task = executor.spawn(std::future::pending::<()>());
    /// executor.close();
    /// assert!(task.is_complete());
    /// assert!(worker.run(task).is_err());
    /// ```
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether it was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// assert!(!executor.is_closed());
    /// executor.close();
    /// assert!(executor.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Wakes one sleeping worker; `false` if none sleeps. Never needed for tasks: spawns and wakes see to
    /// it.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Step, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// assert!(!executor.wake_one(), "nobody sleeps");
    /// while !matches!(worker.step(), Step::Sleep { .. }) {}
    /// assert!(executor.wake_one());
    /// ```
    pub fn wake_one(&self) -> bool {
        self.shared.wake_one()
    }

    /// The scheduler of the worker that runs on the calling core, if it is one of this executor's.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// assert!(executor.current_scheduler().is_none(), "no worker runs here now");
    /// let here = executor.clone();
    /// let inside = worker.run(async move { here.current_scheduler().is_some() });
    /// assert!(inside.unwrap());
    /// ```
    pub fn current_scheduler(&self) -> Option<Scheduler> {
        let worker = self.shared.current_worker()?;
        Some(Scheduler::new(Strong::clone(&self.shared), worker))
    }

    /// The queue for tasks from outside every worker.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// drop(executor.spawn(async {}));
    /// assert_eq!(executor.injector().len(), 1);
    /// ```
    pub fn injector(&self) -> Injector {
        Injector::new(Strong::clone(&self.shared))
    }

    /// How many tasks have been spawned and have not completed.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// drop(executor.spawn(async {}));
    /// assert_eq!(executor.pending_tasks(), 1);
    /// worker.tick();
    /// assert_eq!(executor.pending_tasks(), 0);
    /// ```
    pub fn pending_tasks(&self) -> usize {
        self.shared.pending_tasks()
    }

    /// Whether something runnable is queued anywhere, or the calling worker's `run` future was woken:
    /// whether a task that goes on now keeps somebody waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// assert!(!executor.has_waiting());
    /// drop(executor.spawn(async {}));
    /// assert!(executor.has_waiting());
    /// ```
    pub fn has_waiting(&self) -> bool {
        self.shared.has_waiting()
    }

    /// The shortest slice among the groups that compete for workers now, running ones included: how often a
    /// clock should bring running tasks to their preemption points, or every
    /// [`LONGEST_TICK`](crate::group::LONGEST_TICK), whichever is shorter. `None` if none competes.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let executor = hart_executor::Executor::new();
    /// assert_eq!(executor.shortest_slice(), None);
    /// let group = executor.group().slice(Duration::from_micros(500)).build();
    /// drop(executor.build_task().group(&group).spawn(async {}));
    /// assert!(executor.shortest_slice().is_some());
    /// ```
    pub fn shortest_slice(&self) -> Option<Duration> {
        self.shared
            .lane()
            .shortest_slice()
            .map(Duration::from_nanos)
    }

    /// When the first group that has used up its CPU rate may go on, on the platform's clock; `None` if there
    /// is no such group.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// assert_eq!(executor.next_refill(), None, "no group has used up its rate");
    /// ```
    pub fn next_refill(&self) -> Option<u64> {
        self.shared.lane().next_refill()
    }

    /// Lets groups compete again whose CPU rate allows it, and wakes workers for them; returns when the next
    /// one will be, on the platform's clock.
    ///
    /// Workers see to this themselves, between polls and before they sleep. It is for a clock that preempts:
    /// where every worker is in a long poll, nobody else looks.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// assert_eq!(executor.refill(), None, "no group waits for its rate");
    /// ```
    pub fn refill(&self) -> Option<u64> {
        self.shared.refill()
    }

    /// Spawns a task with a name, a kind, a group.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let task = executor.build_task().name("reader").spawn(async {});
    /// assert_eq!(task.task().metadata().name(), Some("reader"));
    /// ```
    #[track_caller]
    pub fn build_task(&self) -> TaskBuilder<'_> {
        TaskBuilder::new(self)
    }

    /// Makes a group of tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().name("batch").weight(50).build();
    /// assert_eq!((group.name(), group.weight()), ("batch", 50));
    /// ```
    pub fn group(&self) -> GroupBuilder<'_> {
        GroupBuilder::new(self)
    }

    /// Makes a group of groups.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let tenant = executor.tenant().name("acme").build();
    /// let group = executor.group().tenant(&tenant).build();
    /// assert_eq!(group.tenant().unwrap().id(), tenant.id());
    /// ```
    pub fn tenant(&self) -> TenantBuilder<'_> {
        TenantBuilder::new(self)
    }

    /// Spawns the future: from one of its workers onto that worker's queue, from elsewhere into the
    /// injector, from a task of a group into that group.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Closed`] after [`close`](Self::close), [`SpawnError::Alloc`] without memory. The
    /// future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// assert!(executor.try_spawn(async {}).is_ok());
    /// ```
    #[track_caller]
    pub fn try_spawn<F>(&self, future: F) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.build_task().try_spawn(future)
    }

    /// Spawns the future into memory of `allocator`, which the task is freed with.
    ///
    /// # Errors
    ///
    /// As [`try_spawn`](Self::try_spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// use allocator_api2::alloc::Global;
    ///
    /// let executor = hart_executor::Executor::new();
    /// assert!(executor.try_spawn_in(async {}, Global).is_ok());
    /// ```
    #[track_caller]
    pub fn try_spawn_in<F, A>(
        &self,
        future: F,
        allocator: A,
    ) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
        A: Allocator + Send + Sync + 'static,
    {
        self.build_task().try_spawn_in(future, allocator)
    }

    /// Spawns the future.
    ///
    /// # Panics
    ///
    /// Where [`try_spawn`](Self::try_spawn) gives an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let task = executor.spawn(async { 6 * 7 });
    /// assert_eq!(Worker::new(&executor).unwrap().run(task).unwrap().unwrap(), 42);
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.build_task().spawn(future)
    }

    /// What each worker has done so far; workers that are gone are included until their place is used
    /// again.
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
    /// assert_eq!(executor.workers()[0].polls, 1);
    /// ```
    #[cfg(feature = "counters")]
    pub fn workers(&self) -> alloc::vec::Vec<WorkerStats> {
        self.shared
            .slots()
            .iter()
            .enumerate()
            .map(|(id, slot)| WorkerStats::read(id, &slot.counts))
            .collect()
    }
}

#[cfg(all(feature = "std", not(any(loom, shuttle))))]
impl Default for Executor {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Executor {
    fn clone(&self) -> Self {
        self.shared.add_handle();
        Self {
            // SAFETY: the count that all handles hold is given back by the last of them only.
            shared: unsafe { self.shared.alias() },
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if self.shared.drop_handle() {
            self.shared.close();
            // SAFETY: this was the last handle, and it is not used again.
            unsafe { ManuallyDrop::drop(&mut self.shared) };
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("workers", &self.shared.slots().active())
            .field("pending_tasks", &self.pending_tasks())
            .field("is_closed", &self.is_closed())
            .finish()
    }
}
