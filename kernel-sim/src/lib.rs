//! A deterministic machine of virtual harts that runs the hart executor.

mod alloc;
mod case;
mod config;
mod cost;
mod faults;
mod guest;
mod late;
mod machine;
pub mod machines;
mod many;
mod network;
mod oracle;
mod random;
mod recording;
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
    config::{Config, IN_DOMAIN, MAX_HARTS},
    cost::Cost,
    faults::{Fault, Faults, Kind},
    guest::{Guest, GuestError, GuestOutcome, Outside, SLICE, Simulated},
    late::{Late, Longest},
    machine::Machine,
    many::{Got, Many},
    network::{End, Exchange, HttpGuest, HttpOutcome, Rate, Request, Requests},
    oracle::{Failure, Oracle},
    recording::{Change, Recording, RecordingError, Replay},
    run::{Outcome, run},
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
