//! Every comparison of hart with a peer: `cargo run --release -p hart-bench -- SUITE`.
//!
//! Both sides of a row run in this process, in turn, with the same work and the same workers; a row is
//! the median of its rounds. A ratio above 1 means that hart is ahead.

mod allocations;
mod child;
mod event_loop;
mod ground;
mod guest;
mod late;
mod machine;
mod measure;
mod plot;
mod row;
mod spinners;
mod suites;
mod wasi;

use clap::{Parser, ValueEnum};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Compares hart with its peers. Use a release build.
#[derive(Parser)]
#[command(name = "hart-bench")]
struct Arguments {
    /// What to measure.
    #[arg(required_unless_present = "child")]
    suites: Vec<Suite>,
    /// Fewer rounds and smaller sizes: ends within 40 s, and says less.
    #[arg(long)]
    quick: bool,
    /// Only cases whose name contains this, or one of several with commas between.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Writes the rows to this file, as one JSON array.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draws what the suites `latency` or `serve` found beside those who spin, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// The peer of the suites `serve` and `startup`: wasmtime 48 [default: that in PATH].
    #[arg(long, value_name = "PATH")]
    wasmtime: Option<PathBuf>,
    /// For the suite `startup`: a command, such as one in Python or JavaScript, whose first line is waited for.
    #[arg(long, value_name = "FILE")]
    guest: Vec<PathBuf>,
    /// A part of a suite that needs a process of its own.
    #[arg(long, hide = true)]
    child: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Guests of WASI 0.3, which hold many tasks: against tokio, one worker, and guests that hold one.
    Async,
    /// Calls of instances that live, against a task of tokio's that owns the store.
    Calls,
    /// What parked guests take, against wasmtime's pool as it comes.
    Density,
    /// The executor's fast and fair lanes, against tokio and async-executor.
    Executor,
    /// What guests that compete get, against tokio and threads.
    Fairness,
    /// From when a guest is cancelled to when it is gone, against tokio and threads.
    Kill,
    /// How late guests respond beside guests that spin, against tokio and threads.
    Latency,
    /// What a group gets whose CPU rate is limited, against the limit.
    Limits,
    /// What metrics, traces, the flight recorder and `hart top` cost, against the same without them.
    Observe,
    /// What preemption costs a guest that is alone, against bare wasmtime.
    Overhead,
    /// The examples on two workers, against one.
    Parallel,
    /// `hart serve`, against `wasmtime serve`.
    Serve,
    /// How fast the simulated machine steps, and whether its speed-ups come true.
    Sim,
    /// How many tasks a second can be started, run and dropped, against tokio and a bare loop.
    Spawn,
    /// How long a small program takes, from start to end, against wasmtime.
    Startup,
    /// A million timers, against tokio's.
    Timers,
    /// Jobs of a NATS stream, against a consumer of async-nats.
    Work,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(part) = &arguments.child {
        part_of_a_suite(part);
        return ExitCode::SUCCESS;
    }
    if cfg!(debug_assertions) {
        eprintln!("hart-bench: this is a development build; figures need `cargo run --release`");
    }
    let mut bench = measure::Bench::new(arguments.quick, arguments.only);
    for suite in arguments.suites {
        match suite {
            Suite::Async => suites::concurrent::run(&mut bench),
            Suite::Calls => suites::calls::run(&mut bench),
            Suite::Density => suites::density::run(&mut bench),
            Suite::Executor => suites::executor::run(&mut bench),
            Suite::Fairness => suites::fairness::run(&mut bench),
            Suite::Kill => suites::kill::run(&mut bench),
            Suite::Latency => suites::latency::run(&mut bench),
            Suite::Limits => suites::limits::run(&mut bench),
            Suite::Observe => suites::serve::observe::run(&mut bench),
            Suite::Overhead => suites::overhead::run(&mut bench),
            Suite::Parallel => suites::parallel::run(&mut bench),
            Suite::Serve => suites::serve::run(&mut bench, arguments.wasmtime.clone()),
            Suite::Sim => suites::sim::run(&mut bench),
            Suite::Spawn => suites::spawn::run(&mut bench),
            Suite::Startup => {
                suites::startup::run(&mut bench, arguments.wasmtime.as_deref(), &arguments.guest);
            }
            Suite::Timers => suites::timers::run(&mut bench),
            Suite::Work => suites::work::run(&mut bench),
        }
    }
    let rows = bench.finish();
    if let Some(file) = arguments.json {
        let json = serde_json::to_string_pretty(&rows).expect("rows are plain data");
        if let Err(exit) = write(&file, json + "\n") {
            return exit;
        }
    }
    if let Some(file) = arguments.plot
        && let Err(exit) = write(&file, plot::draw(&rows))
    {
        return exit;
    }
    ExitCode::SUCCESS
}

/// Does the part that [`child::command`] named.
fn part_of_a_suite(what: &str) {
    let (part, argument) = what.split_once(':').expect("`command` wrote it");
    match part {
        "startup" => suites::startup::peer(argument),
        "async" => suites::concurrent::memory::child(argument),
        "density" => suites::density::child(argument),
        "work" => suites::work::kills::child(argument),
        part => unreachable!("there is no part {part}"),
    }
}

fn write(file: &Path, text: String) -> Result<(), ExitCode> {
    std::fs::write(file, text).map_err(|error| {
        eprintln!("hart-bench: cannot write {}: {error}", file.display());
        ExitCode::from(2)
    })
}
