//! How late guests respond while others spin.
//!
//! Every guest is a group of its own. A response is the time from when the guest's work was due to when it
//! was done. What the spinners got meanwhile is told too, in cores: short slices are not free.

mod load;

use crate::{
    ground::{Kind, in_turn},
    late::{self, Own},
    measure::Bench,
};
use load::{Load, Outcome};
use std::time::Duration;

const SUITE: &str = "latency";

pub(crate) fn run(bench: &mut Bench) {
    let quick = bench.is_quick();
    let columns: &[usize] = if quick {
        &[0, 128]
    } else {
        &[0, 2, 8, 32, 128, 512]
    };
    for &spinners in columns {
        // 20 guests, every 20 ms and their response: 70 us is 0.35 % of a core. With 512 spinners a fair
        // share is 2 / 532 of a core, and less than that must be asked for.
        let work = Duration::from_micros(if spinners > 128 { 40 } else { 70 });
        let rounds = if quick { 15 } else { 30 };
        let load = Load::Wake { work, rounds };
        compare(bench, "wake", load, spinners);
    }
    // What follows takes longer.
    let columns = if quick { &[128] } else { columns };
    for &spinners in columns {
        let guests = if quick { 200 } else { 5_000 };
        compare(bench, "spawn", Load::Spawn { guests }, spinners);
    }
    for &spinners in columns.iter().filter(|&&spinners| spinners <= 128) {
        let rounds = if quick { 1 } else { 10 };
        compare(bench, "multi_step", Load::Steps { rounds }, spinners);
    }
    let rounds = if quick { 3 } else { 10 };
    compare(bench, "class", Load::Class { rounds }, 128);
}

fn compare(bench: &mut Bench, name: &str, load: Load, spinners: usize) {
    let case = format!("{name}/{spinners}");
    if !bench.wants(SUITE, &case) {
        return;
    }
    let pace = bench.pace();
    let rounds = match load {
        _ if bench.is_quick() => 1,
        // Each of them has thousands of samples.
        Load::Spawn { .. } => 1,
        _ => 5,
    };
    let (outcomes, repeated) = bench.repeat(rounds, |round| {
        in_turn(Kind::ALL, round, |kind| load.run(kind, spinners, pace))
    });
    let own = |name, of: fn(&Outcome) -> f64| Own {
        name,
        unit: "ms",
        of,
    };
    let case = late::Case {
        suite: SUITE,
        name: case,
        repeated,
    };
    let own = [
        own("used, per response", |outcome| outcome.used),
        own("waited for a worker, per response", |outcome| {
            outcome.waited
        }),
    ];
    late::record(bench, &case, &outcomes, |outcome| &outcome.late, &own);
}
