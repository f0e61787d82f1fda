//! `hart work FILE`: runs tasks that others submit to a stream of NATS.

mod args;
mod current;
mod health;
mod log;
mod setup;

use crate::failure::{Failure, USAGE};
use crate::interrupt::Interrupt;
use crate::line_log::LineLog;
use crate::otlp::Otlp;
use crate::output::to_stderr;
use crate::queue::connect;
use crate::{limits, scheduling};
pub(crate) use args::WorkArgs;
use current::{Current, Maker};
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
    let interrupt = Interrupt::watch_server()
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
    let otlp = Otlp::start(&args.otlp)?;
    let host = scheduling::host(&args.scheduling, INSTANCES, Limits::new(), |builder| {
        let builder = tuning.apply(builder.cache(cache).metrics(args.health.is_some()));
        Otlp::follow(otlp.as_ref(), builder)
    })?;
    Otlp::watch(otlp.as_ref(), &host);
    let log = match &args.job_log {
        Some(path) => Some(LineLog::open(path, "--job-log", "job")?),
        None => None,
    };
    let errors = LineLog::to_stderr("error")
        .map_err(|error| Failure::new(1, format!("no thread for the log: {error}")))?;
    let maker = Maker {
        host: host.clone(),
        args: args.clone(),
        limits,
        is_kept,
        log: log.clone(),
        errors: errors.clone(),
    };
    let apps = maker.files(&plan)?;
    let tokio = host.runtime().tokio();
    let tokio = tokio.expect("the host has threads of its own");
    let (worker, connected) = tokio.block_on(async {
        let is_lost = Arc::<AtomicBool>::default();
        let connected = connect(&plan.work, "hart work", move |event| {
            let (event, is_lost) = (event.clone(), is_lost.clone());
            tokio::task::spawn_blocking(move || log::event(&event, &is_lost));
        })
        .await?;
        // Before anybody can see that it works: from then on a signal lets jobs end.
        interrupt.begin();
        let worker = maker.start(&connected.queue, &plan, apps).await?;
        Ok::<_, Failure>((worker, connected))
    })?;
    let names: Vec<_> = plan.apps.iter().map(|app| app.name.as_str()).collect();
    to_stderr(&format!(
        "Working for {} on {}, stream {}\n",
        names.join(", "),
        connected.address,
        connected.stream
    ));
    let current = Current::new(maker, connected.queue.clone(), plan.work, worker);
    let health = Health::new(current.clone(), connected.queue, host.clone());
    if let Some(addr) = args.health {
        health.listen(addr)?;
    }
    let grace = args.grace.or(plan.top.grace).unwrap_or(STOP);
    wait(&interrupt, &current, &health, grace);
    host.close();
    for log in log.iter().chain([&errors]) {
        log.finish();
    }
    hart_host::flush_output(GRACE);
    Ok(0)
}

/// Waits for a signal, then for the jobs that run, for `grace` at most. SIGHUP loads anew before that.
fn wait(interrupt: &Interrupt, current: &Arc<Current>, health: &Health, grace: Duration) {
    interrupt.wait_until(None, |_| {
        if interrupt.takes_hang_up() {
            current.hangs_up();
        }
        interrupt.code().is_some()
    });
    health.stops();
    if current.running() > 0 {
        to_stderr(
            "hart: stopping once the jobs that run have ended; Ctrl-C again leaves at once\n",
        );
    }
    let until = Instant::now().checked_add(grace + GRACE);
    let mut stops = pin!(current.stop(grace));
    interrupt.wait_until(until, |cx| stops.as_mut().poll(cx).is_ready());
}
