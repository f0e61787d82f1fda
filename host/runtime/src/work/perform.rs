//! Does what the rules say with one job: from its message to what came of it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::jetstream::AckKind;
use bytes::Bytes;
use futures::future::{Either, select};

use super::app::Ready;
use super::desk::Desk;
use super::going::{Going, Happens};
use super::job::Job;
use super::result::JobResult;
use super::rules::{Action, Course, EXTENDS, End, Event, Orders, Verdict};
use super::settle::{Delivery, Looked, tell};
use super::shared::{Counters, JobRecord, Shared};
use super::status::JobStatus;
use crate::base::stats::RunStats;
use crate::base::sync::lock;
use crate::host::run::handle::Run;
use crate::host::run::prepared::Less;
use crate::instance::error::RunError;
use crate::instance::lifecycle::Work;
use crate::quota::limits::LimitKind;

/// Does jobs of one app.
pub(super) struct Performs<T: 'static> {
    pub(super) app: Ready<T>,
    pub(super) shared: Arc<Shared>,
    pub(super) counters: Arc<Counters>,
    pub(super) desk: Arc<Desk>,
}

/// What is known of a job on its course.
#[derive(Default)]
struct Known {
    /// What this worker says of it.
    own: Option<JobResult>,
    /// What the stream has.
    stored: Option<JobResult>,
    /// What its run used, if there was one.
    usage: Option<RunStats>,
}

/// Holds a job while it is here.
struct Here<'a>(&'a Desk, &'a Shared, &'a str);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        lock(&self.0.intake).ends(self.2);
        self.1.changed.notify();
    }
}

impl<T: Send + 'static> Performs<T> {
    /// Does a job that the intake holds.
    pub(super) async fn perform(&self, delivery: Delivery) {
        let _here = Here(&self.desk, &self.shared, &delivery.id);
        let start = Instant::now();
        let mut course = Course::new(delivery.delivered, self.shared.deliveries);
        let mut known = Known::default();
        let mut action = course.begin(self.orders(&delivery));
        let status = loop {
            let event = match action {
                Action::Look => known.sees(self.keeps(&delivery, delivery.look()).await),
                Action::Run => self.run(&delivery, &mut course, &mut known).await,
                Action::Store(verdict) => {
                    let own = known.says(verdict, self.shared.deliveries);
                    Event::Stored(self.keeps(&delivery, delivery.store(own)).await)
                }
                Action::StoreDead => {
                    let reason = known.result().map(|result| result.reason.as_str());
                    let dead = delivery.store_dead(reason.unwrap_or_default());
                    Event::Stored(self.keeps(&delivery, dead).await)
                }
                Action::Again(wait) => {
                    tell(&delivery.message, AckKind::Progress).await;
                    self.keeps(&delivery, self.shared.pause(wait)).await;
                    Event::Waited
                }
                Action::Finish(status) => break status,
                Action::Count => Event::Counted(self.keeps(&delivery, delivery.returns()).await),
                Action::GiveBack(delay) => return self.give_back(&delivery, delay).await,
                // They are for a run, and there is none.
                Action::Wait | Action::Extend | Action::EndRun => return,
            };
            action = course.on(event, self.orders(&delivery));
        };
        if let Some(result) = known.result() {
            delivery.reply(result).await;
        }
        let is_failed = status == JobStatus::Failed;
        delivery
            .done(if is_failed {
                AckKind::Term
            } else {
                AckKind::Ack
            })
            .await;
        // A job that was done before is counted and told of by the worker that did it.
        if known.own.is_some() {
            self.counters.ends(status);
            self.log(&delivery, known, start.elapsed());
        }
    }

    fn log(&self, delivery: &Delivery, known: Known, duration: Duration) {
        let usage = known.usage.clone();
        if let (Some(log), Some(result)) = (&self.shared.log, known.into_result()) {
            log(&JobRecord {
                app: self.app.name.clone(),
                id: delivery.id.clone(),
                result: JobResult {
                    bytes: Bytes::new(),
                    ..result
                },
                delivered: delivery.delivered,
                duration,
                usage,
            });
        }
    }

    /// Extends the lease of a job until something has come.
    async fn keeps<F: Future>(&self, delivery: &Delivery, awaited: F) -> F::Output {
        let mut awaited = pin!(awaited);
        loop {
            let tick = pin!(self.shared.core.clock.sleep(self.shared.lease / EXTENDS));
            match select(awaited.as_mut(), tick).await {
                Either::Left((came, _)) => return came,
                Either::Right(_) => tell(&delivery.message, AckKind::Progress).await,
            }
        }
    }

    /// What others want of the job.
    fn orders(&self, delivery: &Delivery) -> Orders {
        Orders {
            cancelled: lock(&self.desk.intake).is_cancelled(&delivery.id),
            gives_up: self.shared.gives_up(),
        }
    }

    /// Has the server deliver a job again. At once means that this worker stops.
    pub(super) async fn give_back(&self, delivery: &Delivery, delay: Option<Duration>) {
        self.counters.returned.fetch_add(1, Ordering::Relaxed);
        if delay.is_none() {
            delivery.note_return().await;
        }
        tell(&delivery.message, AckKind::Nak(delay)).await;
    }

    /// Runs the job, and gives the end of its run.
    async fn run(&self, delivery: &Delivery, course: &mut Course, known: &mut Known) -> Event {
        let launched = match delivery.job() {
            Ok(job) => self.launch(delivery, job),
            Err(wrong) => {
                let failed = JobResult::failed(2, &wrong);
                return Event::Ended(known.ends(failed));
            }
        };
        let run = match launched {
            Ok(run) => run,
            Err(RunError::Closed) => return Event::Ended(End::Closed),
            Err(error) if is_full(&error) => return Event::Ended(End::Full),
            Err(error) => return Event::Ended(known.ends(JobResult::of(Err(error)))),
        };
        let usage = run.canceller();
        self.desk.runs(&delivery.id, usage.clone());
        // One that was asked for before is seen here, and a later one finds the run.
        let orders = self.orders(delivery);
        if orders.cancelled || orders.gives_up {
            usage.cancel();
        }
        let mut going = Going::new(run, &self.shared.core.clock, self.shared.lease);
        let ended = loop {
            let event = match going.next().await {
                Happens::Ended(ended) => break ended,
                Happens::Tick => Event::Tick,
                Happens::Looked(looked) => known.sees(looked),
            };
            match course.on(event, self.orders(delivery)) {
                Action::Extend => {
                    tell(&delivery.message, AckKind::Progress).await;
                    going.looks(|| delivery.look());
                }
                Action::EndRun => {
                    tracing::debug!("the job {} has a result: its run is ended", delivery.id);
                    usage.cancel();
                }
                // The run goes on.
                _ => {}
            }
        };
        self.desk.ran(&delivery.id);
        known.usage = Some(usage.stats());
        Event::Ended(match ended {
            Err(RunError::Closed) => End::Closed,
            Err(RunError::Cancelled) => End::Cancelled,
            ended => known.ends(delivery.fitting(JobResult::of(ended))),
        })
    }

    fn launch(&self, delivery: &Delivery, job: Job) -> Result<Run, RunError> {
        let prepared = &self.app.prepared;
        let work = Work::Entry {
            entry: job.entry,
            input: job.input.to_vec(),
        };
        let name = format!("{}/{}", self.app.name, delivery.id);
        let data = prepared.data(None)?;
        let less = Less {
            limits: &job.limits,
            denied: job.denied,
        };
        let record = prepared.launch_within(&less, name, work, data, None, None)?;
        Ok(Run::new(record).abort_on_drop())
    }
}

impl Known {
    fn sees(&mut self, (look, result): Looked) -> Event {
        self.stored = result;
        Event::Looked(look)
    }

    /// The run ended with this, or could not begin.
    fn ends(&mut self, result: JobResult) -> End {
        let status = result.status;
        self.own = Some(result);
        End::With(status)
    }

    /// What is to be stored.
    fn says(&mut self, verdict: Verdict, deliveries: u32) -> &JobResult {
        let worded = match verdict {
            Verdict::OfRun => None,
            Verdict::Cancelled => Some(JobResult::cancelled()),
            Verdict::GivenUp | Verdict::Unread => Some(JobResult::failed(
                1,
                &format!(
                    "given up: of {deliveries} workers that had it, none has brought it to an end"
                ),
            )),
        };
        if worded.is_some() {
            self.own = worded;
        }
        self.own
            .get_or_insert_with(|| JobResult::failed(1, "its run has left no result"))
    }

    /// What came of the job: what is stored, where this worker's is another.
    fn result(&self) -> Option<&JobResult> {
        self.stored.as_ref().or(self.own.as_ref())
    }

    fn into_result(self) -> Option<JobResult> {
        self.stored.or(self.own)
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
