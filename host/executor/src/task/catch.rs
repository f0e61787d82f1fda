//! Running foreign code: polls, drops and wakes, any of which may panic.
//!
//! Without `std` a panic ends the program. Under loom a panic is how a model reports a failure, so it passes through.

use super::join_error::JoinError;

/// Runs `f`. Its panic becomes the error.
#[cfg(all(feature = "std", not(loom)))]
pub(super) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, JoinError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).map_err(JoinError::panicked)
}

#[cfg(not(all(feature = "std", not(loom))))]
pub(super) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, JoinError> {
    Ok(f())
}

/// Runs `f`, and discards its panic: nobody is there to be told of it.
pub(crate) fn quietly(f: impl FnOnce()) {
    let mut result = catch(f);
    // The payload may panic when it is dropped, and so may that panic's payload. The second one is leaked.
    if let Err(panic) = result {
        result = catch(|| drop(panic));
    }
    core::mem::forget(result);
}
