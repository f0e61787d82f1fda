//! The threads of a runtime: their start and, above all, their end.
//!
//! 1. `close` closes the executor, so that every `Worker::run` returns once the poll it is in ends. A
//!    running guest ends that poll at its next preemption point, because all guests have been killed.
//! 2. Each worker counts itself out under the mutex as its last act.
//! 3. `join` waits for the count, for as long as its patience lasts: a guest that cannot be preempted,
//!    or a host function that blocks, must not hang whoever drops the runtime. Threads that did leave
//!    are joined; the others are reported and left to themselves.
//! 4. The clock is stopped after the workers, because it is what makes running guests end.
//! 5. A thread never joins itself: a runtime dropped by one of its own tasks skips that thread.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hart_executor::{Executor, Worker};

use crate::clock::Clock;
use crate::sync::lock;

/// How long dropping a runtime waits for its threads. Guessed: two slices are enough for any guest
/// that can be preempted, and nobody wants to wait longer for one that cannot.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The number of the worker that this thread is.
pub(super) fn this_worker() -> Option<usize> {
    WORKER.get()
}

pub(super) struct Threads {
    workers: Mutex<Vec<JoinHandle<()>>>,
    clock: Mutex<Option<JoinHandle<()>>>,
    left: Arc<Left>,
    /// The drivers of WASI where the caller brought none. Dropped last, in the background.
    drivers: Mutex<Option<tokio::runtime::Runtime>>,
}

/// How many workers have left.
#[derive(Default)]
struct Left {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Threads {
    /// For a machine that needs none.
    pub(super) fn none() -> Self {
        Self {
            workers: Mutex::default(),
            clock: Mutex::default(),
            left: Arc::default(),
            drivers: Mutex::default(),
        }
    }

    pub(super) fn start(
        count: usize,
        executor: &Executor,
        clock: &Arc<Clock>,
        tokio: &tokio::runtime::Handle,
        drivers: Option<tokio::runtime::Runtime>,
    ) -> std::io::Result<Self> {
        let threads = Self {
            workers: Mutex::new(Vec::with_capacity(count)),
            clock: Mutex::new(Some(clock.start(executor.clone())?)),
            left: Arc::default(),
            drivers: Mutex::new(drivers),
        };
        for number in 0..count {
            match start_worker(number, executor, tokio, &threads.left) {
                Ok(handle) => lock(&threads.workers).push(handle),
                Err(error) => {
                    executor.close();
                    threads.join(clock, PATIENCE);
                    return Err(error);
                }
            }
        }
        Ok(threads)
    }

    pub(super) fn join(&self, clock: &Clock, patience: Duration) {
        let me = std::thread::current().id();
        let handles = std::mem::take(&mut *lock(&self.workers));
        let mine = handles
            .iter()
            .filter(|handle| handle.thread().id() == me)
            .count();
        let all_left = self.left.wait_for(handles.len() - mine, patience);
        for handle in handles {
            if handle.thread().id() == me || !(all_left || handle.is_finished()) {
                continue;
            }
            if handle.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
        if !all_left {
            tracing::warn!(
                "worker threads did not end within {patience:?}: a host function blocks, or a guest runs that cannot be preempted"
            );
        }
        clock.stop();
        if let Some(handle) = lock(&self.clock).take()
            && handle.thread().id() != me
            && handle.join().is_err()
        {
            tracing::error!("the clock's thread panicked");
        }
        if let Some(drivers) = lock(&self.drivers).take() {
            drivers.shutdown_background();
        }
    }
}

impl Left {
    /// Waits until `count` workers have left; `false` if `patience` ran out.
    fn wait_for(&self, count: usize, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut left = lock(&self.count);
        while *left < count {
            let Some(rest) = until.checked_duration_since(Instant::now()) else {
                return false;
            };
            let waited = self.changed.wait_timeout(left, rest);
            left = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        true
    }
}

fn start_worker(
    number: usize,
    executor: &Executor,
    tokio: &tokio::runtime::Handle,
    left: &Arc<Left>,
) -> std::io::Result<JoinHandle<()>> {
    /// Counts out however the thread ends.
    struct CountOut(Arc<Left>);
    impl Drop for CountOut {
        fn drop(&mut self) {
            *lock(&self.0.count) += 1;
            self.0.changed.notify_all();
        }
    }

    let (executor, tokio, left) = (executor.clone(), tokio.clone(), left.clone());
    std::thread::Builder::new()
        .name(format!("hart-worker-{number}"))
        .spawn(move || {
            let _count_out = CountOut(left);
            // Everything in WASI that looks for a reactor finds this one; no guest runs on its scheduler.
            let _entered = tokio.enter();
            wasmtime::Engine::tls_eager_initialize();
            let Ok(mut worker) = Worker::new(&executor) else {
                return;
            };
            WORKER.set(Some(worker.id()));
            let Err(hart_executor::Closed { .. }) =
                worker.run(std::future::pending::<std::convert::Infallible>());
            WORKER.set(None);
        })
}
