//! Which worker runs on a core.

use core::{fmt, ptr::NonNull};

/// Names a worker of one executor. Stable while the worker lives; a later worker may get it again.
pub type WorkerId = usize;

/// So many workers an executor has at most, whatever the machine.
pub(crate) const MAX_WORKERS: usize = (1 << 14) - 1;

/// Says which executor's which worker runs on a core. Only executors make one; a platform keeps it in the core's
/// cell and gives it back.
///
/// It stays on its thread: it names state that only its own core may touch.
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<hart_executor::CurrentWorker>();
/// ```
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Platform, StdPlatform, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// let current = worker.run(async { StdPlatform::new().current_worker() }).unwrap();
/// assert_eq!(current.unwrap().worker(), worker.id());
/// assert!(StdPlatform::new().current_worker().is_none(), "no worker runs here now");
/// ```
#[derive(Clone, Copy)]
pub struct CurrentWorker {
    /// Tells executors apart. Never reused while a worker of that executor runs here.
    executor: usize,
    worker: WorkerId,
    /// What the executor has for this worker. A raw pointer, so that this is not `Send`.
    slot: NonNull<()>,
}

impl CurrentWorker {
    /// The worker `worker` of the executor at this address, which has `slot` for it.
    pub(crate) fn new(executor: usize, worker: WorkerId, slot: NonNull<()>) -> Self {
        Self {
            executor,
            worker,
            slot,
        }
    }

    /// The worker's id.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// What the executor at this address has for the worker; `None` if the worker is another executor's.
    #[inline]
    pub(crate) fn slot_of(&self, executor: usize) -> Option<NonNull<()>> {
        (self.executor == executor).then_some(self.slot)
    }
}

impl fmt::Debug for CurrentWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentWorker")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}
