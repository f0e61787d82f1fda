//! A run of a job that goes on, while its lease is extended and its result looked for.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::rules::EXTENDS;
use super::settle::Looked;
use crate::host::run::handle::Run;
use crate::instance::ended::Outcome;
use crate::instance::error::RunError;
use crate::sched::clock::Clock;
use crate::sched::clock::sleep::Sleep;

/// A run and what it waits for.
pub(super) struct Going {
    run: Run,
    clock: Arc<Clock>,
    /// Between two extensions of the lease.
    interval: Duration,
    tick: Pin<Box<Sleep>>,
    looking: Option<Pin<Box<dyn Future<Output = Looked> + Send>>>,
}

/// What happens while it goes on.
#[expect(
    clippy::large_enum_variant,
    reason = "a job has one at a time, which goes nowhere"
)]
pub(super) enum Happens {
    Ended(Result<Outcome, RunError>),
    /// The lease is to be extended.
    Tick,
    Looked(Looked),
}

impl Going {
    pub(super) fn new(run: Run, clock: &Arc<Clock>, lease: Duration) -> Self {
        let interval = lease / EXTENDS;
        Self {
            run,
            clock: clock.clone(),
            interval,
            tick: Box::pin(clock.sleep(interval)),
            looking: None,
        }
    }

    /// Awaits a look beside the run, unless one is under way: its answer may take longer than a tick.
    pub(super) fn looks<F>(&mut self, look: impl FnOnce() -> F)
    where
        F: Future<Output = Looked> + Send + 'static,
    {
        if self.looking.is_none() {
            self.looking = Some(Box::pin(look()));
        }
    }

    /// What happens next.
    pub(super) async fn next(&mut self) -> Happens {
        poll_fn(|cx| {
            if let Poll::Ready(ended) = Pin::new(&mut self.run).poll(cx) {
                return Poll::Ready(Happens::Ended(ended));
            }
            if let Some(looking) = &mut self.looking
                && let Poll::Ready(looked) = looking.as_mut().poll(cx)
            {
                self.looking = None;
                return Poll::Ready(Happens::Looked(looked));
            }
            if self.tick.as_mut().poll(cx).is_ready() {
                self.tick = Box::pin(self.clock.sleep(self.interval));
                return Poll::Ready(Happens::Tick);
            }
            Poll::Pending
        })
        .await
    }
}
