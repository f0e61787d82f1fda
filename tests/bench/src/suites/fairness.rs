//! What guests get that compete for the workers.
//!
//! What a group got is counted in pieces of work that its guests did, which is what their owner sees; hart's
//! own books of CPU time are told beside it. The figure that is compared is how far off the fair share the
//! group is that is furthest off, in percent of that share.

mod contest;

use crate::{
    ground::{Kind, WORKERS, in_turn},
    measure::Bench,
    row::{Figure, Row, median},
};
use contest::{Contest, Outcome};

const SUITE: &str = "fairness";

/// Percent below which nobody can tell: two sides that are as good as exact are not far apart.
const EXACT: f64 = 0.01;

const KINDS: [Kind; 3] = [Kind::Hart, Kind::TokioMillisecond, Kind::Threads];

pub(crate) fn run(bench: &mut Bench) {
    for groups in [2, 3, 5, 7] {
        let name = format!("equal/{groups}");
        compare(bench, &name, Contest::Weights(&[104; 7][..groups], 1));
    }
    // The heaviest has more than one core's worth coming: one spinner could not take it.
    compare(
        bench,
        "weights",
        Contest::Weights(&[13, 26, 52, 104], WORKERS),
    );
    compare(bench, "groups", Contest::Sizes(&[100, 2]));
    compare(bench, "sleepers", Contest::Sleeper);
    compare(bench, "chatter", Contest::Chatter);
    compare(bench, "newcomer", Contest::Newcomer);
}

fn compare(bench: &mut Bench, case: &str, contest: Contest) {
    if !bench.wants(SUITE, case) {
        return;
    }
    let pace = bench.pace();
    let quick = bench.is_quick();
    // Ten seconds are many rounds of turns by themselves.
    let rounds = match contest {
        _ if quick => 1,
        Contest::Weights(..) | Contest::Sizes(_) => 3,
        _ => 5,
    };
    let (outcomes, repeated) = bench.repeat(rounds, |round| {
        in_turn(KINDS, round, |kind| contest.run(kind, quick, pace))
    });
    let column = |side: usize, figure: fn(&Outcome) -> f64| -> Vec<f64> {
        outcomes.iter().map(|round| figure(&round[side])).collect()
    };
    let off = |side| column(side, |outcome| outcome.off);
    for (side, peer) in KINDS.into_iter().enumerate().skip(1) {
        let ratios: Vec<f64> = off(0)
            .iter()
            .zip(off(side))
            .map(|(hart, peer)| peer.max(EXACT) / hart.max(EXACT))
            .collect();
        let mut figures = vec![Figure {
            name: "Jain's index",
            unit: "",
            hart: median(&column(0, |outcome| outcome.jain)),
            peer: Some(median(&column(side, |outcome| outcome.jain))),
        }];
        for (at, extra) in outcomes[0][0].extras.iter().enumerate() {
            let extras = |side: usize| -> Option<Vec<f64>> {
                outcomes
                    .iter()
                    .map(|round| Some(round[side].extras.get(at)?.value))
                    .collect()
            };
            figures.push(Figure {
                name: extra.name,
                unit: extra.unit,
                hart: extras(0).map_or(f64::NAN, |values| median(&values)),
                peer: extras(side).map(|values| median(&values)),
            });
        }
        bench.record(Row {
            suite: SUITE,
            case: case.to_owned(),
            unit: "%",
            hart: median(&off(0)),
            peer: median(&off(side)),
            peer_name: peer.name(),
            ratio: median(&ratios),
            rounds,
            repeated,
            figures,
        });
    }
}
