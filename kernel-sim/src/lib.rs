//! A deterministic machine of virtual harts that runs the hart executor.

mod alloc;
mod cost;
mod faults;
mod machine;
mod oracle;
mod random;
mod run;
mod schedule;
mod sim;
mod stats;
mod switch;
mod trace;

pub use self::{
    faults::{Fault, Faults},
    machine::Machine,
    oracle::{Failure, Oracle},
    run::{Config, MAX_HARTS, Outcome, run},
    schedule::Schedule,
    sim::{Join, Sim, SimGroup, Sleep, TaskBuilder},
    stats::{HartStats, Stats},
    trace::{Event, Record, TaskNumber},
};
