//! Instances that live: one store that is called again and again, each call with a budget.
//!
//! May use [`host`](crate::host) and everything below it.
//!
//! # Protocol
//!
//! 1. An [`Instance`](handle::Instance) is a handle of a [`Queue`](queue::Queue). A [call](call::Call) puts a
//!    [`Job`](job::Job) there. Where no run is, it launches one.
//! 2. The root of that run is [`drive`](drive::drive): it takes a job, does it in its store, and takes the next one. So calls
//!    are first in, first out, and the instance is one schedulable thing. Calls that may go on beside others are taken while
//!    such a one goes on.
//! 3. Whoever takes a job, or gives it up, moves its [phase](job::Phase) on, and only one of them can: the driver, a caller
//!    that is dropped, or the clock.
//! 4. A call that fails, exceeds its budget or loses its caller ends the run: what it left in the instance is in doubt.
//!    When the store is gone, [`Queue::is_over`](queue::Queue::is_over) launches the next run, as [`Restart`](restart::Restart)
//!    says, or fails what waits.
//! 5. A call whose job is gone without an answer waits until its run is over, which says why.
//!
//! | file | what it has |
//! | --- | --- |
//! | `error`, `restart` | why a call has no result; whether there is a next instance |
//! | `life` | one run of an instance, and why it ended |
//! | `job` | a call as the driver sees it |
//! | `queue` | the calls that wait |
//! | `drive` | the driver: one call after the other, or several at once |
//! | `hold` | what keeps an instance |
//! | `call`, `handle`, `builder` | what an embedder has |
//! | `replicas` | several instances of one component |

pub(crate) mod builder;
pub(crate) mod call;
mod drive;
pub(crate) mod error;
pub(crate) mod handle;
mod hold;
mod job;
mod life;
mod queue;
pub(crate) mod replicas;
pub(crate) mod restart;
