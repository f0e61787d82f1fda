//! The handle to an executor.

use super::shared_ref::SharedRef;
use crate::platform::Platform;
use core::{fmt, mem::ManuallyDrop, time::Duration};

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
///     assert_eq!(executor.pending_tasks(), 0);
///     executor.close();
///     assert!(executor.is_closed());
/// });
/// ```
pub struct Executor {
    /// All handles together hold one count, which the last one gives back.
    shared: ManuallyDrop<SharedRef>,
}

impl Executor {
    /// An executor on OS threads.
    #[cfg(all(feature = "std", not(any(loom, shuttle))))]
    pub fn new() -> Self {
        Self::with_capacity(1)
    }

    /// An executor on OS threads, with room for `workers` workers. More may come: it grows.
    #[cfg(all(feature = "std", not(any(loom, shuttle))))]
    pub fn with_capacity(workers: usize) -> Self {
        Self::with_platform(
            workers,
            alloc::sync::Arc::new(crate::platform::StdPlatform::new()),
        )
    }

    /// An executor on the platform given, with room for `workers` workers. More may come: it grows.
    pub fn with_platform(workers: usize, platform: alloc::sync::Arc<dyn Platform>) -> Self {
        Self {
            shared: ManuallyDrop::new(SharedRef::new(workers, platform)),
        }
    }

    pub(crate) fn shared(&self) -> &SharedRef {
        &self.shared
    }

    /// Closes it, for good.
    ///
    /// Afterwards no task is polled (a poll that is under way on another worker ends, and its task with
    /// it); every queued or idle task's future has been dropped, on the calling thread; every
    /// [`JoinHandle`](crate::JoinHandle) gives a result or [a closed error](crate::JoinError::is_closed); every
    /// [`Worker::run`](crate::Worker::run) returns `Err(Closed)`.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Wakes one sleeping worker; `false` if none sleeps. Tasks never need it: spawns and wakes wake workers themselves.
    pub fn wake_one(&self) -> bool {
        self.shared.wake_one()
    }

    /// How many tasks have been spawned and have not completed.
    pub fn pending_tasks(&self) -> usize {
        self.shared.pending_tasks()
    }

    /// How many tasks of groups can run and wait for a worker: those that it has taken to poll next do not count.
    pub fn waiting_tasks(&self) -> usize {
        self.shared.lanes().len()
    }

    /// Whether something runnable is queued anywhere, or the calling worker's `run` future was woken: whether a task that
    /// goes on now keeps others waiting.
    pub fn has_waiting(&self) -> bool {
        self.shared.has_waiting()
    }

    /// The shortest slice among the groups that compete for workers now, running ones included: how often a
    /// clock should bring running tasks to their preemption points, or every
    /// [`LONGEST_TICK`](crate::group::LONGEST_TICK), whichever is shorter. `None` if none competes.
    pub fn shortest_slice(&self) -> Option<Duration> {
        self.shared
            .lanes()
            .shortest_slice()
            .map(Duration::from_nanos)
    }

    /// When the first group that has used up its CPU rate may go on, on the platform's clock; `None` if there
    /// is no such group.
    pub fn next_refill(&self) -> Option<u64> {
        self.shared.lanes().next_refill()
    }

    /// Lets groups compete again whose CPU rate allows it, and wakes workers for them; returns when the next
    /// one will be, on the platform's clock.
    ///
    /// Workers do this themselves, between polls and before they sleep. It is for a clock that preempts: while every
    /// worker is in a long poll, nobody else looks.
    pub fn refill(&self) -> Option<u64> {
        self.shared.refill()
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
            // SAFETY: only the last of the handles gives back the count that they hold together.
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
            .field("workers", &self.shared.lanes().workers())
            .field("pending_tasks", &self.pending_tasks())
            .field("is_closed", &self.is_closed())
            .finish()
    }
}
