//! What a group gets that may use half a core.
//!
//! A rate is compared with what it should be, so the peer of these rows is the limit itself, and a ratio of 1
//! is exact.

use crate::{
    ground::{Kind, WEIGHT},
    measure::Bench,
    row::{Figure, Row, median},
    spinners::{PIECE, Spinners},
};
use std::{
    thread,
    time::{Duration, Instant},
};

const SUITE: &str = "limits";

/// Thousandths of a core.
const RATE: u32 = 500;

pub(crate) fn run(bench: &mut Bench) {
    for (others, case) in [
        (0, "rate/alone"),
        (1, "rate/beside_1"),
        (8, "rate/beside_8"),
    ] {
        if bench.wants(SUITE, case) {
            rate(bench, case, others);
        }
    }
}

fn rate(bench: &mut Bench, case: &str, others: usize) {
    let pace = bench.pace();
    let time = Duration::from_secs(if bench.is_quick() { 2 } else { 10 });
    let rounds = if bench.is_quick() { 1 } else { 3 };
    let (outcomes, repeated) = bench.repeat(rounds, |_| {
        let ground = Kind::Hart.start();
        let spinners = Spinners::start(&*ground, others, pace);
        spinners.wait();
        // Its fair share is above the limit, whatever else runs.
        let group = ground.group(10 * WEIGHT);
        let hart = group.hart.as_ref().expect("the ground is hart's");
        hart.executor_group().set_cpu_rate(Some(RATE));
        // As many as there are workers: the limit is the group's, not a guest's.
        let limited = Spinners::of(&*ground, &group, crate::ground::WORKERS, pace);
        limited.wait();
        let before = (Instant::now(), hart.stats().cpu_time, limited.pieces());
        thread::sleep(time);
        let elapsed = before.0.elapsed().as_secs_f64();
        let cpu = (hart.stats().cpu_time - before.1).as_secs_f64() / elapsed;
        let work = (limited.pieces() - before.2) as f64 * PIECE.as_secs_f64() / elapsed;
        limited.stop();
        spinners.stop();
        [cpu, work]
    });
    let column = |at: usize| -> Vec<f64> { outcomes.iter().map(|outcome| outcome[at]).collect() };
    let cpu = median(&column(0));
    let allowed = f64::from(RATE) / 1e3;
    bench.record(Row {
        suite: SUITE,
        case: case.to_owned(),
        unit: "cores",
        hart: cpu,
        peer: allowed,
        peer_name: "the limit",
        ratio: cpu / allowed,
        rounds,
        repeated,
        figures: vec![Figure {
            name: "the same, by the work that was done",
            unit: "cores",
            hart: median(&column(1)),
            peer: None,
        }],
    });
}
