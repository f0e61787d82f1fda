//! A run: how it is set up, and its handle.

mod builder;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use wasmtime::component::Val;

pub use builder::RunBuilder;
pub(super) use builder::Target;

use super::shared::RunShared;
use crate::task::Kill;
use crate::{RunError, RunStats};

/// A run: a future of its [`Outcome`], to be awaited on any executor, or waited for with
/// [`wait`](Self::wait).
///
/// It resolves once nothing of the run is left: no task, no instance, no store. Dropping it detaches;
/// the run goes on.
#[must_use = "dropping it detaches the run and loses its outcome"]
pub struct Run {
    shared: Arc<RunShared>,
    key: Option<u64>,
}

/// Cancels a run from elsewhere, and reads its statistics, also after it is over.
#[derive(Clone)]
pub struct Canceller {
    shared: Arc<RunShared>,
}

/// What came of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The guest's own exit code: 0, what it passed to `exit`, or 1 where `run` returned an error.
    pub exit_code: i32,
    /// What the called export returned.
    pub results: Vec<Val>,
    /// What was written to a captured standard output.
    pub stdout: Vec<u8>,
    /// What was written to a captured standard error.
    pub stderr: Vec<u8>,
    /// What the run used.
    pub stats: RunStats,
}

// === impl Run ===

impl Run {
    fn new(shared: Arc<RunShared>) -> Self {
        Self { shared, key: None }
    }

    /// Blocks this thread until the run is over. Not for async code; await the run there.
    ///
    /// # Errors
    ///
    /// As the future.
    pub fn wait(self) -> Result<Outcome, RunError> {
        crate::block::on(self)
    }

    /// Ends the run: what waits at once, what runs at its next preemption point. The run then
    /// resolves to [`RunError::Cancelled`]. A run that is over keeps its outcome.
    pub fn cancel(&self) {
        self.shared.kill(Kill::Cancelled);
    }

    /// Something that cancels the run from elsewhere.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            shared: self.shared.clone(),
        }
    }

    /// A number that no other run of the host has.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.shared.account.group.name()
    }

    /// Whether it is over.
    pub fn is_finished(&self) -> bool {
        self.shared.is_over()
    }

    /// What it used so far.
    pub fn stats(&self) -> RunStats {
        self.shared.stats()
    }
}

impl Future for Run {
    type Output = Result<Outcome, RunError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if !this.shared.is_over() {
            this.shared.finished.register(&mut this.key, cx.waker());
            if !this.shared.is_over() {
                return Poll::Pending;
            }
        }
        let taken = || Err(RunError::Other("the run's outcome was taken before".into()));
        Poll::Ready(this.shared.take_result().unwrap_or_else(taken))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.shared.finished.remove(self.key);
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("finished", &self.is_finished())
            .finish()
    }
}

// === impl Canceller ===

impl Canceller {
    /// See [`Run::cancel`].
    pub fn cancel(&self) {
        self.shared.kill(Kill::Cancelled);
    }

    /// See [`Run::stats`].
    pub fn stats(&self) -> RunStats {
        self.shared.stats()
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller")
            .field("id", &self.shared.id)
            .finish()
    }
}

// === impl Outcome ===

impl Outcome {
    /// The results in WAVE, one per line.
    ///
    /// # Errors
    ///
    /// If a result has no form in WAVE.
    pub fn to_wave(&self) -> wasmtime::Result<String> {
        let results = self
            .results
            .iter()
            .map(Val::to_wave)
            .collect::<wasmtime::Result<Vec<_>>>()?;
        Ok(results.join("\n"))
    }
}
