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

use crate::host::handle::Host;
#[cfg(feature = "planted-faults")]
pub use crate::sched::machine::planted;
pub use crate::sched::machine::{Admitted, Fate, Machine};

/// When [`expire`] is to be called next, nanoseconds of the machine's clock; `None` while nothing of the host
/// waits for a time, or if it was not built on a machine.
pub fn next_deadline<T: Send + 'static>(host: &Host<T>) -> Option<u64> {
    host.runtime().owner.inner.clock.next_simulated()
}

/// Ends what has run out of time by the machine's clock.
pub fn expire<T: Send + 'static>(host: &Host<T>) {
    host.runtime().owner.inner.clock.expire_simulated();
}
