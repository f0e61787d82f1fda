//! `hart run FILE [ARGS..]`.

use crate::args::RunArgs;
use crate::failure::{Failure, USAGE, exit_code, to_stderr, to_stdout};
use crate::interrupt::Interrupt;
use crate::stats::Report;
use crate::trace::TraceFile;
use crate::wasi::Grants;
use crate::{limits, load, scheduling};
use hart_host::{Cache, Component, Host, Outcome, RunBuilder, RunError, Stdio, Trace};
use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::time::Instant;

/// Runs a component and returns the process's exit code.
///
/// # Errors
/// Bad usage, bad input, and whatever ends a guest before it ends by itself.
pub(crate) fn run(args: RunArgs) -> Result<u8, Failure> {
    let Some(limits) = limits::limits(&args.limits)? else {
        return Ok(0);
    };
    let Some(grants) = Grants::new(&args)? else {
        return Ok(0);
    };
    let Some((file, arguments)) = args.file_and_args.split_first() else {
        return Err(Failure::usage(
            "no FILE to run; `hart run --help` shows how",
        ));
    };
    let path = Path::new(file);
    let arguments = guest_arguments(path, arguments)?;
    let cache = if args.no_cache {
        Cache::Off
    } else {
        Cache::Default
    };
    let trace = args.trace.as_deref().map(TraceFile::create).transpose()?;
    let host = scheduling::host(&args.scheduling, limits, |builder| {
        // Most programs need few places, and many just one.
        let builder = builder.cache(cache).grows(true);
        if trace.is_some() {
            builder.trace(Trace::DEFAULT_EVENTS)
        } else {
            builder
        }
    })?;
    // Its threads end with the process; to wait for each of them after the run would only take time.
    let host = ManuallyDrop::new(host);
    let component = load::load(&host, path, args.allow_precompiled)?;
    let builder = match &args.invoke {
        Some(call) => host
            .invoke(&component, call)
            .map_err(|error| Failure::usage(format!("--invoke {call}: {error}")).at(path))?,
        None => command(&host, &component).map_err(|failure| failure.at(path))?,
    };
    let name = arguments[0].clone();
    let builder = grants
        .grant(builder.name(name).args(arguments))
        .stdin(Stdio::Inherit)
        .stdout(Stdio::Inherit)
        .stderr(Stdio::Inherit);

    let started = Instant::now();
    let run = builder.start().map_err(|error| explain(&error).at(path))?;
    let canceller = run.canceller();
    let interrupt = Interrupt::watch()
        .map_err(|error| Failure::new(1, format!("cannot watch for Ctrl-C: {error}")))?;
    let ended = interrupt.wait(run);
    let wall = started.elapsed();

    let result =
        finish(ended, args.invoke.is_some(), &interrupt).map_err(|failure| failure.at(path));
    if let Some(format) = args.stats {
        let report = Report {
            run: canceller.stats(),
            host: host.stats(),
            settings: host.settings(),
            wall,
            exit_code: result.as_ref().map_or_else(Failure::code, |code| *code),
            error: result.as_ref().err().map(ToString::to_string),
        };
        to_stderr(&report.render(format));
    }
    if let (Some(file), Some(trace)) = (trace, host.runtime().trace())
        && let Err(failure) = file.write(&trace)
    {
        // What the guest did counts more.
        failure.report();
        return result.map(|code| code.max(failure.code()));
    }
    result
}

/// The guest's arguments: the file's name, as its program name, and the rest.
pub(crate) fn guest_arguments(path: &Path, rest: &[OsString]) -> Result<Vec<String>, Failure> {
    let program = path.file_name().unwrap_or(path.as_os_str());
    let mut arguments = vec![program.to_string_lossy().into_owned()];
    for argument in rest {
        let Some(argument) = argument.to_str() else {
            return Err(Failure::usage(format!(
                "the argument `{}` is not UTF-8, which guests' arguments have to be; write it otherwise",
                argument.to_string_lossy()
            )));
        };
        arguments.push(argument.to_owned());
    }
    Ok(arguments)
}

fn command(host: &Host, component: &Component) -> Result<RunBuilder, Failure> {
    if component.is_command() {
        return Ok(host.command(component));
    }
    let exports = component.exports();
    Err(Failure::usage(if exports.is_empty() {
        String::from(
            "exports no `wasi:cli/run`, nor any other function: nothing in it can be run; build it \
             as a program (`fn main`) for wasm32-wasip2",
        )
    } else {
        format!(
            "exports no `wasi:cli/run`, so it is no program; call one of its functions with \
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
                let text = outcome.to_wave().map_err(|error| {
                    Failure::new(
                        1,
                        format!("the result cannot be written in WAVE: {error:#}"),
                    )
                })?;
                if !text.is_empty() {
                    to_stdout(&format!("{}\n", text.trim_end_matches('\n')));
                }
            }
            Ok(exit_code(outcome.exit_code))
        }
        Err(error) => Err(match interrupt.code() {
            Some(code) => Failure::new(code, "interrupted"),
            None => explain(&error),
        }),
    }
}

/// The host crate's errors with exit codes and options of this program.
pub(crate) fn explain(error: &RunError) -> Failure {
    let code = u8::try_from(error.exit_code()).unwrap_or(1);
    if let Some(limit) = error.limit() {
        return Failure::new(code, limits::explain(limit));
    }
    match error {
        RunError::Trapped { backtrace, .. } if !backtrace.is_empty() => {
            Failure::new(code, error).detail(backtrace.as_str())
        }
        // The guest had not started.
        RunError::Setup(_) => Failure::new(USAGE, error),
        _ => Failure::new(code, error),
    }
}
