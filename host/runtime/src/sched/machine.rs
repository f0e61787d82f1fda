//! The machine that a simulator makes up; see [`simulate`](crate::simulate).

use std::sync::Arc;

use futures::future::BoxFuture;
use hart_executor::{Group, Platform};

/// The cores and the clock of a simulated machine, and what it wants to know of guests.
pub trait Machine: Platform {
    /// A guest has its slot in the pool and becomes a task of the executor; what this returns is what the
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

/// A fault that tests plant, to see that the machine finds it.
#[cfg(feature = "planted-faults")]
pub mod planted {
    std::thread_local! {
        static PLANTED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }

    /// Admission takes whoever fits, and keeps no slots for those below: hosts on this thread.
    pub fn admit_without_reserve(planted: bool) {
        PLANTED.set(planted);
    }

    pub(crate) fn is_planted() -> bool {
        PLANTED.get()
    }
}

pub(crate) type SharedMachine = Arc<dyn Machine>;
