//! What a task says about itself: that others may go first, that its scope is closed, that it ends.

use std::io::Write;
use std::num::NonZeroUsize;

use crate::backend;

/// Lets other tasks run: the caller goes to the back of its queue.
///
/// No task has to call this, because the host preempts tasks that compute for long. Call it to let others go first.
pub fn yield_now() {
    backend::yield_now();
}

/// Closes the caller's scope: everything that this task (or `main`) spawned, directly or not, is
/// cancelled.
///
/// Joining those tasks gives [`JoinError::Closed`](crate::JoinError::Closed), unless they had ended before. The caller
/// can no longer spawn ([`SpawnError::Closed`](crate::SpawnError::Closed)) but goes on otherwise. Nothing else is
/// touched. Natively, a scope is a task or else a thread.
pub fn close() {
    backend::close();
}

/// How many tasks of this run can make progress at the same moment: the workers that the host lets
/// it use. Without hart it is 1, and natively the number of cores.
pub fn parallelism() -> NonZeroUsize {
    backend::parallelism()
}

/// Ends the program at once with this exit code. In a task it ends that task alone, and its joiner is told the code.
///
/// `std::process::exit` of a component says only whether all was well: WASI 0.2's `exit` takes no number, so that every
/// code but 0 becomes 1. WASI's `exit-with-code` is not stable, and a component whose standard library does not know it
/// cannot be linked with it; so this asks hart. With the feature `sequential` it is `std::process::exit`, and natively
/// that ends the process, whichever task calls it.
///
/// ```no_run
/// # let found = 0;
/// if found == 0 {
///     hart_guest::exit(3);
/// }
/// ```
pub fn exit(code: u8) -> ! {
    // As `std::process::exit` does. A failure cannot be reported any more.
    let _ = std::io::stdout().flush();
    end(code)
}

#[cfg(all(target_family = "wasm", not(feature = "sequential")))]
fn end(code: u8) -> ! {
    backend::exit(code)
}

#[cfg(not(all(target_family = "wasm", not(feature = "sequential"))))]
fn end(code: u8) -> ! {
    std::process::exit(code.into())
}
