//! Locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a lock holds, also where a thread panicked that had it.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
