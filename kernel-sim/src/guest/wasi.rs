//! What a guest sees of the outside: clocks, sleeps and random numbers of the machine.
//!
//! Arguments, environment and streams are what the run was given; the rest of WASI is wasmtime's own, without
//! a network. Its clocks wait in real time whatever clock they show, so this is an implementation of the
//! interface itself.

use crate::{machine::Machine, random::stream, sim::Sleep};
use fastrand::Rng;
use hart_host::{
    GuestState,
    wasmtime::{
        self,
        component::{HasData, Linker, Resource},
    },
    wasmtime_wasi::{
        WasiView, async_trait,
        p2::{
            DynPollable, Pollable,
            bindings::{
                clocks::{monotonic_clock, wall_clock},
                random::{insecure, insecure_seed, random},
            },
            subscribe,
        },
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The time of day at which every machine starts, seconds since 1970: the first of January 2026.
pub(super) const START: u64 = 1_767_225_600;

/// The most random bytes that a guest may ask for at once.
const MOST_RANDOM: u64 = 64 << 20;

pub(super) const SECOND: u64 = 1_000_000_000;

/// From which every task's view is made.
pub(super) struct Virtual {
    machine: Arc<Machine>,
    tasks: AtomicU64,
}

/// What the store of a task holds of it.
pub(super) struct Seen {
    machine: Arc<Machine>,
    rng: Rng,
}

impl Virtual {
    pub(super) fn new(machine: Arc<Machine>) -> Self {
        Self {
            machine,
            tasks: AtomicU64::new(0),
        }
    }

    /// Stores are made in an order that follows from the seed, and so does this.
    pub(super) fn of_a_task(&self) -> Seen {
        let number = self.tasks.fetch_add(1, Relaxed);
        let seed = self.machine.lock().seed;
        Seen {
            machine: self.machine.clone(),
            rng: stream(seed, (2 << 32) + number),
        }
    }
}

/// Replaces what would reach the outside.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let view: fn(&mut GuestState) -> View<'_> = |state| View { state };
    monotonic_clock::add_to_linker::<_, HasView>(linker, view)?;
    wall_clock::add_to_linker::<_, HasView>(linker, view)?;
    random::add_to_linker::<_, HasView>(linker, view)?;
    insecure::add_to_linker::<_, HasView>(linker, view)?;
    insecure_seed::add_to_linker::<_, HasView>(linker, view)?;
    linker.allow_shadowing(false);
    Ok(())
}

pub(super) struct HasView;

impl HasData for HasView {
    type Data<'a> = View<'a>;
}

pub(super) struct View<'a> {
    pub(super) state: &'a mut GuestState,
}

impl View<'_> {
    fn seen(&mut self) -> wasmtime::Result<&mut Seen> {
        let missing = || wasmtime::format_err!("a store on the machine has the machine's data");
        self.state.data().ok_or_else(missing)
    }

    pub(super) fn machine(&mut self) -> wasmtime::Result<Arc<Machine>> {
        Ok(self.seen()?.machine.clone())
    }

    pub(super) fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.seen()?.machine.time())
    }

    fn wait(&mut self, nanoseconds: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let machine = self.machine()?;
        let deadline = machine.time().saturating_add(nanoseconds);
        let table = self.state.ctx().table;
        let deadline = table.push(Deadline { machine, deadline })?;
        subscribe(table, deadline)
    }

    pub(super) fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > MOST_RANDOM {
            return Err(wasmtime::format_err!(
                "{len} random bytes are more than {MOST_RANDOM}"
            ));
        }
        let mut bytes = vec![0; usize::try_from(len)?];
        self.seen()?.rng.fill(&mut bytes);
        Ok(bytes)
    }

    pub(super) fn number(&mut self) -> wasmtime::Result<u64> {
        Ok(self.seen()?.rng.u64(..))
    }
}

/// Ready at a time of the machine.
struct Deadline {
    machine: Arc<Machine>,
    deadline: u64,
}

#[async_trait]
impl Pollable for Deadline {
    async fn ready(&mut self) {
        let left = self.deadline.saturating_sub(self.machine.time());
        sleep(&self.machine, left).await;
    }
}

/// Sleeps for as long as `left` says, in the machine's time.
pub(super) async fn sleep(machine: &Arc<Machine>, left: u64) {
    if left > 0 {
        Sleep::new(machine.clone(), left).await;
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        View::now(self)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = View::now(self)?;
        self.wait(when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, nanoseconds: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.wait(nanoseconds)
    }
}

impl wall_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = View::now(self)?;
        Ok(wall_clock::Datetime {
            seconds: START + now / SECOND,
            nanoseconds: u32::try_from(now % SECOND)?,
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime {
            seconds: 0,
            nanoseconds: 1,
        })
    }
}

impl random::Host for View<'_> {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl insecure::Host for View<'_> {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl insecure_seed::Host for View<'_> {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.number()?, self.number()?))
    }
}
