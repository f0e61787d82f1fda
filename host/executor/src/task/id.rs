//! The name of a task.

use core::fmt;

/// Names a task: no other task of the same executor has had the same id.
///
/// # Examples
///
/// ```
/// let executor = hart_executor::Executor::new();
/// let (first, second) = (executor.spawn(async {}).id(), executor.spawn(async {}).id());
/// assert_ne!(first, second);
/// assert_eq!(first.to_string(), first.as_u64().to_string());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub(crate) usize);

impl Id {
    /// The id as a number, for logs and traces.
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
