//! Hostile guests beside a victim: what the tests of this package share.
//!
//! A [`Ground`] is an embedder's host with a victim on it. The victim computes, uses files, spawns and joins, and counts its
//! work. A test measures what the victim does alone and then starts hostile guests. It asserts that the victim still gets its
//! work done, and that the process holds no more memory than the guests' limits allow. Each test runs in a process of its own
//! ([`alone`]), because it measures the process's peak of memory.

mod alone;
mod ground;
mod memory;

pub use alone::alone;
pub use ground::{Ground, Rate, guest};
pub use memory::Memory;

/// One MiB.
pub const MIB: u64 = 1 << 20;
