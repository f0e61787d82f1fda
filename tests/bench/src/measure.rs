//! Rounds: both sides in turn, the median of at least five.

use crate::{
    machine::Machine,
    row::{Row, median},
};
use std::time::{Duration, Instant};

pub(crate) struct Bench {
    machine: Machine,
    quick: bool,
    only: String,
    rows: Vec<Row>,
}

/// One side of a comparison: does the work once and says how long it took.
pub(crate) type Side<'a> = &'a mut dyn FnMut() -> Duration;

/// A comparison to be made.
pub(crate) struct Case<'a> {
    pub(crate) suite: &'static str,
    pub(crate) name: &'a str,
    pub(crate) peer_name: &'static str,
}

impl Bench {
    pub(crate) fn new(quick: bool, only: String) -> Self {
        Row::print_head();
        Self {
            machine: Machine::calibrate(),
            quick,
            only,
            rows: Vec::new(),
        }
    }

    pub(crate) fn is_quick(&self) -> bool {
        self.quick
    }

    fn rounds(&self) -> usize {
        if self.quick { 5 } else { 11 }
    }

    pub(crate) fn wants(&self, suite: &str, case: &str) -> bool {
        format!("{suite}/{case}").contains(&self.only)
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn finish(self) -> Vec<Row> {
        self.rows
    }

    /// Compares the time that both sides take.
    pub(crate) fn compare(&mut self, case: &Case<'_>, hart: Side<'_>, peer: Side<'_>) {
        if !self.wants(case.suite, case.name) {
            return;
        }
        let rounds = self.rounds();
        let (mut harts, mut peers) = (Vec::new(), Vec::new());
        let mut repeated = 0;
        // Caches, pools and lazily made threads are warm afterwards.
        hart();
        peer();
        while harts.len() < rounds {
            let before = self.machine.is_ours();
            // Whoever is second finds a warmer machine: take turns.
            let (hart_time, peer_time) = if harts.len() % 2 == 0 {
                let hart_time = hart();
                (hart_time, peer())
            } else {
                let peer_time = peer();
                (hart(), peer_time)
            };
            let after = self.machine.is_ours();
            // On a machine that is never ours some figure is better than none; it is marked.
            if !(before && after) && repeated < 3 * rounds {
                repeated += 1;
                continue;
            }
            harts.push(hart_time.as_secs_f64() * 1e3);
            peers.push(peer_time.as_secs_f64() * 1e3);
        }
        let ratios: Vec<f64> = harts.iter().zip(&peers).map(|(h, p)| p / h).collect();
        let row = Row {
            suite: case.suite,
            case: case.name.to_owned(),
            unit: "ms",
            hart: median(&harts),
            peer: median(&peers),
            peer_name: case.peer_name,
            ratio: median(&ratios),
            rounds,
            repeated,
        };
        row.print();
        self.rows.push(row);
    }
}

/// How long `work` takes.
pub(crate) fn time(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}
