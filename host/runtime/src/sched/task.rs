//! A task that drives a guest: how it is controlled, polled and armed.
//!
//! | type | meaning |
//! | --- | --- |
//! | [`Control`](control::Control) | one task's kill switch, memory and CPU time, shared by everyone who knows the task |
//! | [`Driven`](driven::Driven) | the future that polls it: tells the clock, keeps the fuel slices, catches panics |
//! | [`arm`](arm::arm) | the preemption hooks and the limiter in a store |

pub(crate) mod arm;
mod call_budget;
pub(crate) mod control;
mod cpu;
pub(crate) mod current;
pub(crate) mod driven;
mod growing;
mod host_call;
pub(crate) mod limiter;
mod memory;
mod point;
pub(crate) mod reached;
mod wake;
