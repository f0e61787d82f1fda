//! What the dense profile costs in speed: the same tasks on a host of each profile, in turn.

use super::suite::{SUITE, WORKERS};
use crate::{
    measure::{Bench, Case},
    row::Row,
};
use hart_build::Stack;
use hart_host::{Cache, Component, Host, Profile, RunBuilder};
use std::{
    collections::VecDeque,
    path::Path,
    time::{Duration, Instant},
};

const PEER: &str = "profile fast";

/// Tasks at once.
const WINDOW: usize = 64;

const GUESTS: [&str; 5] = ["integers", "sort", "map", "recursion", "sieve"];

/// The same component on a host of each profile: dense, fast.
struct Sides([(Host, Component); 2]);

impl Sides {
    fn start(file: &Path) -> Self {
        Self([Profile::Dense, Profile::Fast].map(|profile| {
            let host = Host::builder()
                .workers(WORKERS)
                .profile(profile)
                .cache(Cache::Off)
                .build()
                .expect("the defaults fit this machine");
            let component = host.load_file(file).expect("the guest was just built");
            (host, component)
        }))
    }

    /// Both, each first in every second round.
    fn both(&self, round: usize, run: impl Fn(&Host, &Component) -> f64) -> [f64; 2] {
        let mut found = [f64::NAN; 2];
        for turn in [round % 2, 1 - round % 2] {
            let (host, component) = &self.0[turn];
            found[turn] = run(host, component);
        }
        found
    }
}

pub(super) fn run(bench: &mut Bench) {
    if bench.wants(SUITE, "cost/spawn") {
        spawn(bench);
    }
    let wants = |guest: &&str| bench.wants(SUITE, &format!("cost/{guest}"));
    if GUESTS.iter().any(wants) {
        let sides = Sides::start(&hart_build::guest("compute"));
        for guest in GUESTS {
            compute(bench, &sides, guest);
        }
    }
}

/// Waits for the oldest when there are enough.
fn each(tasks: usize, start: impl Fn() -> RunBuilder) -> Duration {
    let begun = Instant::now();
    let mut running = VecDeque::with_capacity(WINDOW);
    let end = |run: hart_host::Run| run.wait().expect("the guest does not fail");
    for _ in 0..tasks {
        if running.len() == WINDOW
            && let Some(oldest) = running.pop_front()
        {
            end(oldest);
        }
        running.push_back(start().start().expect("it starts"));
    }
    for run in running {
        end(run);
    }
    begun.elapsed()
}

/// Tasks that do nothing, a run of a host each.
fn spawn(bench: &mut Bench) {
    let sides = Sides::start(&hart_build::bench_guest("spawned", Stack::Small));
    let tasks = if bench.is_quick() { 4_000 } else { 20_000 };
    let rate = |host: &Host, component: &Component| {
        let time = each(tasks, || host.call(component, "noop", Vec::new()));
        tasks as f64 / time.as_secs_f64() / 1e3
    };
    // Pools are warm afterwards.
    sides.both(0, rate);
    let rounds = if bench.is_quick() { 5 } else { 11 };
    let (found, repeated) = bench.repeat(rounds, |round| sides.both(round, rate));
    let [dense, fast] =
        [0, 1].map(|side| found.iter().map(|round| round[side]).collect::<Vec<_>>());
    bench.record(Row::of_rates(
        SUITE,
        "cost/spawn",
        PEER,
        &dense,
        &fast,
        repeated,
    ));
}

/// A guest that computes, alone: the time of a run.
fn compute(bench: &mut Bench, sides: &Sides, guest: &str) {
    let time = |(host, component): &(Host, Component)| {
        each(1, || host.command(component).args(["compute", guest]))
    };
    let case = Case {
        suite: SUITE,
        name: &format!("cost/{guest}"),
        peer_name: PEER,
    };
    let Sides([dense, fast]) = sides;
    bench.compare(&case, &mut || time(dense), &mut || time(fast));
}
