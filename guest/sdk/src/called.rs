//! What calling a task's function gives: its result, or a future of it.

use std::future::Future;
use std::pin::Pin;

use crate::local::block_on;

/// A result, or a future of it.
pub enum Called<T, E> {
    Ended(Result<T, E>),
    Future(TaskFuture<Result<T, E>>),
}

impl<T, E> Called<T, E> {
    /// Runs what is left to run on this thread, with [`block_on`].
    pub(crate) fn wait(self) -> Result<T, E> {
        match self {
            Self::Ended(result) => result,
            Self::Future(future) => block_on(future),
        }
    }

    /// Awaits what is left to run.
    pub(crate) async fn finish(self) -> Result<T, E> {
        match self {
            Self::Ended(result) => result,
            Self::Future(future) => future.await,
        }
    }
}

/// What calling a task that is an `async fn` returns.
pub type TaskFuture<T> = Pin<Box<dyn Future<Output = T>>>;
