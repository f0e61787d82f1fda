//! Values of the embedder's whose destructors may panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A value that may be dropped where a panic would take others with it: the host goes on, and the log says so.
///
/// Others are a guest's store, for one: a second panic while it is unwound ends the process.
pub(crate) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// The value, once.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
            tracing::error!("a destructor panicked while a task that had not started was dropped");
        }
    }
}
