//! The worker that there is: SIGHUP has another one take its place, with what the file and the components are by then.

use super::args::WorkArgs;
use super::{explain, log, setup};
use crate::config::plan::{Plan, WorkPlan};
use crate::failure::Failure;
use crate::line_log::LineLog;
use crate::output::{one_line, to_stderr};
use crate::sync::locked;
use hart_host::work::{App, Queue, Worker};
use hart_host::{Host, Limits};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How long the jobs of a worker may take whose place another one has: as long as they like.
const UNHURRIED: Duration = Duration::from_secs(365 * 24 * 3600);

/// What workers are made of.
#[derive(Clone)]
pub(super) struct Maker {
    pub(super) host: Host,
    pub(super) args: WorkArgs,
    pub(super) limits: Limits,
    /// Whether what is compiled is cached.
    pub(super) is_kept: bool,
    /// Where a line for each job goes, if it does.
    pub(super) log: Option<LineLog>,
    pub(super) errors: LineLog,
}

/// The worker, and those before it that still have jobs.
pub(super) struct Current {
    maker: Maker,
    queue: Queue,
    /// What was said of the queue when it was connected to.
    work: WorkPlan,
    workers: Mutex<Vec<Arc<Worker>>>,
    /// Held by whoever loads.
    loading: Mutex<()>,
}

impl Maker {
    /// The apps whose components are files.
    ///
    /// # Errors
    /// One that cannot be loaded.
    pub(super) fn files(&self, plan: &Plan) -> Result<Vec<App>, Failure> {
        let of_files = plan.apps.iter().filter(|app| app.object.is_none());
        let load = |app| {
            let bytes = setup::file(app, self.args.allow_precompiled)?;
            setup::app(
                &self.host,
                app,
                &bytes,
                self.args.allow_precompiled,
                self.is_kept,
            )
        };
        of_files.map(load).collect()
    }

    /// A worker for these apps and for those whose components are objects of the server.
    ///
    /// # Errors
    /// A component that does not come, and a server that refuses something.
    pub(super) async fn start(
        &self,
        queue: &Queue,
        plan: &Plan,
        apps: Vec<App>,
    ) -> Result<Worker, Failure> {
        let mut builder = self.host.worker(queue);
        for app in apps {
            builder = builder.app(app);
        }
        let allow_precompiled = self.args.allow_precompiled;
        for app in &plan.apps {
            if let Some(object) = &app.object {
                let bytes = setup::object(queue, object).await?;
                let app = setup::app(&self.host, app, &bytes, allow_precompiled, self.is_kept)?;
                builder = builder.app(app);
            }
        }
        if let Some(lease) = plan.work.lease {
            builder = builder.lease(lease);
        }
        if let Some(deliveries) = plan.work.deliveries {
            builder = builder.deliveries(deliveries);
        }
        let (jobs, failures) = (self.log.clone(), self.errors.clone());
        builder
            .job_log(move |job| log::record(jobs.as_ref(), &failures, job))
            .start()
            .await
            .map_err(|error| explain(&error))
    }
}

impl Current {
    pub(super) fn new(maker: Maker, queue: Queue, work: WorkPlan, worker: Worker) -> Arc<Self> {
        Arc::new(Self {
            maker,
            queue,
            work,
            workers: Mutex::new(vec![Arc::new(worker)]),
            loading: Mutex::default(),
        })
    }

    /// The one that takes jobs.
    pub(super) fn worker(&self) -> Arc<Worker> {
        let workers = locked(&self.workers);
        workers.last().expect("there is always one").clone()
    }

    /// How many jobs run.
    pub(super) fn running(&self) -> usize {
        let workers = locked(&self.workers);
        workers.iter().map(|worker| running(worker)).sum()
    }

    /// Ends all of them: see [`Worker::stop`].
    pub(super) async fn stop(&self, grace: Duration) {
        let workers = locked(&self.workers).clone();
        futures::future::join_all(workers.iter().map(|worker| worker.stop(grace))).await;
    }

    /// Opens the log again, and has another thread load all anew.
    pub(super) fn hangs_up(self: &Arc<Self>) {
        if let Some(log) = &self.maker.log {
            log.reopen();
        }
        let current = self.clone();
        let loads = move || match current.load() {
            Ok(names) => say(&format!("loaded anew: {names}")),
            Err(why) => say(&format!("nothing is loaded anew: {why}")),
        };
        if let Err(error) = thread::Builder::new()
            .name("hart-reload".into())
            .spawn(loads)
        {
            say(&format!("nothing is loaded anew: no thread: {error}"));
        }
    }

    /// Puts another worker in the place of the one that there is; the names of its apps.
    fn load(&self) -> Result<String, Failure> {
        let _one_at_a_time = locked(&self.loading);
        let (maker, args) = (&self.maker, &self.maker.args);
        let Some((plan, problems)) = setup::plan(args, maker.limits)? else {
            return Ok(String::new());
        };
        if let Some(problem) = problems.first() {
            return Err(Failure::usage(problem.show(&args.file)));
        }
        let place = |work: &WorkPlan| WorkPlan {
            lease: None,
            deliveries: None,
            ..work.clone()
        };
        if place(&plan.work) != place(&self.work) {
            say("what the file says of the server holds from the next start on");
        }
        let apps = maker.files(&plan)?;
        let tokio = maker.host.runtime().tokio();
        let tokio = tokio.expect("the host has threads of its own");
        let worker = tokio.block_on(maker.start(&self.queue, &plan, apps))?;
        let before = {
            let mut workers = locked(&self.workers);
            let before = workers.last().expect("there is always one").clone();
            workers.retain(|worker| Arc::ptr_eq(worker, &before) || running(worker) > 0);
            workers.push(Arc::new(worker));
            before
        };
        // It takes no more jobs, and those that it has end.
        tokio.spawn(async move { before.stop(UNHURRIED).await });
        let names: Vec<_> = plan.apps.iter().map(|app| app.name.as_str()).collect();
        Ok(names.join(", "))
    }
}

fn running(worker: &Worker) -> usize {
    worker.stats().iter().map(|app| app.running).sum()
}

fn say(text: &str) {
    to_stderr(&format!("hart: {}\n", one_line(text)));
}
