//! Tests of the host crate: one program, because linking one takes long.
#![expect(unreachable_pub, reason = "nothing here is for others")]

mod admission;
mod cache;
mod concurrent;
mod dense;
mod ends;
mod growth;
mod isolation;
mod layers;
mod limits;
mod load;
mod neighbours;
mod pool;
mod preemption;
mod reuse;
mod soak;
mod support;
mod tasks;
