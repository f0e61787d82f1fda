//! The threads of a runtime: their start and, above all, their end.
//!
//! 1. `close` closes the executor, so that every `Worker::run` returns once the poll it is in ends. A
//!    running guest ends that poll at its next preemption point, because all guests have been killed.
//! 2. Each worker says under a mutex that it has left, as its last act.
//! 3. `join` waits for each of those that there are, for as long as its patience lasts: a guest that cannot be preempted,
//!    or a host function that blocks, must not hang whoever drops the runtime. Threads that did leave
//!    are joined; the others are reported and left to themselves.
//! 4. The clock is stopped after the workers, because it is what makes running guests end. A thread that it
//!    starts meanwhile, in the place of one that is stuck, finds the executor closed and leaves.
//! 5. A thread never joins itself: a runtime dropped by one of its own tasks skips that thread.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::sync::lock;
use crate::sched::clock::Clock;
use crate::sched::clock::thread;
use crate::sched::platform::HostPlatform;
use crate::sched::workers::{Crew, Seen};

/// How long dropping a runtime waits for its threads. Guessed: two slices are enough for any guest
/// that can be preempted, and nobody wants to wait longer for one that cannot.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Threads {
    crew: Arc<Crew>,
    clock: Mutex<Option<JoinHandle<()>>>,
    /// The drivers of WASI where the caller brought none. Dropped last, in the background.
    drivers: Mutex<Option<tokio::runtime::Runtime>>,
}

impl Threads {
    /// For a machine that needs none.
    pub(crate) fn none(crew: Arc<Crew>) -> Self {
        Self {
            crew,
            clock: Mutex::default(),
            drivers: Mutex::default(),
        }
    }

    pub(crate) fn start(
        crew: Arc<Crew>,
        clock: &Arc<Clock>,
        platform: &Arc<HostPlatform>,
        drivers: Option<tokio::runtime::Runtime>,
    ) -> std::io::Result<Self> {
        let threads = Self {
            crew,
            clock: Mutex::new(None),
            drivers: Mutex::new(drivers),
        };
        let crew = &threads.crew;
        let start_all = || {
            let (workers, mut seen) = (crew.clone(), Seen::default());
            let look = Box::new(move || workers.look(&mut seen));
            let executor = crew.executor().clone();
            let thread = thread::start(clock.clone(), executor, platform.clone(), look)?;
            *lock(&threads.clock) = Some(thread);
            (0..crew.workers()).try_for_each(|_| crew.start())
        };
        match start_all() {
            Ok(()) => Ok(threads),
            Err(error) => {
                crew.executor().close();
                // The drivers go in the background: the caller may be async code.
                threads.join(clock, PATIENCE);
                Err(error)
            }
        }
    }

    pub(crate) fn join(&self, clock: &Clock, patience: Duration) {
        if !self.crew.join(patience) {
            tracing::warn!(
                "worker threads did not end within {patience:?}: a host function blocks, or a guest runs that cannot be preempted"
            );
        }
        clock.stop();
        if let Some(handle) = lock(&self.clock).take()
            && handle.thread().id() != std::thread::current().id()
            && handle.join().is_err()
        {
            tracing::error!("the clock's thread panicked");
        }
        if let Some(drivers) = lock(&self.drivers).take() {
            drivers.shutdown_background();
        }
    }
}
