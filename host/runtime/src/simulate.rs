//! For simulators: a host without threads, on cores and in a time that the caller makes up.
//!
//! [`HostBuilder::build_on`](crate::HostBuilder::build_on) takes a [`Machine`] instead of starting threads.
//! The caller then
//!
//! 1. makes a [`Worker`](crate::executor::Worker) of [`Runtime::executor`](crate::Runtime::executor) for each
//!    of its cores, and steps them in whatever order it likes, all on one thread;
//! 2. calls [`expire`] when the time of [`next_deadline`] has come;
//! 3. replaces the imports that would reach the outside: clocks above all, as wasmtime's own wait in real
//!    time.
//!
//! With [`Preemption::Fuel`](crate::Preemption::Fuel) everything that happens then follows from what the
//! machine does: nothing here reads another clock, draws random numbers or depends on addresses.
//!
//! A machine may let another core go on inside [`Machine::fuel_used`], and inside its platform's functions
//! where no guest is being polled. Anywhere else guest code may be on the stack, and wasmtime wants stacks of
//! one thread to nest.

use std::sync::Arc;

use futures::future::BoxFuture;
use hart_executor::{Group, Platform};

use crate::Host;

/// The cores and the clock of a simulated machine, and what it wants to know of guests.
pub trait Machine: Platform {
    /// A guest has its place in the pool and becomes a task of the executor; what this returns is what the
    /// executor polls, and it must poll `future`.
    fn admitted(
        &self,
        guest: Admitted<'_>,
        future: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, ()>;

    /// The guest that is polled on this core has used so many units of fuel since this was last called for
    /// it. Called between two slices and at its end. [`Fate::Trap`] ends the guest as a trap does.
    fn fuel_used(&self, units: u64) -> Fate;

    /// Whether the system has no memory for what the guest that is polled on this core asks for now: a
    /// memory or a table that grows, or its first one. Then the guest's `memory.grow` fails, or there is no
    /// instance.
    fn refuses_memory(&self) -> bool {
        false
    }
}

/// What becomes of a guest at a preemption point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Continue,
    /// It traps here.
    Trap,
}

/// A guest task as a machine sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Admitted<'a> {
    /// A number that no other task of the host has.
    pub id: u64,
    /// The number of its run.
    pub run: u64,
    /// How deep it is below the root, whose depth is 0.
    pub depth: u32,
    /// Its name. It may come from a guest: untrusted.
    pub name: &'a str,
    /// The group of its run.
    pub group: &'a Group,
}

/// When [`expire`] is to be called next, nanoseconds of the machine's clock; `None` while nothing of the host
/// waits for a time, or if it was not built on a machine.
pub fn next_deadline(host: &Host) -> Option<u64> {
    host.runtime().owner.inner.clock.next_simulated()
}

/// Ends what has run out of time by the machine's clock.
pub fn expire(host: &Host) {
    host.runtime().owner.inner.clock.expire_simulated();
}

/// A fault that tests plant, to see that the machine finds it.
#[cfg(feature = "planted-faults")]
pub mod planted {
    std::thread_local! {
        static PLANTED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }

    /// Admission takes whoever fits, and keeps no places for those below: hosts on this thread.
    pub fn admit_without_reserve(planted: bool) {
        PLANTED.set(planted);
    }

    pub(crate) fn is_planted() -> bool {
        PLANTED.get()
    }
}

pub(crate) type SharedMachine = Arc<dyn Machine>;
