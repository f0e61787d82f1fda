//! `hart run FILE [ARGS..]`.

use crate::admin::Admin;
use crate::admin::address::AdminAddress;
use crate::failure::Failure;
use crate::flight::{Flight, FlightArgs};
use crate::grants::{GrantArgs, Grants};
use crate::interrupt::Interrupt;
use crate::limits::LimitArgs;
use crate::otlp::{Otlp, OtlpArgs};
use crate::output::{printable, to_stderr};
use crate::refused::RefusedArgs;
use crate::scheduling::SchedulingArgs;
use crate::stats::{Report, StatsFormat};
use crate::trace::TraceFile;
use crate::tuning::TuningArgs;
use crate::{config, ended, later, limits, load, remote, scheduling};
use clap::Args;
use hart_host::{
    Cache, Component, GuestProfile, Host, Outcome, Preemption, RunBuilder, RunError, Trace,
};
use std::borrow::Cow;
use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  hart run app.wasm one two                 run a command component with two arguments
  hart run --dir src::/src::ro wc.wasm /src a directory, read-only, under the name /src
  hart run --invoke 'add(1, 2)' lib.wasm    call an export and print its result
  hart run --invoke add lib.wasm 1 2        the same
  hart run --workers 2 --stats app.wasm     two workers; at exit, what each of them did
  hart run --timeout 10s -W max-memory=1GiB untrusted.wasm

Exit codes: the guest's own; 1 if its `run` returned an error; 134 on a trap; 124 on a time limit;
130 on Ctrl-C; 143 on SIGTERM; 129 on SIGHUP; 2 on bad usage or bad input. Rust's std::process::exit
calls WASI 0.2's `exit`, which knows only success and failure: 3 becomes 1. `exit-with-code` and
hart_guest::exit(3) keep the number.

--invoke takes full names, a:b/one@1.2.0#f(), and short ones, a:b/one.f() or f(), if only one
function matches.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, override_usage = "hart [run] [OPTIONS] FILE [ARGS]...")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) grants: GrantArgs,

    /// Call an exported function, written in WAVE, instead of `run`, and print its result
    #[arg(
        long,
        value_name = "F(ARGS)",
        help_heading = "What the guest gets",
        allow_hyphen_values = true
    )]
    pub(crate) invoke: Option<String>,

    /// The guest's first argument, which is the program's name [default: the name of FILE]
    #[arg(long, value_name = "NAME", help_heading = "What the guest gets")]
    pub(crate) argv0: Option<OsString>,

    #[command(flatten)]
    pub(crate) scheduling: SchedulingArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) tuning: TuningArgs,

    #[command(flatten)]
    pub(crate) refused: RefusedArgs,

    /// At exit, write what the run used and what each worker did to standard error
    #[arg(
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "text",
        help_heading = "Statistics"
    )]
    pub(crate) stats: Option<StatsFormat>,

    /// Write a Chrome trace (JSON) of what each worker did, for Perfetto: the last million polls and
    /// waits
    #[arg(long, value_name = "FILE", help_heading = "Statistics")]
    pub(crate) trace: Option<PathBuf>,

    /// Write what each worker did as a self-contained HTML page: the last million polls and waits
    #[arg(long, value_name = "FILE", help_heading = "Statistics")]
    pub(crate) report: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) flight: FlightArgs,

    /// Listen there for `hart top` and Prometheus (`GET /metrics`): on a Unix socket, or for reading on an
    /// address of this machine, like 127.0.0.1:9100; may be repeated
    #[arg(long, value_name = "PATH|ADDR:PORT", value_parser = AdminAddress::parse, help_heading = "Statistics")]
    pub(crate) admin: Vec<AdminAddress>,

    #[command(flatten)]
    pub(crate) otlp: OtlpArgs,

    /// Accept a .cwasm file: native code, which can do whatever hart itself can do
    #[arg(long, help_heading = "Files")]
    pub(crate) allow_precompiled: bool,

    /// Compile again, and do not cache the result
    #[arg(long, help_heading = "Files")]
    pub(crate) no_cache: bool,

    /// The component, then its arguments
    #[arg(
        value_name = "FILE [ARGS]",
        num_args = 1..,
        trailing_var_arg = true
    )]
    pub(crate) file_and_args: Vec<OsString>,
}

/// How long a reader of the output may take nothing before the rest of it is lost, once the guest was ended. Guessed.
const GRACE: Duration = Duration::from_secs(1);

/// Runs a component and returns the process's exit code.
///
/// # Errors
/// Bad usage, bad input, and whatever ends a guest before it ends by itself.
pub(crate) fn run(args: RunArgs) -> Result<u8, Failure> {
    let mut args = args;
    if later::only_compiles() {
        // What the run itself has written stays.
        (args.trace, args.report, args.stats) = (None, None, None);
        args.flight.flight_recorder = None;
        args.admin.clear();
        args.otlp.otlp = None;
    }
    let interrupt = Interrupt::watch()
        .map_err(|error| Failure::new(1, format!("cannot watch for Ctrl-C: {error}")))?;
    let Some((limits, tuning)) = limits::with_tuning(&args.limits, &args.tuning)? else {
        return Ok(0);
    };
    let Some(grants) = Grants::new(&args.grants)? else {
        return Ok(0);
    };
    let Some((file, arguments)) = args.file_and_args.split_first() else {
        return Err(Failure::usage(
            "no FILE to run; `hart run --help` shows how",
        ));
    };
    let path = Path::new(file);
    let arguments = ended::guest_arguments(path, args.argv0.as_deref(), arguments)?;
    let cache = tuning.cache(args.no_cache);
    let is_kept = cache != Cache::Off;
    let leaves_code = is_kept && tuning.is_auto();
    let trace = args
        .trace
        .as_deref()
        .map(|path| TraceFile::create("--trace", path))
        .transpose()?;
    let page = args
        .report
        .as_deref()
        .map(|path| TraceFile::create("--report", path))
        .transpose()?;
    let flight = Flight::new(&args.flight)?;
    let profile = tuning
        .profile()
        .filter(|_| !later::only_compiles())
        .map(|path| TraceFile::create("--profile guest", path))
        .transpose()?;
    let limits = grants.limits(limits);
    let bytes = load::read_file(path, args.allow_precompiled)?;
    // Most programs spawn nothing, and a small pool is made sooner.
    let instances = hart_host::instances_for(&bytes);
    let otlp = Otlp::start(&args.otlp)?;
    let host = scheduling::host(&args.scheduling, instances, limits, |builder| {
        let builder = tuning.apply(builder.cache(cache).metrics(!args.admin.is_empty()));
        let builder = Otlp::follow(otlp.as_ref(), builder);
        let builder = Flight::follow(flight.as_ref(), builder);
        if trace.is_some() || page.is_some() {
            builder.trace(Trace::DEFAULT_EVENTS)
        } else {
            builder
        }
    })?;
    // Its threads end with the process; to wait for each of them after the run would only take time.
    let host = ManuallyDrop::new(host);
    let profile = match profile {
        Some(_) if !matches!(host.preemption(), Preemption::Epoch { .. }) => {
            return Err(Failure::usage(
                "--profile guest needs --preempt epoch, whose checks sample",
            ));
        }
        profile => profile.map(|file| (file, host.runtime().profile_guests())),
    };
    let how = load::How {
        allow_precompiled: args.allow_precompiled,
        is_kept,
        background: false,
        tier: None,
    };
    let component = load::load(&host, path, &bytes, how)?;
    if later::only_compiles() {
        component.wait_optimized();
        return Ok(0);
    }
    grants
        .check(&component)
        .map_err(|failure| failure.at(path))?;
    let builder = match &args.invoke {
        Some(call) => host
            .invoke(&component, &whole_call(call, &arguments[1..]))
            .map_err(|error| Failure::usage(format!("--invoke {call}: {error}")).at(path))?,
        None => command(&host, &component, grants.p3()).map_err(|failure| failure.at(path))?,
    };
    let name = arguments[0].clone();
    let builder = builder.name(name).args(arguments).stdin(grants.stdin());
    let remote = match grants.remote() {
        // What cannot spawn needs no server.
        Some(plan) if component.has_entry() => {
            let queue = remote::queue(&host, plan, config::plan::WorkPlan::default())?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let app = plan.app.as_deref().unwrap_or(&stem);
            Some(remote::workers(&host, &queue, app)?)
        }
        _ => None,
    };
    let builder = grants.grant(builder);
    let builder = match &remote {
        Some(remote) => builder.anywhere(remote),
        None => builder,
    };

    let flight = flight.map(|flight| flight.start(&host)).transpose()?;
    Otlp::watch(otlp.as_ref(), &host);
    let bell = flight.as_ref().map(|flight| flight.bell.clone());
    let _admin = Admin::start(&args.admin, &host, None, bell)?;
    interrupt.begin();
    let started = Instant::now();
    let run = builder
        .start()
        .map_err(|error| ended::explain(&error).at(path))?;
    let canceller = run.canceller();
    let ended = interrupt.wait(run);
    let wall = started.elapsed();
    let mut settles = pin!(remote::settle(remote));
    interrupt.wait_until(None, |cx| settles.as_mut().poll(cx).is_ready());
    // What a guest that was ended has left to write comes before what there is to say of it.
    hart_host::flush_output(GRACE);

    if leaves_code {
        later::compile(path, &component);
    }
    let result =
        finish(ended, args.invoke.is_some(), &interrupt).map_err(|failure| failure.at(path));
    if let Some(format) = args.stats {
        let report = Report {
            run: canceller.stats(),
            host: host.stats(),
            baseline: component.is_baseline(),
            settings: host.settings(),
            wall,
            exit_code: result.as_ref().map_or_else(Failure::code, |code| *code),
            error: result.as_ref().err().map(ToString::to_string),
        };
        to_stderr(&report.render(format));
    }
    if let Some((file, profile)) = profile
        && let Err(failure) = write_profile(file, &profile)
    {
        failure.report();
        return result.map(|code| code.max(failure.code()));
    }
    let title = format!("hart run {}", path.display());
    for (file, title) in [(trace, None), (page, Some(title))] {
        let (Some(file), Some(trace)) = (file, host.runtime().trace()) else {
            continue;
        };
        let written = match title {
            None => file.write(&trace),
            Some(title) => file.write_report(&trace, &title),
        };
        if let Err(failure) = written {
            // What the guest did counts more.
            failure.report();
            return result.map(|code| code.max(failure.code()));
        }
    }
    result
}

/// Writes a profile of guests, and warns if that is not all of it.
fn write_profile(file: TraceFile, profile: &GuestProfile) -> Result<(), Failure> {
    let lost = file.write_with(|to| profile.write(to))?;
    if lost > 0 {
        to_stderr(&format!(
            "hart: note: the profile has the first samples, and {lost} after them were not kept\n"
        ));
    }
    Ok(())
}

/// `f(1, 2)`, also where only `f` is there and the arguments follow the file: wasmtime's way for core modules.
fn whole_call<'a>(call: &'a str, arguments: &[String]) -> Cow<'a, str> {
    if call.is_empty() || call.contains('(') {
        return Cow::Borrowed(call);
    }
    Cow::Owned(format!("{call}({})", arguments.join(", ")))
}

fn command(host: &Host, component: &Component, p3: Option<bool>) -> Result<RunBuilder, Failure> {
    if component.is_command() {
        if let ([first, second], None) = (&component.commands()[..], p3) {
            to_stderr(&format!(
                "hart: running `{}`; `{}` is there too, and -S p3 runs that (-S p3=n says nothing)\n",
                printable(first),
                printable(second)
            ));
        }
        let run = host.command(component);
        return Ok(run.prefer_wasi03(p3.unwrap_or(false)));
    }
    let exports = component.invocable();
    Err(Failure::usage(if exports.is_empty() {
        String::from(
            "exports neither `wasi:cli/run` nor another function that can be called, so nothing in it can be run; build it \
             as a program (`fn main`) for wasm32-wasip2",
        )
    } else {
        format!(
            "exports no `wasi:cli/run`, so it is not a program; call one of its functions with \
             --invoke: {}",
            exports.join(", ")
        )
    }))
}

/// What the end of a run means for the process.
fn finish(
    ended: Result<Outcome, RunError>,
    invoked: bool,
    interrupt: &Interrupt,
) -> Result<u8, Failure> {
    match ended {
        Ok(outcome) => {
            if invoked {
                ended::print_result(&outcome)?;
            }
            ended::exit_code(&outcome)
        }
        Err(error) => Err(match interrupt.code() {
            Some(code) => Failure::new(code, "interrupted"),
            None => ended::explain(&error),
        }),
    }
}
