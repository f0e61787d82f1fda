//! Rounds: both sides in turn, the median of at least five.

use crate::{
    ground::Threads,
    guest::Pace,
    machine::Machine,
    row::{Row, median},
};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

pub(crate) struct Bench {
    machine: Machine,
    pace: Option<Pace>,
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
            pace: None,
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
        let name = format!("{suite}/{case}");
        self.only.split(',').any(|part| name.contains(part))
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
            figures: Vec::new(),
        };
        self.record(row);
    }

    /// Calls `round` so many times, and again where the cores were not ours, but not more than twice as
    /// often, and never where it must be quick; also says how often that was.
    pub(crate) fn repeat<T>(
        &mut self,
        rounds: usize,
        mut round: impl FnMut(usize) -> T,
    ) -> (Vec<T>, usize) {
        let most = if self.quick { 0 } else { rounds };
        let mut results = Vec::new();
        let mut repeated = 0;
        while results.len() < rounds {
            let before = self.machine.is_ours();
            let result = round(results.len());
            if !(before && self.machine.is_ours()) && repeated < most {
                repeated += 1;
                continue;
            }
            results.push(result);
        }
        (results, repeated)
    }

    pub(crate) fn record(&mut self, row: Row) {
        row.print();
        self.rows.push(row);
    }

    /// How fast guests work here; measured when it is first asked for.
    pub(crate) fn pace(&mut self) -> Pace {
        *self.pace.get_or_insert_with(Threads::pace)
    }
}

/// The CPU time that this process has used.
pub(crate) fn used() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// How long `work` takes.
pub(crate) fn time(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}
