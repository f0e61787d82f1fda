//! A task that drives a guest: how it is controlled, polled and armed.
//!
//! | type | meaning |
//! | --- | --- |
//! | [`Control`] | one task's kill switch, memory and CPU time, shared by everyone who knows the task |
//! | [`Driven`] | the future that polls it: tells the clock, keeps the fuel slices, catches panics |
//! | [`arm`] | the preemption hook and the limiter in a store |
//! | [`Kill`] | why a task is being ended from outside |

mod arm;
mod control;
mod current;
mod driven;
mod fuel;
mod limiter;

pub(crate) use arm::{arm, arm_with};
use control::Trigger;
pub(crate) use control::{Control, TaskLimits};
pub use control::{Kill, Killed};
pub(crate) use driven::{Driven, Stop, yield_once};
pub(crate) use fuel::FuelWaker;
pub use limiter::Limited;

/// Ends the task that is being polled on this thread, at the end of the poll.
pub(crate) fn kill_current(kill: Kill) {
    current::with(|control| {
        if let Some(control) = control {
            control.kill(kill);
        }
    });
}
