//! What the tasks of a run have in common that depends on what their stores hold.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::Instance;

use crate::engine::component::Linked;
use crate::instance::guest::Guest;
use crate::instance::record::Warm;

/// A task that is about to be spawned by a guest, for the closure that makes its data: see
/// [`HostBuilder::with_data`](crate::HostBuilder::with_data).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Child<'a> {
    /// A number that no other task of the host has.
    pub id: u64,
    /// Its name. It comes from a guest: untrusted.
    pub name: &'a str,
    /// How deep it is below the root, whose depth is 0.
    pub depth: u32,
    /// The number of its run.
    pub run: u64,
    /// The name of its run's tenant, if it has one.
    pub tenant: Option<&'a str>,
}

/// Makes the data of a task from that of the task that spawns it.
pub(crate) type ChildData<T> = dyn Fn(&Child<'_>, &T) -> T + Send + Sync;

/// What the tasks of a run run, in stores that hold an `S`, and with which data.
pub(crate) struct Program<S: 'static, T> {
    pub(crate) component: Linked<S>,
    pub(crate) child_data: Arc<ChildData<T>>,
    pub(crate) warm: Arc<dyn Reuse<S>>,
    pub(crate) reused: Reused,
}

/// By whom an instance may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reused {
    /// By tasks of the same run that were spawned so. The program has one run.
    ByTasks,
    /// Also by the roots of the program's other runs.
    ByRuns {
        /// A number that no other program has.
        program: u64,
        /// By how many in all.
        times: u32,
        /// How long it waits for the next one.
        idle: Duration,
    },
}

/// Instances that wait to be used again: see [`warm`](super::warm).
pub(crate) trait Reuse<S: 'static>: Warm {
    /// Takes one for `guest`, if there is one.
    fn take(&self, guest: &Arc<Guest>, reused: Reused) -> Option<(Store<S>, Instance)>;

    /// Keeps the instance of a task that has returned, or drops it.
    fn keep(&self, guest: &Arc<Guest>, reused: Reused, store: Store<S>, instance: Instance);

    /// Drops those that are in slots which guests hold by now. To be called by whoever holds slots that it has not
    /// filled.
    fn make_room(&self);

    /// Drops those that wait for roots of this program's runs.
    fn forget_program(&self, program: u64);
}
