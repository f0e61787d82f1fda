//! What it costs to be preemptible.
//!
//! | case | hart | the peer |
//! | --- | --- | --- |
//! | `alone/*` | a guest alone, preemption on | the same compiled code, called without hart |
//! | `checks/*` | the same | code that was compiled without any interruption |
//! | `contended/*` | two guests per worker | one per worker, twice |

mod engines;

use crate::{
    ground::WORKERS,
    measure::Bench,
    row::{Figure, Row, median},
};
use engines::{Bare, Scheduled};
use hart_host::Preemption;
use std::time::Duration;

const SUITE: &str = "overhead";

const GUESTS: [&str; 5] = ["integers", "sort", "map", "recursion", "sieve"];

pub(crate) fn run(bench: &mut Bench) {
    let cases = ["alone", "checks", "contended"];
    let wanted = |guest: &&str| {
        let wants = |case| bench.wants(SUITE, &format!("{case}/{guest}"));
        cases.into_iter().any(wants)
    };
    let guests: Vec<&'static str> = GUESTS.into_iter().filter(wanted).collect();
    if guests.is_empty() {
        return;
    }
    let file = hart_build::guest("compute");
    let hart = Scheduled::start(&file);
    let bare = Bare::start(&file, Preemption::epoch());
    let unchecked = Bare::start(&file, Preemption::None);
    for guest in guests {
        alone(bench, guest, &hart, &bare, &unchecked);
        contended(bench, guest, &hart);
    }
}

fn alone(bench: &mut Bench, guest: &'static str, hart: &Scheduled, bare: &Bare, unchecked: &Bare) {
    let rounds = if bench.is_quick() { 5 } else { 15 };
    let epochs = hart.epochs();
    let (rounds_of, repeated) = bench.repeat(rounds, |round| {
        let mut times = [Duration::ZERO; 3];
        for turn in 0..3 {
            let turn = (turn + round) % 3;
            times[turn] = match turn {
                0 => hart.run(guest),
                1 => bare.run(guest),
                _ => unchecked.run(guest),
            };
        }
        times.map(|time| time.as_secs_f64() * 1e3)
    });
    let epochs = hart.epochs() - epochs;
    // What others do on this machine only ever adds.
    let least = |side: usize| {
        let times = rounds_of.iter().map(|round| round[side]);
        times.fold(f64::INFINITY, f64::min)
    };
    let cases = [
        (1, "alone", "bare wasmtime"),
        (2, "checks", "no interruption"),
    ];
    for (side, case, peer_name) in cases {
        bench.record(Row {
            suite: SUITE,
            case: format!("{case}/{guest}"),
            unit: "ms",
            hart: least(0),
            peer: least(side),
            peer_name,
            ratio: least(side) / least(0),
            rounds,
            repeated,
            figures: vec![Figure {
                name: "epochs in all rounds",
                unit: "",
                hart: epochs as f64,
                peer: None,
            }],
        });
    }
}

fn contended(bench: &mut Bench, guest: &'static str, hart: &Scheduled) {
    let rounds = if bench.is_quick() { 3 } else { 15 };
    let (rounds_of, repeated) = bench.repeat(rounds, |_| {
        let together = hart.run_together(guest, 2 * WORKERS);
        let apart = hart.run_together(guest, WORKERS) + hart.run_together(guest, WORKERS);
        [together, apart].map(|time| time.as_secs_f64() * 1e3)
    });
    let column = |side: usize| {
        rounds_of
            .iter()
            .map(|round| round[side])
            .collect::<Vec<_>>()
    };
    let ratios: Vec<f64> = rounds_of.iter().map(|round| round[1] / round[0]).collect();
    bench.record(Row {
        suite: SUITE,
        case: format!("contended/{guest}"),
        unit: "ms",
        hart: median(&column(0)),
        peer: median(&column(1)),
        peer_name: "hart, 1 per worker",
        ratio: median(&ratios),
        rounds,
        repeated,
        figures: Vec::new(),
    });
}
