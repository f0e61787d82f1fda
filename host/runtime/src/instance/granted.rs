//! What runs and their tasks hold of the embedder's [capabilities](super::capability), whatever types these have.

use std::any::{Any, TypeId};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use crate::base::sync::lock;
use crate::base::text;
use crate::instance::error::RunError;
use crate::instance::info::RunInfo;

/// What a run has of a capability.
pub(crate) type OfRun = Arc<dyn Any + Send + Sync>;

/// A capability that a run is granted.
pub(crate) trait Grant: Send + Sync {
    fn key(&self) -> TypeId;

    /// Its name in messages.
    fn name(&self) -> &'static str;

    fn prepare(&self, run: &RunInfo<'_>) -> wasmtime::Result<OfRun>;
}

/// What all tasks of a run have of its capabilities, until the run is over.
#[derive(Default)]
pub(crate) struct RunGrants(Mutex<Vec<(TypeId, OfRun)>>);

impl RunGrants {
    /// Prepares all of them for a run. What the embedder's code says, or its panic, is the run's error.
    pub(crate) fn prepare(grants: &[Arc<dyn Grant>], run: &RunInfo<'_>) -> Result<Self, RunError> {
        let prepare = |grant: &Arc<dyn Grant>| {
            let name = grant.name();
            match catch_unwind(AssertUnwindSafe(|| grant.prepare(run))) {
                Ok(Ok(prepared)) => Ok((grant.key(), prepared)),
                Ok(Err(error)) => {
                    let said = format!("the run cannot be granted {name}: {error:#}");
                    Err(RunError::Setup(text::line(&said)))
                }
                Err(_) => Err(RunError::Other(format!("preparing {name} panicked"))),
            }
        };
        let prepared: Result<Vec<_>, _> = grants.iter().map(prepare).collect();
        prepared.map(|prepared| Self(Mutex::new(prepared)))
    }

    /// What there is under `key`.
    pub(crate) fn get(&self, key: TypeId) -> Option<OfRun> {
        let grants = lock(&self.0);
        let found = grants.iter().find(|(of, _)| *of == key);
        found.map(|(_, grant)| grant.clone())
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// The run is over.
    pub(crate) fn clear(&self) {
        let grants = std::mem::take(&mut *lock(&self.0));
        // They are the embedder's, and may panic when they are dropped. Others wait for the end of the run.
        if catch_unwind(AssertUnwindSafe(|| drop(grants))).is_err() {
            tracing::error!("a destructor of a capability panicked when its run was over");
        }
    }
}

/// The state that one task has of each capability that it has used.
#[derive(Default)]
pub(crate) struct TaskGrants(Vec<(TypeId, Box<dyn Any + Send>)>);

impl TaskGrants {
    /// That of the capability `key`, or what `make` makes.
    pub(crate) fn get_or_make<S: Send + 'static>(
        &mut self,
        key: TypeId,
        make: impl FnOnce() -> wasmtime::Result<S>,
    ) -> wasmtime::Result<&mut S> {
        let at = match self.0.iter().position(|(of, _)| *of == key) {
            Some(at) => at,
            None => {
                self.0.push((key, Box::new(make()?)));
                self.0.len() - 1
            }
        };
        let state = self.0[at].1.downcast_mut();
        Ok(state.expect("a capability has one type of state"))
    }
}
