//! What a task says about itself.

use alloc::borrow::Cow;
use core::panic::Location;

/// What traces, statistics and errors say of a task.
///
/// # Examples
///
/// ```
/// let executor = hart_executor::Executor::new();
/// let task = executor.build_task().name("reader").kind("io").spawn(async {});
/// let task = task.task();
/// assert_eq!(task.metadata().name.as_deref(), Some("reader"));
/// assert_eq!(task.metadata().kind, "io");
/// assert!(task.metadata().location.file().ends_with(".rs"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metadata {
    /// Its name, if it was given one.
    pub name: Option<Cow<'static, str>>,
    /// What sort of task it is; `"task"` if nobody said.
    pub kind: &'static str,
    /// Where it was spawned.
    pub location: &'static Location<'static>,
}

impl Metadata {
    /// No name, kind `"task"`, spawned by the caller.
    #[track_caller]
    pub fn new() -> Self {
        Self {
            name: None,
            kind: "task",
            location: Location::caller(),
        }
    }
}

impl Default for Metadata {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}
