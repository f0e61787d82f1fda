//! One run of several machines, described by what a command line can say: so that it can be replayed, and made smaller.

use std::fmt;

use super::fault::Fault;
use super::log::Record;
use super::plan::{Plan, Terms};
use super::planted::Planted;
use super::promises::Failure;
use super::run::{self, Setup};
use crate::faults::Faults;
use crate::random::stream;
use crate::shrink::smallest;

/// Machines, jobs and a seed.
///
/// # Examples
///
/// ```
/// use hart_sim::machines::Template;
/// use hart_sim::Faults;
///
/// let template = Template { faults: Faults::heavy(), ..Template::default() };
/// let case = template.case(7);
/// let outcome = case.run();
/// assert!(outcome.failure.is_none());
/// assert_eq!(case.run().stats, outcome.stats);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Case {
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// How many machines, each with one worker.
    pub machines: usize,
    /// How many jobs a worker has at once.
    pub slots: usize,
    /// How many jobs are submitted.
    pub jobs: u32,
    /// What goes wrong.
    pub faults: Faults<Fault>,
}

/// What is fixed of cases that are drawn from seeds; the rest follows from the seed.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// How many machines; drawn from 1 to 5 if not given.
    pub machines: Option<usize>,
    /// How many jobs a worker has at once; drawn from 1 to 4 if not given.
    pub slots: Option<usize>,
    /// How many jobs; drawn from 1 to 24 if not given.
    pub jobs: Option<u32>,
    /// None if not given.
    pub faults: Faults<Fault>,
}

/// How a case went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The first promise that was broken.
    pub failure: Option<Failure>,
    /// What was counted.
    pub stats: Stats,
    /// All that happened, if it was to be kept.
    pub log: Vec<Record>,
}

/// What was counted in a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events: messages that arrived, timers, faults.
    pub events: u64,
    /// Virtual nanoseconds.
    pub time: u64,
    /// Runs that began.
    pub runs: u64,
    /// Jobs that ended well, or with an error of their own.
    pub done: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that were cancelled.
    pub cancelled: u64,
    /// The hash of all that happened.
    pub hash: u64,
}

impl Template {
    /// The case of a seed.
    pub fn case(&self, seed: u64) -> Case {
        let mut rng = stream(seed, 23);
        let (machines, slots, jobs) = (rng.usize(1..=5), rng.usize(1..=4), rng.u32(1..=24));
        Case {
            seed,
            machines: self.machines.unwrap_or(machines),
            slots: self.slots.unwrap_or(slots),
            jobs: self.jobs.unwrap_or(jobs),
            faults: self.faults,
        }
    }
}

impl Case {
    /// Runs it.
    pub fn run(&self) -> Outcome {
        self.run_as(None, false)
    }

    /// Runs it, and keeps all that happens.
    pub fn run_with_log(&self) -> Outcome {
        self.run_as(None, true)
    }

    /// Runs it with a mistake in its workers.
    pub fn run_planted(&self, planted: Planted) -> Outcome {
        self.run_as(Some(planted), false)
    }

    fn run_as(&self, planted: Option<Planted>, keeps_log: bool) -> Outcome {
        let terms = Terms::draw(self.seed);
        let plans = (0..self.jobs).map(|job| Plan::draw(self.seed, job, &terms));
        let plans: Vec<Plan> = plans.collect();
        let ran = run::run(&Setup {
            seed: self.seed,
            machines: self.machines,
            slots: self.slots,
            faults: self.faults,
            terms,
            plans,
            planted,
            keeps_log,
        });
        Outcome {
            failure: ran.failure,
            stats: Stats {
                events: ran.events,
                time: ran.time,
                runs: ran.runs,
                done: ran.done,
                failed: ran.failed,
                cancelled: ran.cancelled,
                hash: ran.hash,
            },
            log: ran.log,
        }
    }

    /// A smaller case that breaks the same promise, and how; `tries` runs at most. Fewer faults, fewer machines, fewer jobs,
    /// fewer slots.
    pub fn shrink(&self, failure: &Failure, tries: usize) -> (Self, Failure) {
        let fails = |smaller: &Self| {
            let found = smaller.run().failure;
            found.filter(|found| found.oracle == failure.oracle)
        };
        let first = (self.clone(), failure.clone());
        smallest(first, tries, Self::smaller, fails)
    }

    fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for kind in self.faults.kinds() {
            all.push(Self {
                faults: self.faults.without(kind),
                ..self.clone()
            });
        }
        for machines in [1, self.machines / 2, self.machines - 1] {
            all.push(Self {
                machines,
                ..self.clone()
            });
        }
        for jobs in [1, self.jobs / 2, self.jobs - 1] {
            all.push(Self {
                jobs,
                ..self.clone()
            });
        }
        all.push(Self {
            slots: 1,
            ..self.clone()
        });
        let size = |case: &Self| (case.machines, case.jobs, case.slots);
        all.retain(|case| {
            let is_one = case.machines > 0 && case.jobs > 0;
            is_one && (size(case) != size(self) || case.faults != self.faults)
        });
        all
    }

    /// The command that runs it again.
    pub fn command(&self) -> String {
        format!("cargo run -p hart-sim -- machines {self}")
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "--seed {} --machines {} --slots {} --jobs {} --faults {}",
            self.seed, self.machines, self.slots, self.jobs, self.faults
        )
    }
}
