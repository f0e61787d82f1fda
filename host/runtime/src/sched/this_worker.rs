//! Which worker this thread is.

use std::cell::Cell;

thread_local! {
    static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The number of the worker that this thread is.
pub(crate) fn this_worker() -> Option<usize> {
    WORKER.get()
}

/// This thread is a worker from now on, or is none any more.
pub(crate) fn set_this_worker(worker: Option<usize>) {
    WORKER.set(worker);
}
