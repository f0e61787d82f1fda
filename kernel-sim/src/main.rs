//! Explores executor workloads on the simulated machine, and replays what failed.

mod calibrate;
mod explore;
mod range;

use clap::{Parser, Subcommand};
use hart_sim::{Case, Faults, Schedule, Template, Workload, shrink};
use std::{ops::Range, path::PathBuf, process::ExitCode, time::Instant};

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
    #[arg(long, value_parser = range::seeds, value_name = "A..B")]
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
    /// Explore machines that take jobs from one stream, over a network, under seeds; stop at the first failure.
    Machines(explore::Machines),
}

fn main() -> ExitCode {
    let args = Args::parse();
    match &args.command {
        Some(Command::Calibrate { guest, args }) => match calibrate::calibrate(guest, args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("hart-sim: {}: {error}", guest.display());
                ExitCode::from(2)
            }
        },
        Some(Command::Machines(machines)) => machines.explore(),
        None => harts(&args),
    }
}

/// Runs workloads on one machine.
fn harts(args: &Args) -> ExitCode {
    let mut template = Template::default();
    template.harts = args.harts.map(usize::from);
    template.in_domain = args.domain.map(usize::from);
    template.schedule = args.schedule;
    template.faults = args.faults;
    template.workload = args.workload.clone();
    let began = Instant::now();
    let (mut runs, mut steps) = (0_u64, 0);
    for seed in range::of(args.seeds.clone(), args.seed, args.seconds) {
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
