//! Tasks that sleep and wake.

use super::suite::{SUITE, TASKS};
use crate::{
    event_loop::{Noted, Plan, State},
    ground::{Kind, WEIGHT, in_turn},
    guest::{Crowd, Pace},
    late::{self, Late, Own},
    measure::Bench,
    row::Row,
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
    let (found, repeated) = bench.repeat(rounds, |round| {
        in_turn(Kind::ALL, round, |kind| rate(kind, plan))
    });
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
    late: Late,
    /// Per cent of a core that the event loop used; not a number for peers, which keep no books.
    used: f64,
}

fn wake(bench: &mut Bench, spinners: usize) {
    let pace = bench.pace();
    let time = Duration::from_secs(if bench.is_quick() { 5 } else { 10 });
    let rounds = if bench.is_quick() { 1 } else { 5 };
    let (outcomes, repeated) = bench.repeat(rounds, |round| {
        in_turn(Kind::ALL, round, |kind| beside(kind, spinners, time, pace))
    });
    let case = late::Case {
        suite: SUITE,
        name: format!("wake/{spinners}"),
        repeated,
    };
    let used = Own {
        name: "the event loop used",
        unit: "% of a core",
        of: |outcome: &Outcome| outcome.used,
    };
    late::record(bench, &case, &outcomes, |outcome| &outcome.late, &[used]);
}

fn beside(kind: Kind, spinners: usize, time: Duration, pace: Pace) -> Outcome {
    let ground = kind.start();
    let crowd: Arc<Crowd> = Arc::default();
    let noted: Arc<Noted> = Arc::default();
    let plan = Plan {
        tasks: TASKS,
        rounds: u32::MAX,
        rest: Duration::from_mins(2),
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
    Outcome {
        late: Late::new(&late, pieces as f64 * PIECE.as_secs_f64() / elapsed),
        used: 100.0 * used,
    }
}
