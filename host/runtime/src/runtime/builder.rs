//! Making a [`Runtime`].

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};

use hart_executor::Executor;

use super::crew::Crew;
use super::threads::Threads;
use super::{Inner, Owner, Runtime, WorkerCounters};
use crate::clock::Clock;
use crate::platform::HostPlatform;
use crate::simulate::SharedMachine;
use crate::trace::Recorder;
use crate::{BuildError, Limits};

/// The most workers that a runtime may have. Guessed; no machine that we know has more cores.
const MAX_WORKERS: usize = 4096;

/// Settings of a [`Runtime`]. From [`Runtime::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct RuntimeBuilder {
    workers: Option<usize>,
    tokio: Option<tokio::runtime::Handle>,
    blocking_threads: u64,
    trace: Option<usize>,
}

impl Default for RuntimeBuilder {
    fn default() -> Self {
        Self {
            workers: None,
            tokio: None,
            blocking_threads: Limits::DEFAULT_BLOCKING_THREADS,
            trace: None,
        }
    }
}

impl RuntimeBuilder {
    /// How many worker threads. Default: as many as the process may use cores.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// The tokio runtime whose drivers WASI uses for time, sockets and blocking file operations. It
    /// must have its time and I/O drivers enabled and be driven by threads of its own (a current-thread
    /// runtime works only while something blocks on it). Default: a small one of our own.
    pub fn tokio(mut self, handle: tokio::runtime::Handle) -> Self {
        self.tokio = Some(handle);
        self
    }

    /// How many threads may block in file operations, where the tokio runtime is our own.
    /// Default 16.
    pub fn blocking_threads(mut self, threads: u64) -> Self {
        self.blocking_threads = threads;
        self
    }

    /// Records what workers do, for [`Runtime::trace`]: the last `events` polls of tasks and waits, which take
    /// up to 100 bytes each. Default: nothing is recorded, at no cost.
    pub fn trace(mut self, events: usize) -> Self {
        self.trace = Some(events);
        self
    }

    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// [`BuildError::Setting`] for zero workers or threads, [`BuildError::Thread`] if the system has
    /// no more threads.
    pub fn build(self) -> Result<Runtime, BuildError> {
        let workers = self.checked_workers()?;
        let blocking = usize::try_from(self.blocking_threads).unwrap_or(usize::MAX);
        if blocking == 0 {
            return Err(BuildError::Setting(
                "file operations need at least one blocking thread".into(),
            ));
        }
        let (tokio, drivers) = match self.tokio {
            Some(handle) => (handle, None),
            None => {
                let drivers = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .max_blocking_threads(blocking)
                    .thread_name("hart-io")
                    .on_thread_start(super::kernel_slice::shorten)
                    .enable_all()
                    .build()
                    .map_err(BuildError::Thread)?;
                (drivers.handle().clone(), Some(drivers))
            }
        };
        let inner = inner(workers, Some(tokio), None, self.trace);
        let threads = Threads::start(inner.crew.clone(), &inner.clock, &inner.platform, drivers)
            .map_err(BuildError::Thread)?;
        Ok(Runtime {
            owner: Arc::new(Owner { inner, threads }),
        })
    }

    /// A runtime without threads, on a machine of the caller's.
    pub(crate) fn build_on(self, machine: SharedMachine) -> Result<Runtime, BuildError> {
        let workers = self.checked_workers()?;
        // The machine sees everything by itself.
        let inner = inner(workers, None, Some(machine), None);
        let threads = Threads::none(inner.crew.clone());
        Ok(Runtime {
            owner: Arc::new(Owner { inner, threads }),
        })
    }

    fn checked_workers(&self) -> Result<usize, BuildError> {
        match self.workers {
            None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
            Some(workers @ 1..=MAX_WORKERS) => Ok(workers),
            Some(workers) => Err(BuildError::Setting(format!(
                "{workers} workers make no sense: ask for at least 1 and at most {MAX_WORKERS}"
            ))),
        }
    }
}

/// What a runtime consists of; nothing runs yet.
fn inner(
    workers: usize,
    tokio: Option<tokio::runtime::Handle>,
    machine: Option<SharedMachine>,
    trace: Option<usize>,
) -> Arc<Inner> {
    let recorder = trace.map(|events| Arc::new(Recorder::new(Crew::most_numbers(workers), events)));
    let platform = Arc::new(match (machine.clone(), recorder.clone()) {
        (Some(machine), _) => HostPlatform::simulated(machine),
        (None, None) => HostPlatform::threads(),
        (None, Some(recorder)) => HostPlatform::traced(recorder),
    });
    let executor = Executor::with_platform(workers, platform.clone());
    let clock = Arc::new(Clock::new(machine.clone()));
    platform.set_clock(clock.clone());
    let crew = Arc::new(Crew::new(workers, executor.clone(), tokio));
    Arc::new(Inner {
        machine,
        recorder,
        executor,
        platform,
        clock,
        counters: (0..crew.numbers())
            .map(|_| WorkerCounters::default())
            .collect(),
        crew,
        engines: Mutex::new(Vec::new()),
        meters_fuel: AtomicBool::new(false),
        closed: AtomicBool::new(false),
        next_id: AtomicU64::new(1),
        relief: OnceLock::new(),
    })
}
