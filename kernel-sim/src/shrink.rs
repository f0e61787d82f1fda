//! Making a failing case smaller.

use crate::{case::Case, oracle::Failure, workload::Workload};

/// A smaller case that still breaks the same promise, and how; `tries` runs at most.
///
/// In turn: fewer parts, fewer faults, fewer harts, a simpler schedule, smaller parts; until nothing of that fails any more.
/// A smaller case is another run, so a race that needs one exact schedule may not survive it: then the case
/// stays as it was.
pub fn shrink(case: &Case, failure: &Failure, tries: usize) -> (Case, Failure) {
    let first = (case.clone(), failure.clone());
    let fails = |smaller: &Case| {
        let found = smaller.run().failure;
        found.filter(|found| found.oracle == failure.oracle)
    };
    smallest(first, tries, candidates, fails)
}

/// The smallest case that `fails` as the first one does, by steps of `candidates`, in so many `tries`.
pub(crate) fn smallest<C, F>(
    first: (C, F),
    tries: usize,
    candidates: impl Fn(&C) -> Vec<C>,
    fails: impl Fn(&C) -> Option<F>,
) -> (C, F) {
    let mut best = first;
    let mut left = tries;
    'again: loop {
        for smaller in candidates(&best.0) {
            if left == 0 {
                return best;
            }
            left -= 1;
            if let Some(found) = fails(&smaller) {
                best = (smaller, found);
                continue 'again;
            }
        }
        return best;
    }
}

fn candidates(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    let parts = &case.workload.parts;
    if parts.len() > 1 {
        for gone in 0..parts.len() {
            let mut parts = parts.clone();
            parts.remove(gone);
            all.push(Case {
                workload: Workload { parts },
                ..case.clone()
            });
        }
    }
    for kind in case.faults.kinds() {
        all.push(Case {
            faults: case.faults.without(kind),
            ..case.clone()
        });
    }
    let halved = [1, case.harts / 2, case.harts - 1];
    for harts in halved
        .into_iter()
        .filter(|&harts| harts > 0 && harts < case.harts)
    {
        all.push(Case {
            harts,
            ..case.clone()
        });
    }
    for schedule in case.schedule.simpler() {
        all.push(Case {
            schedule,
            ..case.clone()
        });
    }
    for at in 0..parts.len() {
        for size in [parts[at].size / 2, parts[at].size - 1] {
            if size > 0 && size < parts[at].size {
                let mut parts = parts.clone();
                parts[at].size = size;
                all.push(Case {
                    workload: Workload { parts },
                    ..case.clone()
                });
            }
        }
    }
    all
}
