//! A deterministic machine of virtual harts that runs the hart executor.

mod alloc;
mod case;
mod cost;
mod faults;
mod guest;
mod machine;
mod oracle;
mod random;
mod report;
mod run;
mod scale;
mod schedule;
mod seeds;
mod session;
mod shrink;
mod sim;
mod stats;
mod switch;
mod timeline;
mod trace;
mod workload;

pub use self::{
    case::{Case, Template},
    cost::Cost,
    faults::{Fault, Faults},
    guest::{Guest, GuestError, GuestOutcome, SLICE},
    machine::Machine,
    oracle::{Failure, Oracle},
    run::{Config, MAX_HARTS, Outcome, run},
    scale::{Curve, Point},
    schedule::Schedule,
    seeds::{Found, Seeds},
    session::Session,
    shrink::shrink,
    sim::{Join, Sim, SimGroup, Sleep, TaskBuilder},
    stats::{HartStats, Stats},
    trace::{Event, Record, TaskNumber},
    workload::{Part, Shape, Workload},
};
