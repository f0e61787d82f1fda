//! From when a guest that spins is cancelled to when it has stopped, and to when its instance is gone.

use crate::{
    ground::{Ground, Kind, WEIGHT},
    guest::{Call, Crowd, Pace, State},
    measure::Bench,
    row::{Figure, Row, median, quantile},
    spinners::{PIECE, Spinners},
};
use std::{sync::Arc, thread, time::Duration};

const SUITE: &str = "kill";

const PEERS: [Kind; 2] = [Kind::TokioMillisecond, Kind::Threads];

pub(crate) fn run(bench: &mut Bench) {
    for spinners in [0, 2, 128] {
        let case = format!("latency/{spinners}");
        if !bench.wants(SUITE, &case) {
            continue;
        }
        let pace = bench.pace();
        let rounds = if bench.is_quick() { 1 } else { 5 };
        let kills = if bench.is_quick() { 30 } else { 200 };
        for peer in PEERS {
            let (outcomes, repeated) = bench.repeat(rounds, |_| {
                [Kind::Hart, peer].map(|kind| kill(kind, spinners, kills, pace))
            });
            let column = |side: usize, figure: fn(&Outcome) -> f64| -> Vec<f64> {
                outcomes.iter().map(|round| figure(&round[side])).collect()
            };
            let p99 = |side| column(side, |outcome| quantile(&outcome.stopped, 0.99));
            let figure = |name, of: fn(&Outcome) -> f64| Figure {
                name,
                unit: "ms",
                hart: median(&column(0, of)),
                peer: Some(median(&column(1, of))),
            };
            let ratios: Vec<f64> = p99(0)
                .iter()
                .zip(p99(1))
                .map(|(hart, peer)| peer / hart)
                .collect();
            bench.record(Row {
                suite: SUITE,
                case: case.clone(),
                unit: "ms",
                hart: median(&p99(0)),
                peer: median(&p99(1)),
                peer_name: peer.name(),
                ratio: median(&ratios),
                rounds,
                repeated,
                figures: vec![
                    figure("median", |outcome| quantile(&outcome.stopped, 0.5)),
                    figure("gone, median", |outcome| quantile(&outcome.gone, 0.5)),
                    figure("gone, p99", |outcome| quantile(&outcome.gone, 0.99)),
                ],
            });
        }
    }
}

/// Milliseconds.
#[derive(Default)]
struct Outcome {
    stopped: Vec<f64>,
    gone: Vec<f64>,
}

fn kill(kind: Kind, spinners: usize, kills: u64, pace: Pace) -> Outcome {
    let ground = kind.start();
    let spun = Spinners::start(&*ground, spinners, pace);
    spun.wait();
    let mut outcome = Outcome::default();
    for turn in 0..kills {
        kill_one(&*ground, turn, pace, &mut outcome);
    }
    spun.stop();
    outcome
}

fn kill_one(ground: &dyn Ground, turn: u64, pace: Pace, outcome: &mut Outcome) {
    let crowd = Arc::new(Crowd::default());
    let state = State::new(&crowd);
    let tally = state.tally.clone();
    let iterations = pace.iterations(PIECE);
    let guest = ground.start(&ground.group(WEIGHT), Call::Spin { iterations }, state);
    tally.wait_for(1);
    // Anywhere in a slice.
    thread::sleep(Duration::from_micros(turn * 37 % 1_000));
    let ending = guest.cancel();
    crowd.wait();
    outcome.stopped.push(ending.stopped().as_secs_f64() * 1e3);
    outcome.gone.push(ending.gone().as_secs_f64() * 1e3);
}
