//! Machines of many harts whose lanes are busy: what they get done, for whom, and how long others wait.

use crate::{
    config::Config,
    run::run,
    schedule::Schedule,
    sim::{Sim, SimGroup},
    stats::HartStats,
};
use hart_executor::{Verdict, yield_now};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// A slice, in nanoseconds.
const SLICE: u64 = 1_000_000;

/// Tasks of a group, where it does not matter how many they are.
const TASKS: usize = 8;

/// A machine with lanes, and nothing that goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Many {
    /// How many harts, up to [`MAX_HARTS`](crate::MAX_HARTS).
    pub harts: usize,
    /// How many of them share a cache, and so a lane.
    pub in_domain: usize,
    /// All of them share a lane.
    pub one_lane: bool,
}

/// What many groups got, and for how long tasks waited that woke.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Got {
    /// Weights, and the virtual nanoseconds that the groups had.
    pub shares: Vec<(u32, u64)>,
    /// Virtual nanoseconds from a wake to the poll, in order.
    pub waits: Vec<u64>,
}

impl Got {
    /// By how much the share of some group differs from what its weight says, at most: a fraction of that.
    #[expect(clippy::cast_precision_loss, reason = "ratios")]
    pub fn unfairness(&self) -> f64 {
        let (weights, had) = (self.shares.iter()).fold((0, 0), |(weights, had), share| {
            (weights + u64::from(share.0), had + share.1)
        });
        let part = |&(weight, got): &(u32, u64)| {
            let due = had as f64 * f64::from(weight) / weights as f64;
            (got as f64 / due - 1.0).abs()
        };
        self.shares.iter().map(part).fold(0.0, f64::max)
    }

    /// What this part of those that woke waited for, or less: virtual nanoseconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a place in a list"
    )]
    pub fn waited(&self, part: f64) -> u64 {
        let place = (self.waits.len() as f64 * part) as usize;
        let last = self.waits.len().saturating_sub(1);
        self.waits.get(place.min(last)).copied().unwrap_or(0)
    }
}

impl Many {
    fn run(self, start: impl FnOnce(&Sim, Arc<AtomicBool>)) -> HartStats {
        let mut config = Config::new(1);
        config.harts = self.harts;
        config.in_domain = self.in_domain;
        config.one_lane = self.one_lane;
        config.schedule = Schedule::Time;
        config.max_steps = u64::MAX;
        let stop = Arc::new(AtomicBool::new(false));
        let outcome = run(&config, |sim| start(sim, stop));
        if let Some(failure) = outcome.failure {
            panic!("{failure}");
        }
        outcome.stats.total()
    }

    /// Groups of a task that computes all the time, so many for each hart: which part of their turns begin on another hart
    /// than the last one ended on.
    ///
    /// # Panics
    ///
    /// If a promise of the executor is broken.
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    pub fn moved(self, for_each: usize, window: u64) -> f64 {
        let stats = self.run(|sim, stop| {
            let groups: Vec<_> = (0..self.harts * for_each)
                .map(|_| sim.group("", 100))
                .collect();
            for group in &groups {
                spin(sim, group, &stop);
            }
            between(sim, (0, window), groups, stop, drop);
        });
        stats.moved as f64 / stats.polls as f64
    }

    /// Tasks of many groups, two for each hart, whose polls take `poll` nanoseconds each: the part of the harts' time that
    /// the tasks have, over `window` nanoseconds.
    ///
    /// # Panics
    ///
    /// If a promise of the executor is broken.
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    pub fn utilization(self, poll: u64, window: u64) -> f64 {
        let had = Arc::new(Mutex::new(0));
        let to = had.clone();
        let _ = self.run(|sim, stop| {
            let groups: Vec<_> = (0..(self.harts * 2).div_ceil(TASKS))
                .map(|_| sim.group("", 100))
                .collect();
            for task in 0..self.harts * 2 {
                let group = &groups[task / TASKS];
                let (this, stop) = (sim.clone(), stop.clone());
                let future = async move {
                    while !stop.load(Relaxed) {
                        this.spend(poll);
                        yield_now().await;
                    }
                };
                drop(sim.task("poller").group(group).spawn(future));
            }
            // By then all harts are awake, and the tasks where they belong.
            between(sim, (4 * SLICE, window), groups, stop, move |had| {
                *to.lock().unwrap_or_else(PoisonError::into_inner) = had.iter().sum::<u64>();
            });
        });
        let had = *had.lock().unwrap_or_else(PoisonError::into_inner);
        had as f64 / (window as f64 * self.harts as f64)
    }

    /// Groups of four weights with 16 tasks each that compute all the time, four for each hart; and some that work for a
    /// tenth of a slice whenever they wake, if there are to be any.
    ///
    /// # Panics
    ///
    /// If a promise of the executor is broken.
    pub fn share(self, window: u64, sleepers: usize) -> Got {
        let got = Arc::new(Mutex::new(Got::default()));
        let (shares, waits) = (got.clone(), got.clone());
        let _ = self.run(|sim, stop| {
            let weights = (0..self.harts / 4).map(|group| 100 * (group as u32 % 4 + 1));
            let weights: Vec<u32> = weights.collect();
            let groups: Vec<_> = weights
                .iter()
                .map(|&weight| sim.group("", weight))
                .collect();
            for group in &groups {
                for _ in 0..16 {
                    spin(sim, group, &stop);
                }
            }
            for sleeper in 0..sleepers {
                sleep(sim, sleeper as u64, &stop, &waits);
            }
            between(sim, (50 * SLICE, window), groups, stop, move |had| {
                let mut got = shares.lock().unwrap_or_else(PoisonError::into_inner);
                got.shares = weights.into_iter().zip(had).collect();
            });
        });
        let mut got = got.lock().unwrap_or_else(PoisonError::into_inner).clone();
        got.waits.sort_unstable();
        got
    }
}

/// A task that computes all the time.
fn spin(sim: &Sim, group: &SimGroup, stop: &Arc<AtomicBool>) {
    let (this, its, stop) = (sim.clone(), group.clone(), stop.clone());
    let future = async move {
        while !stop.load(Relaxed) {
            this.spend(SLICE);
            if this.preemption_point(&its) == Verdict::Yield {
                yield_now().await;
            }
        }
    };
    drop(sim.task("spinner").group(group).spawn(future));
}

/// A group of its own, with a task that sleeps, and works a bit.
fn sleep(sim: &Sim, at: u64, stop: &Arc<AtomicBool>, got: &Arc<Mutex<Got>>) {
    let group = sim.group("", 100);
    let (this, stop, got) = (sim.clone(), stop.clone(), got.clone());
    let mut random = sim.random(1_000 + at);
    let future = async move {
        while !stop.load(Relaxed) {
            let wakes = this.now() + random.u64(10 * SLICE..30 * SLICE);
            this.sleep(wakes - this.now()).await;
            let waited = this.now() - wakes;
            let mut got = got.lock().unwrap_or_else(PoisonError::into_inner);
            got.waits.push(waited);
            drop(got);
            this.spend(SLICE / 10);
        }
    };
    drop(sim.task("sleeper").group(&group).spawn(future));
}

/// What the groups spend in a window that begins at a time; then all stop.
fn between(
    sim: &Sim,
    (from, window): (u64, u64),
    groups: Vec<SimGroup>,
    stop: Arc<AtomicBool>,
    to: impl FnOnce(Vec<u64>) + Send + 'static,
) {
    let this = sim.clone();
    sim.outside(from, move || {
        let spent = |sim: &Sim, groups: &[SimGroup]| -> Vec<u64> {
            groups.iter().map(|group| sim.spent(group)).collect()
        };
        let before = spent(&this, &groups);
        let that = this.clone();
        this.outside(window, move || {
            let after = spent(&that, &groups);
            stop.store(true, Relaxed);
            let had = after
                .iter()
                .zip(before)
                .map(|(after, before)| after - before);
            to(had.collect());
        });
    });
}
