//! What keeps an instance.

use std::sync::Arc;

use super::queue::Queue;

/// Handles and calls have it: when the last one drops it, what waits is done, and then the instance goes.
pub(super) struct Hold<T: Send + 'static>(pub(super) Arc<Queue<T>>);

impl<T: Send + 'static> Drop for Hold<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}
