//! Making a [`Runtime`].

use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use crate::base::error::BuildError;
use crate::quota::limits::Limits;
use crate::runtime::handle::{Owner, Runtime};
use crate::sched::core::Core;
use crate::sched::kernel_slice;
use crate::sched::machine::SharedMachine;
use crate::sched::threads::Threads;

/// The most workers that a runtime may have. Guessed; no machine that we know has more cores.
const MAX_WORKERS: usize = 4096;

/// Settings of a [`Runtime`]. From [`Runtime::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct RuntimeBuilder {
    workers: Option<usize>,
    tokio: Option<tokio::runtime::Handle>,
    blocking_threads: u64,
    files: Option<u64>,
    trace: Option<usize>,
}

impl Default for RuntimeBuilder {
    fn default() -> Self {
        Self {
            workers: None,
            tokio: None,
            blocking_threads: Limits::DEFAULT_BLOCKING_THREADS,
            files: None,
            trace: None,
        }
    }
}

impl Runtime {
    /// A runtime with settings.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }
}

impl RuntimeBuilder {
    /// How many worker threads. Default: as many as the process may use cores.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// The tokio runtime whose drivers WASI uses for time, sockets and blocking file operations. It
    /// must have its time and I/O drivers enabled, or [`build`](Self::build) refuses it, and be driven by threads of
    /// its own (a current-thread runtime works only while something blocks on it). Default: a small one of our own.
    pub fn tokio(mut self, handle: tokio::runtime::Handle) -> Self {
        self.tokio = Some(handle);
        self
    }

    /// How many threads may block in what is given to `tokio::task::spawn_blocking`, where the tokio runtime is our own:
    /// file operations and name look-ups, of guests that are no [`Host`](crate::Host)'s. Default 16.
    pub fn blocking_threads(mut self, threads: u64) -> Self {
        self.blocking_threads = threads;
        self
    }

    /// What all guests may hold of the process's file descriptors.
    pub(crate) fn files(mut self, files: u64) -> Self {
        self.files = Some(files);
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
    /// [`BuildError::Setting`] for zero workers or threads, and for a tokio runtime that lacks a driver or has been
    /// shut down; [`BuildError::Thread`] if the system has no more threads.
    pub fn build(self) -> Result<Runtime, BuildError> {
        let workers = self.checked_workers()?;
        let blocking = usize::try_from(self.blocking_threads).unwrap_or(usize::MAX);
        if blocking == 0 {
            return Err(BuildError::Setting(
                "file operations need at least one blocking thread".into(),
            ));
        }
        let (tokio, drivers) = match self.tokio {
            Some(handle) => {
                check_drivers(&handle)?;
                (handle, None)
            }
            None => {
                let drivers = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .max_blocking_threads(blocking)
                    .thread_name("hart-io")
                    .on_thread_start(kernel_slice::shorten)
                    .enable_all()
                    .build()
                    .map_err(BuildError::Thread)?;
                (drivers.handle().clone(), Some(drivers))
            }
        };
        let inner = Core::new(workers, Some(tokio), None, self.trace, self.files);
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
        let inner = Core::new(workers, None, Some(machine), None, self.files);
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

/// Refuses a tokio runtime on which the first guest that sleeps or reads would panic. tokio says whether a driver is
/// there in no other way: it is tried, and where there is none, the panic's message is seen as well.
fn check_drivers(handle: &tokio::runtime::Handle) -> Result<(), BuildError> {
    let refused = |missing: &str| {
        Err(BuildError::Setting(format!(
            "the tokio runtime has no {missing}, which guests' sockets, files and HTTP requests need: build it with `enable_all`, and keep it while the host lives"
        )))
    };
    let _entered = handle.enter();
    let has = |driver: fn() -> bool| catch_unwind(driver).unwrap_or(false);
    if !has(|| {
        drop(tokio::time::sleep(Duration::ZERO));
        true
    }) {
        return refused("timers");
    }
    if !has(|| tokio::net::UnixStream::pair().is_ok()) {
        return refused("I/O driver");
    }
    Ok(())
}
