//! What hart-host asks of the machine.

use super::files::{Files, Settled};
use crate::{cost, faults::Fault, machine::Machine, random::one_in, sim::Guard, trace::Event};
use futures::future::BoxFuture;
use hart_executor::{CurrentWorker, Platform, WorkerId};
use hart_host::simulate::{Admitted, Fate, Machine as HostMachine};
use std::sync::Arc;

/// The machine's harts, to a host.
pub(super) struct Harts {
    machine: Arc<Machine>,
    /// Where guests have directories.
    files: Option<Arc<Files>>,
}

impl Harts {
    pub(super) fn new(machine: Arc<Machine>, files: Option<Arc<Files>>) -> Self {
        Self { machine, files }
    }
}

// SAFETY: the cells are the machine's.
unsafe impl Platform for Harts {
    fn park(&self, worker: WorkerId, until: Option<u64>) {
        self.machine.park(worker, until);
    }

    fn unpark(&self, worker: WorkerId) {
        self.machine.unpark(worker);
    }

    fn now(&self) -> u64 {
        self.machine.now()
    }

    fn cpu_time(&self) -> u64 {
        self.machine.cpu_time()
    }

    fn domains(&self, workers: usize) -> usize {
        self.machine.domains(workers)
    }

    fn domain_of(&self, worker: WorkerId) -> usize {
        self.machine.domain_of(worker)
    }

    fn counts_lanes(&self) -> bool {
        self.machine.counts_lanes()
    }

    fn takes_lane(&self, domain: usize) {
        self.machine.takes_lane(domain);
    }

    fn current_worker(&self) -> Option<CurrentWorker> {
        self.machine.current_worker()
    }

    unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker> {
        // SAFETY: the caller's.
        unsafe { self.machine.set_current_worker(worker) }
    }

    fn seed(&self) -> u64 {
        self.machine.seed()
    }
}

impl HostMachine for Harts {
    fn admitted(
        &self,
        guest: Admitted<'_>,
        future: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, ()> {
        let task = self.machine.lock().add_guest(&guest);
        let future = Settled {
            future,
            files: self.files.clone(),
            starts: Some(self.machine.clone()),
        };
        let guard = Guard::new(self.machine.clone(), None, task, future);
        Box::pin(async move {
            guard.await;
        })
    }

    fn refuses_memory(&self) -> bool {
        self.machine.draw_refusal()
    }

    fn fuel_used(&self, units: u64) -> Fate {
        self.machine.spend(cost::fuel(units));
        let mut state = self.machine.lock();
        let hart = state.current;
        if let Some(hart) = hart {
            state.harts[hart].at_point = true;
        }
        let task = hart.and_then(|hart| state.harts[hart].polling);
        let (true, Some(task)) = (state.faults.has(Fault::Trap), task) else {
            return Fate::Continue;
        };
        let rarity = state.faults.traps();
        if !one_in(&mut state.rng, rarity) {
            return Fate::Continue;
        }
        state.record(hart, Event::Trapped { task });
        Fate::Trap
    }
}
