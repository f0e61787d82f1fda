//! How late guests respond while others spin.
//!
//! Every guest is a group of its own. A response is the time from when the guest's work was due to when it
//! was done. What the spinners got meanwhile is told too, in cores: short slices are not free.

mod load;

use crate::{
    ground::Kind,
    measure::Bench,
    row::{Figure, Row, median},
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
        let mut outcomes: [Option<Outcome>; Kind::ALL.len()] = Default::default();
        for turn in 0..Kind::ALL.len() {
            let turn = (turn + round) % Kind::ALL.len();
            outcomes[turn] = Some(load.run(Kind::ALL[turn], spinners, pace));
        }
        outcomes.map(|outcome| outcome.expect("everybody had a turn"))
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
        let own = |name, of: fn(&Outcome) -> f64| Figure {
            name,
            unit: "ms",
            hart: median(&column(Kind::Hart, of)),
            peer: None,
        };
        bench.record(Row {
            suite: SUITE,
            case: case.clone(),
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
                own("used, per response", |outcome| outcome.used),
                own("waited for a worker, per response", |outcome| {
                    outcome.waited
                }),
            ],
        });
    }
}
