//! What the tasks of a worker share: who runs, who is to stop, and what was counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::desk::Desk;
use super::queue::Queue;
use super::result::JobResult;
use super::status::JobStatus;
use crate::base::signal::Signal;
use crate::base::stats::RunStats;
use crate::base::sync::lock;
use crate::sched::core::Core;

/// What a worker has done for one app.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AppStats {
    /// Its name.
    pub name: String,
    /// The most jobs that the worker has at once.
    pub concurrency: usize,
    /// Jobs that it has now.
    pub running: usize,
    /// Jobs whose tasks returned.
    pub ok: u64,
    /// Jobs whose tasks returned an error.
    pub errors: u64,
    /// Jobs that trapped, reached a limit or could not be run.
    pub failed: u64,
    /// Jobs that were cancelled.
    pub cancelled: u64,
    /// Jobs that were given back to the stream.
    pub returned: u64,
    /// Deliveries that were not a job's first.
    pub redelivered: u64,
}

/// What is told of a job whose result is stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobRecord {
    /// Its app.
    pub app: String,
    /// Its id. It comes from who submitted the job.
    pub id: String,
    /// What came of it, without the bytes.
    pub result: JobResult,
    /// How often it was delivered to a worker, this time included.
    pub delivered: u64,
    /// From its arrival at the worker until its result was stored.
    pub duration: Duration,
    /// What its run used, if there was one.
    pub usage: Option<RunStats>,
}

/// Called for each job.
pub(super) type JobLog = dyn Fn(&JobRecord) + Send + Sync;

/// What is counted for one app.
#[derive(Default)]
pub(super) struct Counters {
    /// By [`JobStatus`].
    pub(super) ended: [AtomicU64; 4],
    pub(super) returned: AtomicU64,
    pub(super) redelivered: AtomicU64,
}

impl Counters {
    pub(super) fn ends(&self, status: JobStatus) {
        self.ended[status as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self, name: &str, concurrency: usize, running: usize) -> AppStats {
        let ended = |status: JobStatus| self.ended[status as usize].load(Ordering::Relaxed);
        AppStats {
            name: name.to_owned(),
            concurrency,
            running,
            ok: ended(JobStatus::Ok),
            errors: ended(JobStatus::Error),
            failed: ended(JobStatus::Failed),
            cancelled: ended(JobStatus::Cancelled),
            returned: self.returned.load(Ordering::Relaxed),
            redelivered: self.redelivered.load(Ordering::Relaxed),
        }
    }
}

/// How a worker takes jobs.
pub(super) struct Terms {
    pub(super) lease: Duration,
    pub(super) deliveries: u32,
    pub(super) log: Option<Box<JobLog>>,
}

/// What all tasks of one worker know.
pub(super) struct Shared {
    pub(super) core: Arc<Core>,
    pub(super) queue: Queue,
    pub(super) lease: Duration,
    pub(super) deliveries: u32,
    pub(super) log: Option<Box<JobLog>>,
    /// No new jobs.
    stops: AtomicBool,
    /// Those that run are given back.
    gives_up: AtomicBool,
    /// Notified when a job ends, and when one of the two above changes.
    pub(super) changed: Signal,
    /// Tasks of the worker: those that take jobs, and one for each job.
    live: AtomicUsize,
    desks: HashMap<String, Arc<Desk>>,
}

/// Counts one task of a worker while it lives.
pub(super) struct Live(pub(super) Arc<Shared>);

impl Drop for Live {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `is_idle`.
        self.0.live.fetch_sub(1, Ordering::Release);
        self.0.changed.notify();
    }
}

impl Shared {
    pub(super) fn new(
        core: Arc<Core>,
        queue: Queue,
        terms: Terms,
        desks: HashMap<String, Arc<Desk>>,
    ) -> Self {
        let Terms {
            lease,
            deliveries,
            log,
        } = terms;
        Self {
            core,
            queue,
            lease,
            deliveries,
            log,
            stops: AtomicBool::new(false),
            gives_up: AtomicBool::new(false),
            changed: Signal::default(),
            live: AtomicUsize::new(0),
            desks,
        }
    }

    /// The apps that the worker does jobs of.
    pub(super) fn apps(&self) -> impl Iterator<Item = &str> {
        self.desks.keys().map(String::as_str)
    }

    /// What the worker has of an app; `None` if it does no jobs of it.
    pub(super) fn desk(&self, app: &str) -> Option<&Arc<Desk>> {
        self.desks.get(app)
    }

    pub(super) fn enter(self: &Arc<Self>) -> Live {
        self.live.fetch_add(1, Ordering::Relaxed);
        Live(self.clone())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.live.load(Ordering::Acquire) == 0
    }

    /// Whether the worker has stopped, and has no jobs left.
    pub(super) fn is_over(&self) -> bool {
        self.stops() && self.is_idle()
    }

    pub(super) fn stop(&self) {
        // Release: pairs with the Acquire in `stops`.
        self.stops.store(true, Ordering::Release);
        for desk in self.desks.values() {
            lock(&desk.intake).stop();
        }
        self.changed.notify();
    }

    pub(super) fn stops(&self) -> bool {
        self.stops.load(Ordering::Acquire)
    }

    /// Ends all runs, whose jobs go back to the stream.
    pub(super) fn give_up(&self) {
        // Release: pairs with the Acquire in `gives_up`.
        self.gives_up.store(true, Ordering::Release);
        self.desks.values().for_each(|desk| desk.cancel_all());
        self.changed.notify();
    }

    pub(super) fn gives_up(&self) -> bool {
        self.gives_up.load(Ordering::Acquire)
    }

    /// Waits for `length`, or until the jobs are given up.
    pub(super) async fn pause(&self, length: Duration) {
        let sleep = std::pin::pin!(self.core.clock.sleep(length));
        let gives_up = std::pin::pin!(self.changed.wait(|| self.gives_up()));
        futures::future::select(sleep, gives_up).await;
    }
}
