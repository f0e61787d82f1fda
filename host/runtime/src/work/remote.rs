//! Tasks of runs on this machine that workers of a queue run: those that may run anywhere.
//!
//! # Protocol
//!
//! 1. A task becomes a job, which says where its result is to be sent as well. The result is looked for in the stream, too,
//!    less and less often: an answer may be lost, and a job that was cancelled has none.
//! 2. Where nobody waits any more, as the task was cancelled or its run is over, the job is cancelled. That is done once the
//!    server has said that it has the job, so that no cancel overtakes its job.
//! 3. A server that does not answer for long, and a job that is gone without a result, end the wait.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::Subscriber;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, select};
use futures::{FutureExt as _, StreamExt as _};

use super::error::WorkError;
use super::job::Job;
use super::names::check;
use super::queue::Queue;
use super::result::JobResult;
use crate::base::signal::Signal;
use crate::base::text;
use crate::host::handle::Host;
use crate::host::run::builder::RunBuilder;
use crate::instance::elsewhere::{Elsewhere, Errand, Reach};
use crate::instance::ended::Ended;
use crate::quota::kill::Kill;
use crate::sched::core::Core;

/// How long the first look for a result waits, and later ones at most.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How long the server may say nothing before the task is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Workers of a queue that run tasks of this machine's runs: those that guests spawn with the option `anywhere`, where they
/// would have to wait here. For [`RunBuilder::anywhere`]. Cheap to clone.
#[derive(Clone)]
pub struct Remote(Arc<Inner>);

struct Inner {
    queue: Queue,
    app: String,
    core: Arc<Core>,
    /// Somebody works for the app, or has.
    is_served: AtomicBool,
    /// Tasks that are there, or on the way.
    live: AtomicUsize,
    changed: Signal,
}

/// Counts one task.
struct Live(Arc<Inner>);

impl Drop for Live {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `settle`.
        self.0.live.fetch_sub(1, Ordering::Release);
        self.0.changed.notify();
    }
}

impl Remote {
    /// Those that work for `app`, which has to be the same component there: its tasks are called by their names.
    ///
    /// # Errors
    ///
    /// A name that no app can have, and a host on a simulated machine, which has no network.
    pub fn new<T: Send + 'static>(
        host: &Host<T>,
        queue: &Queue,
        app: &str,
    ) -> Result<Self, WorkError> {
        check("app", app)?;
        let core = host.inner().runtime.clone();
        if core.crew.tokio().is_none() {
            return Err(WorkError::Invalid(
                "a host on a simulated machine has no network".into(),
            ));
        }
        Ok(Self(Arc::new(Inner {
            queue: queue.clone(),
            app: app.to_owned(),
            core,
            is_served: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            changed: Signal::default(),
        })))
    }

    /// Waits until nothing is on the way any more, or for `grace`: a program that ends before may leave jobs that nobody
    /// waits for. Tasks of a run that is over are cancelled.
    pub async fn settle(&self, grace: Duration) {
        let inner = &self.0;
        // Acquire: pairs with the Release in `Live::drop`.
        let is_idle = || inner.live.load(Ordering::Acquire) == 0;
        let settled = pin!(inner.changed.wait(is_idle));
        select(settled, pin!(inner.core.clock.sleep(grace))).await;
    }

    /// Has a task run, and tells how it ended, unless nobody wants to know any more.
    async fn sees_to(self, errand: Errand, mut tell: oneshot::Sender<Ended>, _live: Live) {
        let Errand {
            entry,
            input,
            limits,
            denied,
            held: _held,
        } = errand;
        let inner = &*self.0;
        let inbox = inner.queue.client.new_inbox();
        let job = Job {
            limits,
            denied,
            reply: Some(inbox.clone()),
            ..Job::new(entry, input)
        };
        let submitted = inner.submit(job, inbox).await;
        let result = match submitted {
            Ok((id, answers)) => {
                let comes = pin!(inner.result(&id, answers));
                let gives_up = pin!(tell.cancellation());
                match select(comes, gives_up).await {
                    Either::Left((result, _)) => result,
                    Either::Right(_) => return inner.cancel(&id).await,
                }
            }
            Err(error) => Err(error),
        };
        // Nobody may wait any more.
        let _ = tell.send(match result {
            Ok(result) => result.ended(&limits),
            Err(error) => Ended::Other(text::line(&format!(
                "the task was to run on another machine: {error}"
            ))),
        });
    }
}

impl Inner {
    /// Submits a job: its id, and where its result comes.
    async fn submit(&self, job: Job, inbox: String) -> Result<(String, Subscriber), WorkError> {
        if !self.is_served.load(Ordering::Relaxed) {
            if self.queue.lacks_worker(&self.app).await {
                return Err(WorkError::Invalid(format!(
                    "nobody has worked for the app `{}` in the stream {} yet; start `hart work` there, or name another app",
                    self.app, self.queue.names.jobs
                )));
            }
            self.is_served.store(true, Ordering::Relaxed);
        }
        let answers = self.queue.client.subscribe(inbox).await;
        let answers = answers.map_err(|error| WorkError::server("no inbox", error))?;
        let id = self.queue.submit(&self.app, &job).await?;
        Ok((id, answers))
    }

    /// Waits for the result of a job.
    async fn result(&self, id: &str, mut answers: Subscriber) -> Result<JobResult, WorkError> {
        let clock = &self.core.clock;
        let mut wait = LOOKS.0;
        let mut heard = clock.now();
        loop {
            let due = pin!(clock.sleep(wait));
            match select(answers.next(), due).await {
                Either::Left((Some(message), _)) => {
                    return Ok(JobResult::read(message.headers.as_ref(), message.payload));
                }
                Either::Left((None, _)) => {
                    return Err(WorkError::Server("the client of NATS was closed".into()));
                }
                Either::Right(_) => {}
            }
            match self.look(id).await {
                Ok(Some(result)) => return Ok(result),
                Ok(None) => {
                    heard = clock.now();
                    wait = (wait * 2).min(LOOKS.1);
                }
                Err(error) if clock.now().saturating_duration_since(heard) > PATIENCE => {
                    return Err(error);
                }
                Err(_) => wait = LOOKS.0,
            }
        }
    }

    /// The result of a job, if there is one. A job that is neither done nor there is an error.
    async fn look(&self, id: &str) -> Result<Option<JobResult>, WorkError> {
        let (queue, app) = (&self.queue, &self.app);
        let result = queue.result(app, id).await?;
        if result.is_some() || queue.is_there(app, id).await? {
            return Ok(result);
        }
        // It may have been done just now.
        let result = queue.result(app, id).await?;
        Ok(Some(result.unwrap_or_else(|| {
            JobResult::failed(1, "its job is gone from the stream, and has no result")
        })))
    }

    async fn cancel(&self, id: &str) {
        if let Err(error) = self.queue.cancel(&self.app, id).await {
            tracing::warn!("the job {id} of `{}` goes on: {error}", self.app);
        }
    }
}

impl Elsewhere for Remote {
    fn run(&self, errand: Errand) -> BoxFuture<'static, Ended> {
        let inner = &self.0;
        let (tell, told) = oneshot::channel();
        inner.live.fetch_add(1, Ordering::Relaxed);
        let live = Live(inner.clone());
        let group = errand.held.account.group.clone();
        let work = self.clone().sees_to(errand, tell, live);
        // At the expense of the run, also when it is over.
        inner.core.spawn_for(&group, "remote", work);
        told.map(|ended| ended.unwrap_or(Ended::Killed(Kill::Closed)))
            .boxed()
    }
}

impl<T: Send + 'static> RunBuilder<T> {
    /// Tasks that guests spawn with the option `anywhere` go to `remote` where they would have to wait here: for a slot in
    /// the pool of instances, or for a core that as many tasks wait for as there are workers. Default: a spawn with that
    /// option is denied.
    ///
    /// Nothing of this machine goes along, so such a task must be denied what the run is granted here, or its spawn is
    /// denied and says so: directories, the network, variables, capabilities. What its kind is granted where it runs, the
    /// worker's owner says. What it spawns stays there. Its limits are those that it would have here, each for itself, and
    /// those that it has there; the inputs and results count here, and what it uses does not.
    pub fn anywhere(mut self, remote: &Remote) -> Self {
        self.reach(Reach::Beyond(Arc::new(remote.clone())));
        self
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("app", &self.0.app)
            .finish_non_exhaustive()
    }
}
