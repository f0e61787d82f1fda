//! Three ways to run a task behind one set of names; all of them see bytes only.
//!
//! | name | what |
//! | --- | --- |
//! | `RawTask` | a spawned task: `id`, `is_finished`, `join`, `join_async`, `cancel`; dropping detaches |
//! | `Prepared` | [`Options`](crate::Options) in the form that `spawn` wants, to be used many times |
//! | `spawn`, `wait_any`, `yield_now`, `close`, `parallelism` | as in `hart:exec/tasks` |

#[cfg(all(target_family = "wasm", not(feature = "sequential")))]
#[path = "backend/component.rs"]
mod chosen;

#[cfg(feature = "sequential")]
#[path = "backend/sequential.rs"]
mod chosen;

#[cfg(not(any(target_family = "wasm", feature = "sequential")))]
#[path = "backend/threads.rs"]
mod chosen;

#[cfg(all(target_family = "wasm", not(feature = "sequential")))]
pub use chosen::run_entry;
pub(crate) use chosen::{Prepared, RawTask, close, parallelism, spawn, wait_any, yield_now};
#[cfg(all(target_family = "wasm", not(feature = "sequential")))]
pub(crate) use chosen::{exit, spawn_named};
