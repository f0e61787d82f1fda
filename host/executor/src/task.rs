//! Tasks: futures that the executor polls, and the handles to them.

mod builder;
mod header;
mod join;
mod memory;
mod metadata;
mod raw;
mod state;
mod waker;

pub use self::{
    builder::TaskBuilder,
    header::TaskRef,
    join::{JoinError, JoinHandle},
    metadata::Metadata,
};
pub(crate) use self::{
    header::{Header, Ran},
    raw::{SpawnParts, allocate, task_layout},
    state::Reason,
};

use core::fmt;

/// Names a task: no other task of the same executor has had the same id.
///
/// # Examples
///
/// ```
/// let executor = hart_executor::Executor::new();
/// assert_ne!(executor.spawn(async {}).id(), executor.spawn(async {}).id());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub(crate) usize);

impl Id {
    /// The id as a number, for logs and traces.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let id = executor.spawn(async {}).id();
    /// assert_eq!(id.to_string(), id.as_u64().to_string());
    /// ```
    pub fn as_u64(self) -> u64 {
        self.0 as u64
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task::Id({})", self.0)
    }
}
