//! `wasi:sockets`, as wasmtime-wasi has it, but for what it takes of the host:
//!
//! - Sockets count as file descriptors of the run, those that are accepted too, until their handles and all their streams
//!   are gone. One that listens counts twice: the next connection may be accepted before the guest asks for it.
//! - Names are looked up on threads of the [host's](crate::sched::io_threads) that are for that only, in turn between runs.

mod door;
mod drops;
mod names;
mod wasi02;
mod wasi03;

pub(crate) use wasi02::add_to_linker;
pub(crate) use wasi03::add_to_linker as add_to_linker_async;
