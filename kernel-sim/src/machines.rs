//! Several machines that take jobs from one stream, as `hart work` does: a network that loses, repeats and delays; machines
//! that crash, stand still and are cut off; and a model of the stream.
//!
//! What a worker decides is the code of the real worker, [`hart_host::work::rules`]. Its jobs are none: a run takes a time
//! that the seed decides. NATS is a model, too: `src/machines/stream.rs` says what it promises.
//!
//! Faults come for a minute. Then nothing goes wrong any more, and everything has to come to its end: each job has one
//! result, none is lost, and what was cancelled runs nowhere. [`Oracle`] has all promises.

mod case;
mod client;
mod fault;
mod ledger;
mod log;
mod plan;
mod planted;
mod promises;
mod run;
mod space;
mod stream;
mod wire;
mod worker;

pub use self::case::{Case, Outcome, Stats, Template};
pub use self::fault::Fault;
pub use self::log::{Event, Record};
pub use self::planted::Planted;
pub use self::promises::{Failure, Oracle};
pub use self::wire::{Found, JobNumber, Message, Node, RequestNumber};
