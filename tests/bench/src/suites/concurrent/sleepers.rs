//! Tasks that sleep and wake.

use super::{SUITE, TASKS};
use crate::{
    event_loop::{Noted, Plan, State},
    ground::{Kind, WEIGHT},
    guest::{Crowd, Pace},
    measure::Bench,
    row::{Figure, Row, median, quantile},
    spinners::{PIECE, Spinners},
};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// For how long what has started is left alone before anything is measured.
const SETTLES: Duration = Duration::from_secs(2);

pub(super) fn run(bench: &mut Bench) {
    if bench.wants(SUITE, "sleepers") {
        throughput(bench);
    }
    for spinners in [0, 128] {
        if bench.wants(SUITE, &format!("wake/{spinners}")) {
            wake(bench, spinners);
        }
    }
}

/// The figures of every kind, each first in its turn.
fn all<T>(round: usize, mut run: impl FnMut(Kind) -> T) -> [T; Kind::ALL.len()] {
    let mut found = [const { None }; Kind::ALL.len()];
    for turn in 0..Kind::ALL.len() {
        let turn = (turn + round) % Kind::ALL.len();
        found[turn] = Some(run(Kind::ALL[turn]));
    }
    found.map(|found| found.expect("everybody had a turn"))
}

// === wakes a second ===

fn throughput(bench: &mut Bench) {
    let plan = Plan {
        tasks: TASKS,
        rounds: if bench.is_quick() { 10 } else { 50 },
        rest: Duration::from_millis(10),
        iterations: 0,
        spread: false,
    };
    let rounds = if bench.is_quick() { 3 } else { 7 };
    let (found, repeated) = bench.repeat(rounds, |round| all(round, |kind| rate(kind, plan)));
    let column = |kind: Kind| found.iter().map(|round| round[kind as usize]).collect();
    let hart: Vec<f64> = column(Kind::Hart);
    for peer in Kind::ALL.into_iter().filter(|&kind| kind != Kind::Hart) {
        let name = peer.name();
        let row = Row::of_rates(SUITE, "sleepers", name, &hart, &column(peer), repeated);
        bench.record(row);
    }
}

/// Thousands of wakes a second.
fn rate(kind: Kind, plan: Plan) -> f64 {
    let ground = kind.start();
    let (crowd, noted) = (Arc::default(), Arc::default());
    let state = State::new(&crowd, plan, &noted);
    let group = ground.group(WEIGHT);
    drop(ground.start_loop(&group, state));
    crowd.wait();
    f64::from(plan.tasks) * f64::from(plan.rounds) / noted.elapsed().as_secs_f64() / 1e3
}

// === beside guests that spin ===

struct Outcome {
    /// Milliseconds, as the next two.
    p50: f64,
    p99: f64,
    worst: f64,
    /// How many cores' work the spinners did.
    spinners: f64,
    /// Per cent of a core that the event loop used; not a number for peers, which keep no books.
    used: f64,
}

fn wake(bench: &mut Bench, spinners: usize) {
    let pace = bench.pace();
    let time = Duration::from_secs(if bench.is_quick() { 2 } else { 6 });
    let rounds = if bench.is_quick() { 1 } else { 5 };
    let (outcomes, repeated) = bench.repeat(rounds, |round| {
        all(round, |kind| beside(kind, spinners, time, pace))
    });
    let column = |kind: Kind, figure: fn(&Outcome) -> f64| -> Vec<f64> {
        outcomes
            .iter()
            .map(|round| figure(&round[kind as usize]))
            .collect()
    };
    for peer in Kind::ALL.into_iter().filter(|&kind| kind != Kind::Hart) {
        let p99 = |kind| column(kind, |outcome| outcome.p99);
        let ratios: Vec<f64> = p99(Kind::Hart)
            .iter()
            .zip(p99(peer))
            .map(|(hart, peer)| peer / hart)
            .collect();
        let figure = |name, unit, of: fn(&Outcome) -> f64| Figure {
            name,
            unit,
            hart: median(&column(Kind::Hart, of)),
            peer: Some(median(&column(peer, of))),
        };
        bench.record(Row {
            suite: SUITE,
            case: format!("wake/{spinners}"),
            unit: "ms",
            hart: median(&p99(Kind::Hart)),
            peer: median(&p99(peer)),
            peer_name: peer.name(),
            ratio: median(&ratios),
            rounds,
            repeated,
            figures: vec![
                figure("median", "ms", |outcome| outcome.p50),
                figure("worst", "ms", |outcome| outcome.worst),
                figure("the spinners got", "cores", |outcome| outcome.spinners),
                Figure {
                    peer: None,
                    ..figure("the event loop used", "% of a core", |outcome| outcome.used)
                },
            ],
        });
    }
}

fn beside(kind: Kind, spinners: usize, time: Duration, pace: Pace) -> Outcome {
    let ground = kind.start();
    let crowd: Arc<Crowd> = Arc::default();
    let noted: Arc<Noted> = Arc::default();
    let plan = Plan {
        tasks: TASKS,
        rounds: u32::MAX,
        rest: Duration::from_secs(20),
        iterations: pace.iterations(Duration::from_micros(5)),
        spread: true,
    };
    let group = ground.group(WEIGHT);
    let end = ground.start_loop(&group, State::new(&crowd, plan, &noted));
    // Starting them is no part of it: it takes a second of the share that it has beside spinners.
    noted.wait_for(TASKS);
    let spun = Spinners::start(&*ground, spinners, pace);
    spun.wait();
    let used = || {
        let stats = group.hart.as_ref().map(|group| group.stats());
        stats.map_or(f64::NAN, |stats| stats.cpu_time.as_secs_f64())
    };
    // What was late while they all started is told by no percentile: some 50 ms of work are due at once then.
    thread::sleep(SETTLES);
    noted.take_late();
    let before = (Instant::now(), spun.pieces(), used());
    thread::sleep(time);
    let late = noted.take_late();
    let elapsed = before.0.elapsed().as_secs_f64();
    let pieces = spun.pieces() - before.1;
    let used = (used() - before.2) / elapsed;
    end();
    spun.stop();
    crowd.wait();
    let late: Vec<f64> = late.iter().map(|late| late.as_secs_f64() * 1e3).collect();
    Outcome {
        p50: quantile(&late, 0.5),
        p99: quantile(&late, 0.99),
        worst: quantile(&late, 1.0),
        spinners: pieces as f64 * PIECE.as_secs_f64() / elapsed,
        used: 100.0 * used,
    }
}
