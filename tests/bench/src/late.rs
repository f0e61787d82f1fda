//! How late those are that are served beside guests that spin, and the rows of it.

use crate::{
    ground::Kind,
    measure::Bench,
    row::{Figure, Row, median, quantile},
};
use std::time::Duration;

pub(crate) struct Late {
    /// Milliseconds, as the next two.
    p50: f64,
    p99: f64,
    worst: f64,
    /// How many cores' work the spinners did.
    spinners: f64,
}

impl Late {
    pub(crate) fn new(late: &[Duration], spinners: f64) -> Self {
        let late: Vec<f64> = late.iter().map(|late| late.as_secs_f64() * 1e3).collect();
        Self {
            p50: quantile(&late, 0.5),
            p99: quantile(&late, 0.99),
            worst: quantile(&late, 1.0),
            spinners,
        }
    }
}

/// A comparison of all kinds.
pub(crate) struct Case {
    pub(crate) suite: &'static str,
    pub(crate) name: String,
    /// Rounds that were thrown away because the cores were not ours.
    pub(crate) repeated: usize,
}

/// A figure that only hart has.
pub(crate) struct Own<O> {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) of: fn(&O) -> f64,
}

/// Records hart's 99th percentile against that of each peer; `rounds` has what each kind found, in the order of
/// [`Kind::ALL`].
pub(crate) fn record<O>(
    bench: &mut Bench,
    case: &Case,
    rounds: &[[O; Kind::ALL.len()]],
    late: fn(&O) -> &Late,
    own: &[Own<O>],
) {
    let column = |kind: Kind, figure: &dyn Fn(&O) -> f64| -> Vec<f64> {
        rounds
            .iter()
            .map(|round| figure(&round[kind as usize]))
            .collect()
    };
    let p99 = |kind| column(kind, &|found| late(found).p99);
    for peer in Kind::ALL.into_iter().filter(|&kind| kind != Kind::Hart) {
        let ratios: Vec<f64> = p99(Kind::Hart)
            .iter()
            .zip(p99(peer))
            .map(|(hart, peer)| peer / hart)
            .collect();
        let figure = |name, unit, of: fn(&Late) -> f64| {
            let of = |kind| median(&column(kind, &|found| of(late(found))));
            Figure {
                name,
                unit,
                hart: of(Kind::Hart),
                peer: Some(of(peer)),
            }
        };
        let mut figures = vec![
            figure("median", "ms", |late| late.p50),
            figure("worst", "ms", |late| late.worst),
            figure("the spinners got", "cores", |late| late.spinners),
        ];
        figures.extend(own.iter().map(|own| Figure {
            name: own.name,
            unit: own.unit,
            hart: median(&column(Kind::Hart, &own.of)),
            peer: None,
        }));
        bench.record(Row {
            suite: case.suite,
            case: case.name.clone(),
            unit: "ms",
            hart: median(&p99(Kind::Hart)),
            peer: median(&p99(peer)),
            peer_name: peer.name(),
            ratio: median(&ratios),
            rounds: rounds.len(),
            repeated: case.repeated,
            figures,
        });
    }
}
