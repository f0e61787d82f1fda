//! What rows of this suite are made of.

use super::client::Load;
use crate::{
    measure::Bench,
    row::{Figure, median, quantile},
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

pub(super) fn answered(load: &Load) -> f64 {
    load.answered() as f64
}
