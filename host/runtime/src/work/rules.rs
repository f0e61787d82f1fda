//! What a worker does with the jobs that it is sent: decisions alone, without a connection, a thread or a clock.
//!
//! An [`Intake`] has the jobs of one app that a worker holds: it says how many more to ask for, and what to do with a message
//! that arrives. A [`Course`] is one delivery of a job: it is told what happened, and says what to do next. The worker drives
//! both over NATS; the machines of `hart-sim` drive the same code over a network that loses, repeats and delays.
//!
//! ```
//! use hart_host::work::rules::{Action, Course, Event, Look, Orders};
//!
//! // A job that was delivered before may have its result.
//! let mut course = Course::new(2, 5);
//! let orders = Orders::default();
//! assert_eq!(course.begin(orders), Action::Look);
//! assert_eq!(course.on(Event::Looked(Look::Nothing), orders), Action::Run);
//! ```

mod course;
mod intake;

use std::time::Duration;

pub use course::{Action, Course, End, Event, Look, Orders, Stored, Verdict};
pub use intake::{Arrival, Intake};

/// How long a request for messages is good for.
pub const EXPIRY: Duration = Duration::from_secs(30);

/// How often the connection is looked at, and what is broken is tried again.
pub const LOOK: Duration = Duration::from_millis(500);

/// How long a job that found no room waits for its next worker.
pub const NO_ROOM: Duration = Duration::from_secs(1);

/// How long the server may take for an answer.
pub const ANSWER: Duration = Duration::from_secs(5);

/// How long what is given back at the end may take to reach the server.
pub const FAREWELL: Duration = Duration::from_secs(2);

/// Deliveries that the server makes beyond those that a worker allows: the first of them has the worker give a job up.
/// They end for what no worker can read.
pub const SPARE: u32 = 3;

/// How often a lease is extended: so many times in its length.
pub const EXTENDS: u32 = 3;

/// Which jobs the server no longer delivers though they are in the stream: all up to this number in it. `delivered` is the
/// highest number that was delivered, and `ack_floor` the one up to which the server waits for no answer; it waits for
/// `pending` answers.
///
/// The server says of each such job that it is delivered no more, but only once, to a worker that may die just then.
pub fn used_up_to(delivered: u64, ack_floor: u64, pending: usize) -> u64 {
    match pending {
        0 => delivered,
        _ => ack_floor,
    }
}
