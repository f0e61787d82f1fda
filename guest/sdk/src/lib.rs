#![doc = include_str!("../README.md")]

mod backend;
mod called;
pub mod concurrent;
mod encoding;
mod error;
mod foreign;
mod handle;
mod local;
#[cfg(not(target_family = "wasm"))]
mod native;
mod options;
mod par_map;
mod registry;
mod scope;
mod task;
mod this_task;
mod time;

pub use called::TaskFuture;
pub use encoding::Portable;
pub use error::{Failure, JoinError, SpawnError, TaskError};
pub use foreign::spawn_foreign;
pub use handle::{Handle, Join, wait_any};
pub use hart_guest_macros::task;
pub use local::{LocalHandle, Sleep, block_on, sleep, spawn_local};
#[cfg(target_family = "wasm")]
pub use local::{Ready, ready, wasi};
pub use options::{Options, Rights};
pub use par_map::{ParMap, par_map};
pub use scope::{Finished, Scope, scope};
pub use task::{Async, Fallible, Kind, Plain, Signature, Task};
pub use this_task::{close, exit, parallelism, yield_now};

/// What the code written by `#[task]` calls. Not for people: it can change in any release.
#[doc(hidden)]
pub mod __private {
    #[cfg(all(target_family = "wasm", not(feature = "sequential")))]
    pub use crate::backend::run_entry;
    pub use crate::registry::Entry;
    pub use crate::task::{argument, fallible, plain};

    #[cfg(target_family = "wasm")]
    pub use wit_bindgen;
}
