//! `hart serve FILE`: answers HTTP requests with a component, or with the many that a file names.

mod access_line;
mod apps;
mod args;
mod check;
mod headers;
mod reload;
mod setup;
mod stamp;
mod stop;
mod tls;

use crate::admin::{self, Admin};
use crate::config;
use crate::failure::Failure;
use crate::flight::Flight;
use crate::interrupt::Interrupt;
use crate::line_log::LineLog;
use crate::otlp::Otlp;
use crate::output::to_stderr;
use crate::{limits, scheduling};
use apps::{Apps, Settings};
pub(crate) use args::ServeArgs;
use hart_host::{Cache, Limits, LogPrefix, Server};
use reload::Reloader;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// Instances that a server's pool has by default: more requests than that wait.
const INSTANCES: u32 = 1000;

/// How long a reader of the log may take nothing before the rest of it is lost.
const GRACE: Duration = Duration::from_secs(1);

/// How long requests may take to end once the server stops.
const STOP: Duration = Duration::from_secs(10);

/// Serves until a signal comes; the process's exit code.
///
/// # Errors
/// Bad usage, bad input, an address that cannot be had.
pub(crate) fn serve(args: ServeArgs) -> Result<u8, Failure> {
    let interrupt = Interrupt::watch_server()
        .map_err(|error| Failure::new(1, format!("cannot watch for Ctrl-C: {error}")))?;
    let Some((limits, tuning)) = limits::with_tuning(&args.limits, &args.tuning)? else {
        return Ok(0);
    };
    let tuning = tuning.without_profile()?;
    let Some(source) = setup::source(&args, limits)? else {
        return Ok(0);
    };
    let headers = headers::read(&args.headers)?;
    let (plan, problems) = source.plan()?;
    let top = setup::top(&args).or(plan.top.clone());
    if !args.check && !problems.is_empty() {
        let lines = problems.iter().map(|problem| problem.show(&args.file));
        to_stderr(&lines.map(|line| line + "\n").collect::<String>());
        return Ok(crate::failure::USAGE);
    }
    let flight = match args.check {
        true => None,
        false => Flight::new(&args.flight)?,
    };
    let cache = tuning.cache(args.no_cache);
    let is_kept = cache != Cache::Off;
    let otlp = match args.check {
        true => None,
        false => Otlp::start(&args.otlp)?,
    };
    let host = scheduling::host(&args.scheduling, INSTANCES, Limits::new(), |builder| {
        let builder = tuning.apply(builder.cache(cache).metrics(!top.admin.is_empty()));
        let builder = Otlp::follow(otlp.as_ref(), builder);
        Flight::follow(flight.as_ref(), builder)
    })?;
    let settings = Settings {
        allow_precompiled: args.allow_precompiled,
        is_kept,
        body_timeout: args.body_timeout,
        quiet_errors: top.quiet_errors,
        log_prefix: match (args.no_logging_prefix, config::app::is_config(&args.file)) {
            (true, _) => LogPrefix::None,
            (false, false) => LogPrefix::Instance,
            (false, true) => LogPrefix::Named,
        },
        is_check: args.check,
    };
    let apps = Arc::new(Apps::new(host.clone(), settings, plan.work.clone()));
    if args.check {
        let plan = config::plan::Plan {
            top,
            apps: plan.apps,
            ..config::plan::Plan::default()
        };
        return Ok(check::check(&args.file, &plan, problems, &apps));
    }
    let tls = top.tls.as_ref().map(tls::read).transpose()?;
    if let Some((_, failure)) = apps.change(&plan.apps).failures.into_iter().next() {
        return Err(failure);
    }
    let log = match &top.access_log {
        Some(path) => Some(LineLog::open(path, "--access-log", "access")?),
        None => None,
    };

    Otlp::watch(otlp.as_ref(), &host);
    // Before it is announced: what connects from then on is served.
    let asked = args.shutdown_addr.map(stop::Asked::listen).transpose()?;
    let addr = top.addr.unwrap_or(args::ADDRESS);
    let listener = TcpListener::bind(addr).map_err(|error| {
        Failure::new(
            1,
            format!("cannot listen on {addr}: {error}; choose another address with --addr"),
        )
    })?;
    let mut builder = host
        .server(apps.routes())
        .request_headers(headers)
        .header_timeout(args.header_timeout)
        .write_timeout(args.body_timeout)
        .header_limit(usize::try_from(args.max_header_size).unwrap_or(usize::MAX))
        .server_timing(top.server_timing);
    if let Some(connections) = top.connections {
        builder = builder.connections(connections);
    }
    if let Some(log) = log.clone() {
        let format = top.access_log_format.unwrap_or_default();
        builder = builder.access_log(move |record| log.write(access_line::line(format, record)));
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    if let Some(tls) = tls {
        builder = builder.tls(tls);
    }
    // Before anybody can see that it serves: from then on a signal lets requests end.
    interrupt.begin();
    let watched: Arc<dyn admin::Apps> = apps.clone();
    let flight = flight.map(|flight| flight.start(&host)).transpose()?;
    let bell = flight.as_ref().map(|flight| flight.bell.clone());
    let admin = Admin::start(&top.admin, &host, Some(watched), bell)?;
    let reloader = Reloader::start(source, plan.top, apps.clone(), top.watch)
        .map_err(|error| Failure::new(1, format!("cannot watch for changes: {error}")))?;
    let server = builder
        .start(listener)
        .map_err(|error| Failure::new(1, format!("cannot serve on {addr}: {error}")))?;
    to_stderr(&format!(
        "{}Serving HTTP on {scheme}://{}/\n",
        admin.show(),
        server.address()
    ));
    let loads = |server: &Server| {
        if let Some(log) = &log {
            log.reopen();
        }
        if let Some(files) = &top.tls {
            match tls::read(files) {
                Ok(tls) => server.set_tls(tls),
                Err(failure) => to_stderr(&format!(
                    "hart: the certificate stays as it was: {failure}\n"
                )),
            }
        }
        reloader.ask();
    };
    let grace = top.grace.unwrap_or(STOP);
    let ends = stop::Ends {
        host: &host,
        apps: &apps,
        grace,
    };
    stop::wait(&interrupt, asked, server, &ends, loads);
    drop(admin);
    host.close();
    // Before the apps go, and their figures with them.
    drop(otlp);
    if let Some(log) = log {
        log.finish();
    }
    hart_host::flush_output(GRACE);
    Ok(0)
}
