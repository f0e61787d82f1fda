//! An app that a worker runs jobs of.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::error::WorkError;
use super::names::check;
use crate::host::handle::Host;
use crate::host::run::builder::{NO_ENTRY, RunBuilder, Target};
use crate::host::run::prepared::Prepared;
use crate::instance::elsewhere::Reach;
use crate::instance::error::RunError;
use crate::instance::program::Reused;
use crate::instance::store::Component;
use crate::wasi::numbering::{LogPrefix, Numbering};

/// A component whose tasks a [`Worker`](super::Worker) runs, and what they are granted. Its name is what jobs call it.
#[must_use = "a worker runs it, once it was given to one"]
pub struct App<T: 'static = ()> {
    run: RunBuilder<T>,
    component: Component<T>,
    name: String,
    program: u64,
    concurrency: usize,
    reuse: u32,
    idle: Duration,
    prefix: LogPrefix,
}

/// An app whose grants are open.
pub(super) struct Ready<T: 'static> {
    pub(super) prepared: Prepared<T>,
    pub(super) name: String,
    pub(super) concurrency: usize,
}

/// Jobs that a worker takes for each of its cores by default: enough to have the next ones there while results are stored,
/// and few enough that others may take the rest. Guessed: `hart-bench work` would settle it.
const FOR_EACH_CORE: usize = 8;

impl<T: Send + 'static> App<T> {
    /// The tasks of `component`, for jobs of the app `name`: letters, digits, `-` and `_`.
    pub fn new(host: &Host<T>, name: impl Into<String>, component: &Component<T>) -> Self {
        Self {
            // What a job's run does is said for each of them.
            run: RunBuilder::new(host, component, Target::Command),
            component: component.clone(),
            name: name.into(),
            program: host.inner().runtime.next_id(),
            concurrency: FOR_EACH_CORE * host.workers(),
            reuse: 1,
            idle: Duration::from_secs(1),
            prefix: LogPrefix::None,
        }
    }

    /// What each job's run is granted and may use: everything that a [`RunBuilder`] has. Directories are opened once, when
    /// the worker starts.
    pub fn run(mut self, set: impl FnOnce(RunBuilder<T>) -> RunBuilder<T>) -> Self {
        self.run = set(self.run);
        self
    }

    /// The most jobs of this app that the worker has at once; it takes no more from the stream. Default: 8 for each core.
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.concurrency = jobs;
        self
    }

    /// How many jobs an instance does, one after the other, before it is dropped. Default 1. What one job leaves in the
    /// instance, the next one finds.
    pub fn reuse(mut self, jobs: u32) -> Self {
        self.reuse = jobs;
        self
    }

    /// How long an instance waits for its next job before it is dropped. Default 1 s.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// What each line begins with that a guest writes to standard output or standard error. Default: nothing.
    pub fn log_prefix(mut self, prefix: LogPrefix) -> Self {
        self.prefix = prefix;
        self
    }

    pub(super) fn open(mut self) -> Result<Ready<T>, WorkError> {
        check("app", &self.name)?;
        if self.concurrency == 0 {
            let name = &self.name;
            return Err(WorkError::Invalid(format!(
                "the app `{name}`: nothing runs with a concurrency of 0; use 1 or more"
            )));
        }
        let failed = |source| WorkError::App {
            app: self.name.clone(),
            source,
        };
        if !self.component.has_entry() {
            return Err(failed(RunError::Setup(NO_ENTRY.into())));
        }
        let numbers = Arc::<AtomicU64>::default();
        let numbering = Numbering::new(&numbers, self.prefix, &self.name);
        let reused = Reused::ByRuns {
            program: self.program,
            times: self.reuse,
            idle: self.idle,
        };
        // If its tasks could go to the queue, jobs could wait for jobs that wait for a worker.
        self.run.reach(Reach::Here);
        let prepared = self.run.numbered(numbering).prepare(reused);
        Ok(Ready {
            prepared: prepared.map_err(failed)?,
            concurrency: self.concurrency,
            name: self.name,
        })
    }
}

impl<T> fmt::Debug for App<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("name", &self.name)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
