//! What a task costs in CPU time and in allocations, on one worker.
//!
//! Instructions would be better to count. The machines at hand count none, and valgrind does not run the pool.

use super::grounds::{Call, Ground, Group, Runs, Tokio};
use crate::{
    allocations,
    measure::{Bench, used},
    row::{Figure, Row, median},
};
use hart_build::Stack;

pub(super) fn run(bench: &mut Bench, suite: &'static str) {
    let cases = [("cost/noop", 0), ("cost/noop/runs", 1)];
    if !cases.iter().any(|(case, _)| bench.wants(suite, case)) {
        return;
    }
    let guest = std::fs::read(hart_build::bench_guest("spawned", Stack::Small));
    let guest = guest.expect("it was just built");
    let grounds: [Box<dyn Ground>; 3] = [
        Box::new(Group::start(1, &guest, Call::Noop)),
        Box::new(Runs::start(1, &guest, Call::Noop)),
        Box::new(Tokio::with_harts_engine(1, &guest, Call::Noop)),
    ];
    let tasks = if bench.is_quick() { 4_000 } else { 20_000 };
    for ground in &grounds {
        // Pools are warm afterwards.
        ground.run(tasks);
    }
    let rounds = if bench.is_quick() { 5 } else { 11 };
    let (costs, repeated) = bench.repeat(rounds, |_| {
        grounds.each_ref().map(|ground| {
            let before = used();
            let (_, allocations) = allocations::counted(|| ground.run(tasks));
            let time = (used() - before).as_secs_f64() * 1e6;
            (time / tasks as f64, allocations as f64 / tasks as f64)
        })
    });
    for (case, side) in cases {
        if !bench.wants(suite, case) {
            continue;
        }
        let times = |side: usize| -> Vec<f64> { costs.iter().map(|cost| cost[side].0).collect() };
        let allocations = |side: usize| costs[0][side].1;
        let ratios: Vec<f64> = costs.iter().map(|cost| cost[2].0 / cost[side].0).collect();
        bench.record(Row {
            suite,
            case: case.into(),
            unit: "us",
            hart: median(&times(side)),
            peer: median(&times(2)),
            peer_name: "same engine",
            ratio: median(&ratios),
            rounds,
            repeated,
            figures: vec![Figure {
                name: "allocations",
                unit: "",
                hart: allocations(side),
                peer: Some(allocations(2)),
            }],
        });
    }
}
