//! What both versions of WASI are made of: the machine's clock, and random numbers that follow from its seed.

use crate::{machine::Machine, random::stream, sim::Sleep};
use fastrand::Rng;
use hart_host::{
    GuestState,
    wasmtime::{self, component::HasData},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The time of day at which every machine starts, seconds since 1970: the first of January 2026.
const START: u64 = 1_767_225_600;

/// The most random bytes that a guest may ask for at once.
const MOST_RANDOM: u64 = 64 << 20;

const SECOND: u64 = 1_000_000_000;

/// What a guest task sees of the outside: the machine's clock, and random numbers of its own. It is the data of the
/// stores of a [`Session`](crate::Session)'s host.
pub struct Outside {
    machine: Arc<Machine>,
    /// Tasks that have one, over the whole machine.
    tasks: Arc<AtomicU64>,
    rng: Rng,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}

impl Outside {
    /// Makes that of each run's root.
    pub(in crate::guest) fn of_runs(machine: Arc<Machine>) -> impl Fn() -> Self {
        let tasks = Arc::default();
        move || Self::next(&machine, &tasks)
    }

    /// That of a task which this one spawns.
    pub(in crate::guest) fn of_a_child(&self) -> Self {
        Self::next(&self.machine, &self.tasks)
    }

    /// Tasks are spawned in an order that follows from the seed, and so does this.
    fn next(machine: &Arc<Machine>, tasks: &Arc<AtomicU64>) -> Self {
        let number = tasks.fetch_add(1, Relaxed);
        let seed = machine.lock().seed;
        Self {
            machine: machine.clone(),
            tasks: tasks.clone(),
            rng: stream(seed, (2 << 32) + number),
        }
    }
}

pub(super) struct HasView;

impl HasData for HasView {
    type Data<'a> = View<'a>;
}

pub(super) struct View<'a> {
    pub(super) state: &'a mut GuestState<Outside>,
}

impl View<'_> {
    pub(super) fn machine(&self) -> &Arc<Machine> {
        &self.state.data().machine
    }

    pub(super) fn now(&self) -> u64 {
        self.machine().time()
    }

    /// Seconds since 1970, and nanoseconds.
    pub(super) fn time_of_day(&mut self) -> wasmtime::Result<(u64, u32)> {
        let now = self.now();
        Ok((START + now / SECOND, u32::try_from(now % SECOND)?))
    }

    pub(super) fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > MOST_RANDOM {
            return Err(wasmtime::format_err!(
                "{len} random bytes are more than {MOST_RANDOM}"
            ));
        }
        let mut bytes = vec![0; usize::try_from(len)?];
        self.state.data_mut().rng.fill(&mut bytes);
        Ok(bytes)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.state.data_mut().rng.u64(..)
    }
}

/// Sleeps for as long as `left` says, in the machine's time.
pub(super) async fn sleep(machine: &Arc<Machine>, left: u64) {
    if left > 0 {
        Sleep::new(machine.clone(), left).await;
    }
}
