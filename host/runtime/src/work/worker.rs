//! A worker: it takes jobs from a queue until it is stopped.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{Either, select};

use super::app::App;
use super::desk::Desk;
use super::error::WorkError;
use super::perform::Performs;
use super::pull::{Puller, pull};
use super::queue::Queue;
use super::rules::FAREWELL;
use super::shared::{AppStats, Counters, JobRecord, Shared, Terms};
use super::streams::consumer;
use super::unread;
use crate::host::handle::Host;
use crate::sched::core::Core;

/// A worker that is being set up. From [`Host::worker`].
#[must_use = "a worker begins with `start`"]
pub struct WorkerBuilder<T: 'static = ()> {
    core: Arc<Core>,
    queue: Queue,
    apps: Vec<App<T>>,
    terms: Terms,
}

/// A worker that runs. Dropped, it takes no more jobs; those that it has are done.
pub struct Worker {
    shared: Arc<Shared>,
    apps: Vec<Counted>,
}

/// An app of a worker.
struct Counted {
    name: String,
    concurrency: usize,
    counters: Arc<Counters>,
    desk: Arc<Desk>,
}

/// The shortest lease: a busy machine may be late by as much.
const SHORTEST: Duration = Duration::from_secs(1);

impl<T: Send + 'static> Host<T> {
    /// A worker that takes jobs from `queue` and runs them on this host.
    pub fn worker(&self, queue: &Queue) -> WorkerBuilder<T> {
        WorkerBuilder {
            core: self.inner().runtime.clone(),
            queue: queue.clone(),
            apps: Vec::new(),
            terms: Terms {
                lease: Duration::from_secs(30),
                deliveries: 5,
                log: None,
            },
        }
    }
}

impl<T: Send + 'static> WorkerBuilder<T> {
    /// Runs jobs of `app`, too.
    pub fn app(mut self, app: App<T>) -> Self {
        self.apps.push(app);
        self
    }

    /// How long a job stays with a worker that says nothing. It is extended while the job runs, however long that takes;
    /// where a worker dies, another one has the job after this time. All workers of an app should have the same. Default
    /// 30 s; at least 1 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.terms.lease = lease.max(SHORTEST);
        self
    }

    /// How often a job is delivered to workers before it is given up: where the first ones die, or are stopped before it is
    /// done. Default 5; at least 1.
    pub fn deliveries(mut self, deliveries: u32) -> Self {
        self.terms.deliveries = deliveries.max(1);
        self
    }

    /// Calls `log` for each job, when its result is stored. It is called on a worker thread, which it should not hold up.
    /// Default: nothing.
    pub fn job_log(mut self, log: impl Fn(&JobRecord) + Send + Sync + 'static) -> Self {
        self.terms.log = Some(Box::new(log));
        self
    }

    /// Makes the streams and consumers that are not there, and begins to take jobs. To be awaited where a tokio runtime is
    /// entered.
    ///
    /// # Errors
    ///
    /// An app that cannot run, and a server that does not answer or refuses something.
    pub async fn start(self) -> Result<Worker, WorkError> {
        if self.core.crew.tokio().is_none() {
            return Err(WorkError::Invalid(
                "a host on a simulated machine has no network".into(),
            ));
        }
        if self.apps.is_empty() {
            return Err(WorkError::Invalid(
                "there is no app whose jobs could be run; give the worker one".into(),
            ));
        }
        let opened = self.apps.into_iter().map(App::open);
        let apps = opened.collect::<Result<Vec<_>, _>>()?;
        let queue = self.queue;
        queue.ensure().await?;
        let mut consumers = Vec::new();
        for app in &apps {
            let (context, names) = (&queue.context, &queue.names);
            let (lease, deliveries) = (self.terms.lease, self.terms.deliveries);
            consumers.push(consumer(context, names, &app.name, lease, deliveries).await?);
        }
        let cancels = queue.client.subscribe(queue.names.cancel("*", "*")).await;
        let cancels =
            cancels.map_err(|error| WorkError::server("cancels cannot be heard", error))?;
        let advisories = unread::subscribe(&queue).await?;
        let desk = |concurrency| Arc::new(Desk::new(concurrency));
        let desks = apps
            .iter()
            .map(|app| (app.name.clone(), desk(app.concurrency)));
        let desks: HashMap<_, _> = desks.collect();
        let shared = Shared::new(self.core.clone(), queue, self.terms, desks.clone());
        let shared = Arc::new(shared);
        let mut worker = Worker {
            shared: shared.clone(),
            apps: Vec::new(),
        };
        for (app, consumer) in apps.into_iter().zip(consumers) {
            let counters = Arc::<Counters>::default();
            let desk = desks[&app.name].clone();
            worker.apps.push(Counted {
                name: app.name.clone(),
                concurrency: app.concurrency,
                counters: counters.clone(),
                desk: desk.clone(),
            });
            let puller = Puller::new(consumer, &shared, &app.name).await?;
            let performs = Arc::new(Performs {
                app,
                shared: shared.clone(),
                counters,
                desk,
            });
            self.core
                .spawn_aside("work", pull(shared.enter(), puller, performs));
        }
        self.core
            .spawn_aside("advisories", unread::bury(shared.clone(), advisories));
        self.core.spawn_aside("cancels", hear(shared, cancels));
        Ok(worker)
    }
}

/// Cancels what it is told to, as long as there is a worker.
async fn hear(shared: Arc<Shared>, mut cancels: async_nats::Subscriber) {
    loop {
        let over = pin!(shared.changed.wait(|| shared.is_over()));
        let heard = match select(cancels.next(), over).await {
            Either::Left((Some(message), _)) => message,
            _ => return,
        };
        let Some((app, id)) = shared.queue.names.parts(&heard.subject) else {
            continue;
        };
        if shared.desk(app).is_some_and(|desk| desk.cancel(id))
            && let Some(reply) = heard.reply
        {
            // Whoever asked sees the result all the same.
            let _ = shared.queue.client.publish(reply, "".into()).await;
        }
    }
}

impl Worker {
    /// What it has done so far, by app.
    pub fn stats(&self) -> Vec<AppStats> {
        let apps = self.apps.iter();
        apps.map(|app| {
            let running = app.desk.held();
            app.counters.stats(&app.name, app.concurrency, running)
        })
        .collect()
    }

    /// Takes no more jobs, and resolves when none is left, or soon after `grace`: what still runs then is cancelled, and
    /// its job goes back to the stream, for other workers.
    pub async fn stop(&self, grace: Duration) {
        let shared = &self.shared;
        shared.stop();
        let idle = || shared.is_idle();
        let ended = pin!(shared.changed.wait(idle));
        let over = pin!(shared.core.clock.sleep(grace));
        if let Either::Right(_) = select(ended, over).await {
            shared.give_up();
            let ended = pin!(shared.changed.wait(idle));
            select(ended, pin!(shared.core.clock.sleep(FAREWELL))).await;
        }
        // What was said last is on its way once this is answered.
        let flushes = pin!(shared.queue.client.flush());
        select(flushes, pin!(shared.core.clock.sleep(FAREWELL))).await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl<T> fmt::Debug for WorkerBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("apps", &self.apps)
            .field("lease", &self.terms.lease)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("apps", &self.stats())
            .finish()
    }
}
