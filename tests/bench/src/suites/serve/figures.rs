//! What the rows of this suite have in common.

use super::client::Load;
use crate::{
    measure::Bench,
    row::{Figure, Row, median, quantile},
};
use std::time::Duration;

pub(super) const SUITE: &str = "serve";
pub(super) const PEER: &str = "wasmtime serve";

/// Connections of a closed loop, and clients of an open one.
pub(super) const CONNECTIONS: usize = 20;

/// How long each load is applied.
pub(super) fn span(bench: &Bench) -> Duration {
    Duration::from_secs(if bench.is_quick() { 1 } else { 4 })
}

/// How late hart answers `beside` something, compared with how late it does `alone`; `is_alone` says what alone is.
pub(super) fn against_itself(
    case: &str,
    beside: &Load,
    alone: &Load,
    is_alone: &'static str,
    mut figures: Vec<Figure>,
) -> Row {
    figures.insert(0, figure("failed", "", &[failed(beside)], None));
    Row {
        suite: SUITE,
        case: case.to_owned(),
        unit: "ms",
        hart: p99(beside),
        peer: p99(alone),
        peer_name: is_alone,
        ratio: p99(alone) / p99(beside),
        rounds: 1,
        repeated: 0,
        figures,
    }
}

pub(super) fn figure(
    name: &'static str,
    unit: &'static str,
    hart: &[f64],
    peer: Option<&[f64]>,
) -> Figure {
    Figure {
        name,
        unit,
        hart: median(hart),
        peer: peer.map(median),
    }
}

pub(super) fn p99(load: &Load) -> f64 {
    quantile(&load.latencies, 0.99)
}

pub(super) fn p50(load: &Load) -> f64 {
    median(&load.latencies)
}

pub(super) fn failed(load: &Load) -> f64 {
    load.failed as f64
}

pub(super) fn answered(load: &Load) -> f64 {
    load.answered() as f64
}
