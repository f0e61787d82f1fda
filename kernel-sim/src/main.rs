//! Explores executor workloads on the simulated machine, and replays what failed.

mod calibrate;

use clap::{Parser, Subcommand};
use hart_sim::{Case, Faults, Schedule, Template, Workload, shrink};
use std::{
    ops::Range,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Runs executor workloads on a simulated machine, under seeds; stops at the first failure.
///
/// What is not given is drawn from the seed, except for faults.
#[derive(Parser)]
#[command(name = "hart-sim", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The seed to run.
    #[arg(long, default_value_t = 0, conflicts_with = "seeds")]
    seed: u64,
    /// Seeds to run: `A..B`.
    #[arg(long, value_parser = seeds, value_name = "A..B")]
    seeds: Option<Range<u64>>,
    /// Goes on with further seeds for so many seconds.
    #[arg(long, value_name = "SECONDS", conflicts_with = "seeds")]
    seconds: Option<u64>,
    /// Virtual harts, 1 to 1024.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    harts: Option<u16>,
    /// How many of them share a cache, and so have a fair lane of their own.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    domain: Option<u16>,
    /// Which hart goes on next: random, pct[:BOUND], round-robin or time.
    #[arg(long)]
    schedule: Option<Schedule>,
    /// What goes wrong: none, light, heavy, or names such as `stall,late`.
    #[arg(long, default_value = "none")]
    faults: Faults,
    /// What is to be done: shapes with sizes, such as `tree:40,cancel:8`.
    #[arg(long)]
    workload: Option<Workload>,
    /// Runs that may be spent on making a failing case smaller.
    #[arg(long, default_value_t = 300, value_name = "RUNS")]
    shrink: usize,
    /// Prints what every hart did.
    #[arg(long)]
    stats: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Measure on this computer what the cost model guesses, with a real guest that computes.
    Calibrate {
        /// The guest, a command, such as target/guests/compute.wasm.
        guest: PathBuf,
        /// Its arguments, such as `sort`.
        args: Vec<String>,
    },
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is no range of seeds: write it as 0..100");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?;
    if range.is_empty() {
        return Err(format!(
            "`{text}` has no seed in it: the first comes before the last"
        ));
    }
    Ok(range)
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Calibrate { guest, args }) = &args.command {
        return match calibrate::calibrate(guest, args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("hart-sim: {}: {error}", guest.display());
                ExitCode::from(2)
            }
        };
    }
    let mut template = Template::default();
    template.harts = args.harts.map(usize::from);
    template.in_domain = args.domain.map(usize::from);
    template.schedule = args.schedule;
    template.faults = args.faults;
    template.workload = args.workload.clone();
    let end = args
        .seconds
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seeds = match (&args.seeds, end) {
        (Some(seeds), _) => seeds.clone(),
        (None, Some(_)) => args.seed..u64::MAX,
        (None, None) => args.seed..args.seed.saturating_add(1),
    };
    let began = Instant::now();
    let (mut runs, mut steps) = (0_u64, 0);
    for seed in seeds {
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        let case = template.case(seed);
        let outcome = case.run();
        runs += 1;
        steps += outcome.stats.steps;
        if args.stats {
            println!("{case}\n{}", outcome.stats);
        }
        if let Some(failure) = &outcome.failure {
            report(&case, failure, args.shrink);
            return ExitCode::from(3);
        }
    }
    println!(
        "{runs} seeds, {steps} steps, {:.1} s: no oracle failed",
        began.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}

fn report(case: &Case, failure: &hart_sim::Failure, tries: usize) {
    eprintln!("seed {}: {failure}  replay: {}", case.seed, case.command());
    let (smaller, failure) = shrink(case, failure, tries);
    if smaller != *case {
        eprintln!("\na smaller case: {failure}  replay: {}", smaller.command());
    }
}
