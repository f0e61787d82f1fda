//! `hart work FILE`: runs tasks that others submit to a stream of NATS.

mod args;
mod health;
mod log;
mod setup;

use crate::failure::{Failure, USAGE};
use crate::interrupt::Interrupt;
use crate::line_log::LineLog;
use crate::output::to_stderr;
use crate::queue::connect;
use crate::{limits, scheduling};
pub(crate) use args::WorkArgs;
use hart_host::work::Worker;
use hart_host::{Cache, Limits};
use health::Health;
pub(crate) use setup::explain;
use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Instances that a worker's pool has by default: more jobs than that wait for each other.
const INSTANCES: u32 = 1000;

/// How long jobs may take to end once the worker stops.
const STOP: Duration = Duration::from_secs(10);

/// How long what is given back may take to reach the server, and a reader of the log may take nothing.
const GRACE: Duration = Duration::from_secs(5);

/// Works until a signal comes; the process's exit code.
///
/// # Errors
/// Bad usage, bad input, a server that is not there or wants somebody else.
pub(crate) fn work(args: &WorkArgs) -> Result<u8, Failure> {
    let interrupt = Interrupt::watch()
        .map_err(|error| Failure::new(1, format!("cannot watch for Ctrl-C: {error}")))?;
    let Some((limits, tuning)) = limits::with_tuning(&args.limits, &args.tuning)? else {
        return Ok(0);
    };
    let tuning = tuning.without_profile()?;
    let Some((plan, problems)) = setup::plan(args, limits)? else {
        return Ok(0);
    };
    if !problems.is_empty() {
        let lines = problems.iter().map(|problem| problem.show(&args.file));
        to_stderr(&lines.map(|line| line + "\n").collect::<String>());
        return Ok(USAGE);
    }
    let cache = tuning.cache(args.no_cache);
    let is_kept = cache != Cache::Off;
    let host = scheduling::host(&args.scheduling, INSTANCES, Limits::new(), |builder| {
        tuning.apply(builder.cache(cache).metrics(args.health.is_some()))
    })?;
    let log = match &args.job_log {
        Some(path) => Some(LineLog::open(path, "--job-log", "job")?),
        None => None,
    };
    let errors = LineLog::to_stderr("error")
        .map_err(|error| Failure::new(1, format!("no thread for the log: {error}")))?;
    let load = |app, bytes: &[u8]| {
        let allow_precompiled = args.allow_precompiled;
        setup::app(&host, app, bytes, allow_precompiled, is_kept)
    };
    let mut apps = Vec::new();
    for app in plan.apps.iter().filter(|app| app.object.is_none()) {
        let bytes = setup::file(app, args.allow_precompiled)?;
        apps.push(load(app, &bytes)?);
    }
    let tokio = host
        .runtime()
        .tokio()
        .expect("the host has threads of its own");
    let (worker, connected) = tokio.block_on(async {
        let is_lost = Arc::<AtomicBool>::default();
        let connected = connect(&plan.work, "hart work", move |event| {
            let (event, is_lost) = (event.clone(), is_lost.clone());
            tokio::task::spawn_blocking(move || log::event(&event, &is_lost));
        })
        .await?;
        for app in &plan.apps {
            if let Some(object) = &app.object {
                let bytes = setup::object(&connected.queue, object).await?;
                apps.push(load(app, &bytes)?);
            }
        }
        let mut builder = host.worker(&connected.queue);
        for app in apps {
            builder = builder.app(app);
        }
        if let Some(lease) = plan.work.lease {
            builder = builder.lease(lease);
        }
        if let Some(deliveries) = plan.work.deliveries {
            builder = builder.deliveries(deliveries);
        }
        let (jobs, failures) = (log.clone(), errors.clone());
        // Before anybody can see that it works: from then on a signal lets jobs end.
        interrupt.begin();
        let worker = builder
            .job_log(move |job| log::record(jobs.as_ref(), &failures, job))
            .start()
            .await
            .map_err(|error| explain(&error))?;
        Ok::<_, Failure>((worker, connected))
    })?;
    let names: Vec<_> = plan.apps.iter().map(|app| app.name.as_str()).collect();
    to_stderr(&format!(
        "Working for {} on {}, stream {}\n",
        names.join(", "),
        connected.address,
        connected.stream
    ));
    let worker = Arc::new(worker);
    let health = Health::new(worker.clone(), connected.queue, host.clone());
    if let Some(addr) = args.health {
        health.listen(addr)?;
    }
    let grace = args.grace.or(plan.top.grace).unwrap_or(STOP);
    wait(&interrupt, &worker, &health, grace);
    host.close();
    for log in log.iter().chain([&errors]) {
        log.finish();
    }
    hart_host::flush_output(GRACE);
    Ok(0)
}

/// Waits for a signal, then for the jobs that run, for `grace` at most.
fn wait(interrupt: &Interrupt, worker: &Worker, health: &Health, grace: Duration) {
    interrupt.wait_until(None, |_| interrupt.code().is_some());
    health.stops();
    let running: usize = worker.stats().iter().map(|app| app.running).sum();
    if running > 0 {
        to_stderr(
            "hart: stopping once the jobs that run have ended; Ctrl-C again leaves at once\n",
        );
    }
    let until = Instant::now().checked_add(grace + GRACE);
    let mut stops = pin!(worker.stop(grace));
    interrupt.wait_until(until, |cx| stops.as_mut().poll(cx).is_ready());
}
