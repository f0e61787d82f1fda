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
/// It resolves once nothing of the run is left: no task, no instance, no store. Dropping it detaches,
/// and the run goes on, unless [`abort_on_drop`](Self::abort_on_drop) was called.
#[must_use = "dropping it detaches the run and loses its outcome"]
pub struct Run {
    shared: Arc<RunRecord>,
    key: Option<u64>,
    aborts: bool,
}

/// Cancels a run from elsewhere, and reads its statistics, also after it is over.
#[derive(Clone)]
pub struct Canceller {
    shared: Arc<RunRecord>,
}

// === impl Run ===

impl Run {
    pub(crate) fn new(shared: Arc<RunRecord>) -> Self {
        Self {
            shared,
            key: None,
            aborts: false,
        }
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

    /// The run is cancelled when this handle is dropped before it is over: where a future of the embedder's that awaits
    /// it is dropped, for instance.
    ///
    /// ```
    /// # let host = hart_host::Host::builder().workers(1).build()?;
    /// # let spinner = host.load(br#"
    /// #     (component
    /// #         (core module $m (func (export "f") (loop (br 0))))
    /// #         (core instance $i (instantiate $m))
    /// #         (func (export "spin") (canon lift (core func $i "f"))))
    /// # "#)?;
    /// let run = host.invoke(&spinner, "spin()")?.start()?.abort_on_drop();
    /// drop(run);
    /// while host.live_guests() > 0 {
    ///     std::thread::yield_now();
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn abort_on_drop(mut self) -> Self {
        self.aborts = true;
        self
    }

    /// Lets the run go on without a handle, as dropping one does that does not abort. Its outcome is lost.
    pub fn detach(mut self) {
        self.aborts = false;
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
        if self.aborts && !self.shared.is_over() {
            self.cancel();
        }
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
