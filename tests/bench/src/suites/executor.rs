//! The executor against tokio's multi-thread scheduler and async-executor: the same cases, on two workers
//! and on one. The sizes are those that these projects publish for their own benchmarks.

mod cases;
#[cfg(feature = "lane-hold")]
mod lane_hold;
mod peers;

use crate::{
    measure::{Bench, Case, Side},
    row::geometric_mean,
};
use cases::Work;
use peers::{AsyncExecutor, Hart, HartFair, Peer, Tokio};

const SUITE: &str = "executor";

pub(crate) fn run(bench: &mut Bench) {
    for workers in [2, 1] {
        let hart = Hart::start(workers);
        let tokio = Tokio::start(workers);
        let smol = AsyncExecutor::start(workers);
        for work in Work::ALL {
            let name = format!("{}/{workers}", work.name());
            // A case of a few hundred microseconds is repeated, so that one interrupt is not a result.
            let mut run_hart = || work.run(&hart);
            compare(bench, &name, "tokio", &mut run_hart, &mut || {
                work.run(&tokio)
            });
            compare(bench, &name, "async-executor", &mut run_hart, &mut || {
                work.run(&smol)
            });
        }
        let fair = HartFair::start(workers);
        for work in [Work::SpawnManyRemote, Work::YieldMany] {
            let name = format!("fair_lane/{}/{workers}", work.name());
            let mut run_hart = || work.run(&fair);
            compare(bench, &name, "tokio", &mut run_hart, &mut || {
                work.run(&tokio)
            });
        }
    }
    #[cfg(feature = "lane-hold")]
    lane_hold::run(bench, SUITE);
    summarize(bench);
}

fn compare(bench: &mut Bench, name: &str, peer_name: &'static str, hart: Side<'_>, peer: Side<'_>) {
    let case = Case {
        suite: SUITE,
        name,
        peer_name,
    };
    bench.compare(&case, hart, peer);
}

fn summarize(bench: &Bench) {
    for peer in ["tokio", "async-executor"] {
        let ratios: Vec<f64> = bench
            .rows()
            .iter()
            .filter(|row| row.suite == SUITE && row.peer_name == peer)
            .map(|row| row.ratio)
            .collect();
        if !ratios.is_empty() {
            let mean = geometric_mean(&ratios);
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            println!("against {peer}: geometric mean {mean:.2}x, least {least:.2}x");
        }
    }
}
