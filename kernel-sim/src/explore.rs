//! Explores several machines under seeds, and replays what failed.

use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use hart_sim::Faults;
use hart_sim::machines::{Fault, Template};

use crate::range::{self, seeds};

/// What `hart-sim machines` is asked for. What is not given is drawn from the seed, except for faults.
#[derive(Args)]
pub(crate) struct Machines {
    /// The seed to run.
    #[arg(long, default_value_t = 0, conflicts_with = "seeds")]
    seed: u64,
    /// Seeds to run: `A..B`.
    #[arg(long, value_parser = seeds, value_name = "A..B")]
    seeds: Option<Range<u64>>,
    /// Goes on with further seeds for so many seconds.
    #[arg(long, value_name = "SECONDS", conflicts_with = "seeds")]
    seconds: Option<u64>,
    /// Machines, 1 to 64.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64))]
    machines: Option<u8>,
    /// Jobs that each of them has at once, 1 to 64.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64))]
    slots: Option<u8>,
    /// Jobs that are submitted, 1 to 10000.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    jobs: Option<u32>,
    /// What goes wrong: none, light, heavy, or names such as `loss,crash`.
    #[arg(long, default_value = "none")]
    faults: Faults<Fault>,
    /// Runs that may be spent on making a failing case smaller.
    #[arg(long, default_value_t = 300, value_name = "RUNS")]
    shrink: usize,
    /// Prints all that happens.
    #[arg(long)]
    log: bool,
}

impl Machines {
    /// Runs the seeds, until one fails.
    pub(crate) fn explore(&self) -> ExitCode {
        let template = Template {
            machines: self.machines.map(usize::from),
            slots: self.slots.map(usize::from),
            jobs: self.jobs,
            faults: self.faults,
        };
        let began = Instant::now();
        let (mut cases, mut events, mut runs) = (0_u64, 0, 0);
        for seed in range::of(self.seeds.clone(), self.seed, self.seconds) {
            let case = template.case(seed);
            let outcome = match self.log {
                true => case.run_with_log(),
                false => case.run(),
            };
            for record in &outcome.log {
                println!("{record}");
            }
            cases += 1;
            events += outcome.stats.events;
            runs += outcome.stats.runs;
            if let Some(failure) = &outcome.failure {
                eprintln!("seed {seed}: {failure}  replay: {}", case.command());
                let (smaller, failure) = case.shrink(failure, self.shrink);
                if smaller != case {
                    eprintln!("\na smaller case: {failure}  replay: {}", smaller.command());
                }
                return ExitCode::from(3);
            }
        }
        println!(
            "{cases} seeds, {events} events, {runs} runs of jobs, {:.1} s: no oracle failed",
            began.elapsed().as_secs_f64()
        );
        ExitCode::SUCCESS
    }
}
