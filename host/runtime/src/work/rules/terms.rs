//! Times and numbers that workers go by.

use std::time::Duration;

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

/// How often a job may be given back by workers that stop before that counts as if they had died with it: so many
/// deliveries the server makes in addition. Chosen: more than a job meets of rolling restarts, and few enough that what no
/// worker can read comes to an end.
pub const RETURNS: u32 = 10;

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
