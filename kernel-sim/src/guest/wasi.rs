//! What a guest sees of the outside: clocks, sleeps and random numbers of the machine.
//!
//! Arguments, environment and streams are what the run was given; the rest of WASI is wasmtime's own, without
//! a network. Its clocks wait in real time whatever clock they show, so this is an implementation of the
//! interface itself.

pub(super) mod p2;
pub(super) mod p3;
mod shared;
mod view;

pub use view::Outside;
