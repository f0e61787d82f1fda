#![doc = include_str!("../README.md")]

mod backend;
pub mod concurrent;
mod encoding;
mod error;
mod handle;
mod local;
mod options;
mod par_map;
mod registry;
mod scope;
mod task;

pub use error::{Failure, JoinError, SpawnError, TaskError};
pub use handle::{Handle, Join, wait_any};
pub use hart_guest_macros::task;
pub use local::{LocalHandle, Sleep, block_on, sleep, spawn_local};
#[cfg(target_family = "wasm")]
pub use local::{Ready, ready, wasi};
pub use options::{Options, Rights};
pub use par_map::{ParMap, par_map};
pub use scope::{Finished, Scope, scope};
pub use task::{Async, Fallible, Kind, Plain, Portable, Signature, Task, TaskFuture};

use std::num::NonZeroUsize;
use std::time::Duration;

/// Lets others run: the caller goes to the back of its queue.
///
/// The host preempts tasks that compute for long, so nobody has to call this; it is for a task that
/// would rather let others go first.
pub fn yield_now() {
    backend::yield_now();
}

/// Closes the caller's scope: everything that this task (or `main`) spawned, directly or not, is
/// cancelled.
///
/// Joining those tasks gives [`JoinError::Closed`], unless they had ended before; whoever called
/// this cannot spawn any more ([`SpawnError::Closed`]) but goes on otherwise. Nothing else is
/// touched. Natively, a scope is a task or else a thread.
pub fn close() {
    backend::close();
}

/// How many tasks of this run can make progress at the same moment: the workers that the host lets
/// it use. Without hart it is 1, and natively the number of cores.
pub fn parallelism() -> NonZeroUsize {
    backend::parallelism()
}

/// For the other side, and for clocks.
fn nanoseconds(time: Duration) -> u64 {
    // 584 years are as good as for ever.
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What the code written by `#[task]` calls. Not for people: it can change in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::registry::Entry;
    pub use crate::task::{argument, fallible, plain};

    /// What the `hart:exec/entry-async.run` that `program!` exports does.
    #[cfg(all(target_family = "wasm", not(feature = "sequential")))]
    pub async fn run_entry(entry: String, input: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
        crate::registry::run(&entry, &input).finish().await
    }

    #[cfg(target_family = "wasm")]
    pub use wit_bindgen;
}
