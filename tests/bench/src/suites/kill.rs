//! From when a guest that spins is cancelled to when it has stopped, and to when its instance is gone.

use crate::{
    ground::{Ground, Kind, WEIGHT, WORKERS},
    guest::{Call, Crowd, Pace, State},
    measure::Bench,
    row::{Figure, Row, median, quantile},
    spinners::{PIECE, Spinners},
};
use hart_host::{Cache, Host, Preemption, RunError, wasmtime::component::Val};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const SUITE: &str = "kill";

const PEERS: [Kind; 2] = [Kind::TokioMillisecond, Kind::Threads];

/// A guest that is never at a preemption point for long: one instruction fills all of its memory.
const FILLS: &str = r#"(component
    (core module $m
        (memory 1)
        (func (export "fill") (param $pages i32)
            (drop (memory.grow (local.get $pages)))
            (loop $again
                (memory.fill (i32.const 0) (i32.const 7) (i32.mul (memory.size) (i32.const 65536)))
                (br $again))))
    (core instance $i (instantiate $m))
    (func (export "fill") (param "pages" u32) (canon lift (core func $i "fill"))))"#;

pub(crate) fn run(bench: &mut Bench) {
    latency(bench);
    fill(bench);
}

fn latency(bench: &mut Bench) {
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

/// What bounds a kill where nothing can be interrupted: the longest `memory.fill` that the default limit of
/// memory allows, and a tenth of it. The peer is a slice.
fn fill(bench: &mut Bench) {
    for (case, mebibytes) in [("fill/64MiB", 64), ("fill/700MiB", 700)] {
        if !bench.wants(SUITE, case) {
            continue;
        }
        let kills = if bench.is_quick() { 3 } else { 15 };
        let host = Host::builder()
            .workers(WORKERS)
            .cache(Cache::Off)
            .build()
            .expect("the defaults fit this machine");
        let fills = host.load(FILLS.as_bytes()).expect("it is valid");
        let (stopped, repeated) = bench.repeat(kills, |turn| {
            let pages = Val::U32(mebibytes * 16);
            let run = host
                .call(&fills, "fill", vec![pages])
                .start()
                .expect("it starts");
            // Its pages are there by then, and it is anywhere in a fill.
            thread::sleep(Duration::from_millis(700 + 13 * turn as u64));
            let cancelled = Instant::now();
            run.cancel();
            let ended = run.wait();
            assert!(matches!(ended, Err(RunError::Cancelled)), "{ended:?}");
            cancelled.elapsed().as_secs_f64() * 1e3
        });
        let slice = Preemption::DEFAULT_SLICE.as_secs_f64() * 1e3;
        bench.record(Row {
            suite: SUITE,
            case: case.to_owned(),
            unit: "ms",
            hart: median(&stopped),
            peer: slice,
            peer_name: "a slice",
            ratio: slice / median(&stopped),
            rounds: kills,
            repeated,
            figures: vec![Figure {
                name: "worst",
                unit: "ms",
                hart: quantile(&stopped, 1.0),
                peer: None,
            }],
        });
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
