//! The live tasks, and the memory that they are in.
//!
//! | file | what it has |
//! | --- | --- |
//! | `pool` | blocks of memory that go back to the core that they came from |
//! | `registry` | the live tasks of one worker, which `close` walks; it owns a pool |
//! | `allocator` | the choice between a pool and an allocator of the user's |
//!
//! The room uses `sync`, `error` and `task`.

mod allocator;
mod pool;
mod registry;

pub(crate) use self::{
    allocator::{Custom, Pooled},
    pool::Block,
    registry::{LockedRegistry, Registry, RegistryEntry},
};
