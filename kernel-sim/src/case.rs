//! One run, described by what a command line can say: so that every failure can be replayed, and shrunk.

use crate::{
    config::{Config, IN_DOMAIN},
    faults::Faults,
    random::stream,
    run::{Outcome, run},
    schedule::Schedule,
    workload::Workload,
};
use std::fmt;

/// Far more than any workload here needs.
const MAX_STEPS: u64 = 500_000;

/// A machine, a workload and a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Case {
    /// The seed of everything that is drawn while it runs.
    pub seed: u64,
    /// How many harts.
    pub harts: usize,
    /// How many of them share a cache.
    pub in_domain: usize,
    /// Which of them goes on next.
    pub schedule: Schedule,
    /// What goes wrong.
    pub faults: Faults,
    /// What is to be done.
    pub workload: Workload,
}

/// What is fixed of cases that are drawn from seeds; the rest follows from the seed.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Template {
    /// How many harts; drawn from 1 to 8 if not given.
    pub harts: Option<usize>,
    /// How many of them share a cache; [`IN_DOMAIN`](crate::IN_DOMAIN) if not given.
    pub in_domain: Option<usize>,
    /// Drawn if not given.
    pub schedule: Option<Schedule>,
    /// None if not given.
    pub faults: Faults,
    /// Drawn if not given.
    pub workload: Option<Workload>,
}

impl Template {
    /// The case of a seed.
    pub fn case(&self, seed: u64) -> Case {
        let mut rng = stream(seed, 4);
        let harts = rng.usize(1..=8);
        let schedule = match rng.u32(..6) {
            0 => Schedule::Time,
            1 => Schedule::RoundRobin,
            2 => Schedule::Pct(rng.u32(1..5)),
            _ => Schedule::Random,
        };
        Case {
            seed,
            harts: self.harts.unwrap_or(harts),
            in_domain: self.in_domain.unwrap_or(IN_DOMAIN),
            schedule: self.schedule.unwrap_or(schedule),
            faults: self.faults,
            workload: self
                .workload
                .clone()
                .unwrap_or_else(|| Workload::draw(seed)),
        }
    }
}

impl Case {
    /// The machine of it.
    pub fn config(&self) -> Config {
        Config {
            harts: self.harts,
            in_domain: self.in_domain,
            schedule: self.schedule,
            faults: self.faults,
            // The workloads here hold no lock where they wake or spawn.
            pause_in_wakes: true,
            max_steps: MAX_STEPS,
            ..Config::new(self.seed)
        }
    }

    /// Runs it.
    pub fn run(&self) -> Outcome {
        self.run_with(&self.config())
    }

    /// Runs it on a machine that differs in what is kept.
    pub fn run_with(&self, config: &Config) -> Outcome {
        run(config, |sim| self.workload.start(sim))
    }

    /// The command that runs it again.
    pub fn command(&self) -> String {
        format!("cargo run -p hart-sim -- {self}")
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} --workload {}",
            self.config().options(),
            self.workload
        )
    }
}
