//! The handle of a run.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::base::stats::RunStats;
use crate::instance::ended::Outcome;
use crate::instance::error::RunError;
use crate::instance::record::RunRecord;
use crate::instance::registry::LiveRun as _;
use crate::quota::kill::Kill;

/// A run: a future of its [`Outcome`], to be awaited on any executor, or waited for with
/// [`wait`](Self::wait).
///
/// It resolves once nothing of the run is left: no task, no instance, no store. Dropping it detaches;
/// the run goes on.
#[must_use = "dropping it detaches the run and loses its outcome"]
pub struct Run {
    shared: Arc<RunRecord>,
    key: Option<u64>,
}

/// Cancels a run from elsewhere, and reads its statistics, also after it is over.
#[derive(Clone)]
pub struct Canceller {
    shared: Arc<RunRecord>,
}

// === impl Run ===

impl Run {
    pub(crate) fn new(shared: Arc<RunRecord>) -> Self {
        Self { shared, key: None }
    }

    /// Blocks this thread until the run is over. Not for async code; await the run there.
    ///
    /// # Errors
    ///
    /// As the future.
    pub fn wait(self) -> Result<Outcome, RunError> {
        crate::base::block::on(self)
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
            this.shared.finished().register(&mut this.key, cx.waker());
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
        self.shared.finished().remove(self.key);
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
