//! The jobs of one app that a worker has, and the runs of them.

use std::collections::HashMap;
use std::sync::Mutex;

use super::rules::Intake;
use crate::base::sync::lock;
use crate::host::run::handle::Canceller;

/// What a worker's tasks share about one app.
pub(super) struct Desk {
    /// What the worker holds and asks for.
    pub(super) intake: Mutex<Intake>,
    /// Runs by the ids of their jobs.
    runs: Mutex<HashMap<String, Canceller>>,
}

impl Desk {
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            intake: Mutex::new(Intake::new(concurrency)),
            runs: Mutex::default(),
        }
    }

    /// How many jobs the worker has.
    pub(super) fn held(&self) -> usize {
        lock(&self.intake).held()
    }

    /// Notes a run. Whoever asked for its end before has marked that: the caller looks after this.
    pub(super) fn runs(&self, id: &str, canceller: Canceller) {
        lock(&self.runs).insert(id.to_owned(), canceller);
    }

    /// Forgets a run.
    pub(super) fn ran(&self, id: &str) {
        lock(&self.runs).remove(id);
    }

    /// Cancels a job, if the worker has it.
    pub(super) fn cancel(&self, id: &str) -> bool {
        if !lock(&self.intake).cancel(id) {
            return false;
        }
        let run = lock(&self.runs).get(id).cloned();
        run.iter().for_each(Canceller::cancel);
        true
    }

    /// Cancels all runs.
    pub(super) fn cancel_all(&self) {
        let runs: Vec<_> = lock(&self.runs).values().cloned().collect();
        runs.iter().for_each(Canceller::cancel);
    }
}
