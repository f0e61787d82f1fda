//! One job: from its message to what came of it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::jetstream::{AckKind, Message};
use bytes::Bytes;
use futures::future::{Either, select};

use super::app::Ready;
use super::job::Job;
use super::result::JobResult;
use super::settle::{Delivery, Settled, tell};
use super::shared::{Counters, JobRecord, Shared};
use crate::base::stats::RunStats;
use crate::host::run::handle::Run;
use crate::instance::error::RunError;
use crate::instance::lifecycle::Work;
use crate::quota::limits::LimitKind;

/// Does jobs of one app.
pub(super) struct Performs<T: 'static> {
    pub(super) app: Ready<T>,
    pub(super) shared: Arc<Shared>,
    pub(super) counters: Arc<Counters>,
}

/// How long a job waits that the app's tenant has no room for.
const NO_ROOM: Duration = Duration::from_secs(1);

/// What came of a run.
#[expect(
    clippy::large_enum_variant,
    reason = "a job has one, which goes nowhere"
)]
enum Performed {
    /// With what its run used, if there was one.
    Ended(JobResult, Option<RunStats>),
    /// It is for another worker, or for later.
    GoesBack(Option<Duration>),
}

/// Counts a job while it is here.
struct Here<'a>(&'a Counters, &'a Shared);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
        self.1.changed.notify();
    }
}

impl<T: Send + 'static> Performs<T> {
    /// Does the job of `message`, which counts as running already.
    pub(super) async fn perform(&self, message: Message) {
        let _here = Here(&self.counters, &self.shared);
        let start = Instant::now();
        let delivery = match Delivery::of(&self.shared, message) {
            Ok(delivery) => delivery,
            Err(message) => return tell(&message, AckKind::Term).await,
        };
        let is_first = delivery.delivered <= 1;
        if !is_first {
            self.counters.redelivered.fetch_add(1, Ordering::Relaxed);
        }
        // Somebody did it, and died before the server knew.
        if !is_first && delivery.has_result().await {
            return delivery.done(AckKind::Ack).await;
        }
        let performed = match delivery.job() {
            _ if delivery.delivered > i64::from(self.shared.deliveries) => {
                let times = self.shared.deliveries;
                let why = format!(
                    "given up: of {times} workers that had it, none has brought it to an end"
                );
                Performed::Ended(JobResult::failed(1, &why), None)
            }
            Ok(job) => self.run(&delivery, job).await,
            Err(wrong) => Performed::Ended(JobResult::failed(2, &wrong), None),
        };
        match performed {
            Performed::GoesBack(delay) => self.give_back(&delivery.message, delay).await,
            Performed::Ended(result, usage) => {
                let result = delivery.fitting(result);
                match delivery.settle(&result).await {
                    Settled::Stored => self.counters.ends(result.status),
                    Settled::Not => return self.give_back(&delivery.message, None).await,
                }
                if let Some(log) = &self.shared.log {
                    log(&JobRecord {
                        app: self.app.name.clone(),
                        id: delivery.id.clone(),
                        result: JobResult {
                            bytes: Bytes::new(),
                            ..result
                        },
                        delivered: u64::try_from(delivery.delivered).unwrap_or(1),
                        duration: start.elapsed(),
                        usage,
                    });
                }
            }
        }
    }

    /// Has the server deliver a job again.
    pub(super) async fn give_back(&self, message: &Message, delay: Option<Duration>) {
        self.counters.returned.fetch_add(1, Ordering::Relaxed);
        tell(message, AckKind::Nak(delay)).await;
    }

    async fn run(&self, delivery: &Delivery<'_>, job: Job) -> Performed {
        let prepared = &self.app.prepared;
        let work = Work::Entry {
            entry: job.entry,
            input: job.input.to_vec(),
        };
        let name = format!("{}/{}", self.app.name, delivery.id);
        let launched = prepared
            .data(None)
            .and_then(|data| prepared.launch_within(&job.limits, name, work, data, None));
        let record = match launched {
            Ok(record) => record,
            Err(RunError::Closed) => return Performed::GoesBack(None),
            Err(error) if is_full(&error) => return Performed::GoesBack(Some(NO_ROOM)),
            Err(error) => return Performed::Ended(JobResult::of(Err(error)), None),
        };
        let mut run = Run::new(record).abort_on_drop();
        let (app, id) = (&self.app.name, &delivery.id);
        let usage = run.canceller();
        self.shared.runs(app, id, usage.clone());
        let ended = loop {
            let extends = pin!(self.shared.core.clock.sleep(self.shared.lease / 3));
            match select(&mut run, extends).await {
                Either::Left((ended, _)) => break ended,
                Either::Right(_) => tell(&delivery.message, AckKind::Progress).await,
            }
        };
        let is_cancelled = self.shared.ran(app, id);
        match ended {
            Err(RunError::Closed) => Performed::GoesBack(None),
            Err(RunError::Cancelled) if !is_cancelled => Performed::GoesBack(None),
            ended => Performed::Ended(JobResult::of(ended), Some(usage.stats())),
        }
    }
}

/// Whether there is no room for the run now, and there may be later.
fn is_full(error: &RunError) -> bool {
    let limit = error.limit().map(|reached| reached.limit);
    matches!(
        limit,
        Some(
            LimitKind::TenantTasks
                | LimitKind::TenantMemory
                | LimitKind::TenantSpawnRate
                | LimitKind::InnerInstances
        )
    )
}
