//! `wasi:filesystem`, as wasmtime-wasi has it, but for what it takes of the host:
//!
//! - Calls wait for a thread of the [host's](crate::sched::io_threads), in turn with those of other runs.
//! - What is open counts as file descriptors of the run, until its handle and all its streams are gone.
//! - What a guest has listed and not read counts as memory of the run.
//! - Named pipes are not opened. That blocks a thread for as long as nobody opens the other end, and nothing ends it: not
//!   the end of the guest, not that of the run. Guests cannot make pipes; whoever may rename files where there is one may
//!   still win a race against the look, and that is what a run's part of the threads is for.

mod listing;
mod streams;
mod streams03;
mod view;
mod wasi02;
mod wasi03;

pub(crate) use wasi02::add_to_linker;
pub(crate) use wasi03::add_to_linker as add_to_linker_async;
