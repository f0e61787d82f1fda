//! Errors of the executor.

use core::fmt;

/// The executor was closed: it polls nothing any more.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// executor.close();
/// assert!(worker.run(async { 1 }).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the executor was closed; spawn on one that is still open")
    }
}

impl core::error::Error for Closed {}

/// Why a task was not spawned. Its future was dropped.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, SpawnError};
///
/// let executor = Executor::new();
/// executor.close();
/// assert_eq!(executor.try_spawn(async {}).unwrap_err(), SpawnError::Closed);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The executor was closed.
    Closed,
    /// The allocator had no memory for the task.
    Alloc,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => Closed.fmt(f),
            Self::Alloc => f.write_str("no memory for the task; spawn fewer or end some first"),
        }
    }
}

impl core::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Closed => Some(&Closed),
            Self::Alloc => None,
        }
    }
}

impl From<Closed> for SpawnError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}
