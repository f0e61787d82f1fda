//! What a task says about itself.

use alloc::{borrow::Cow, boxed::Box};
use core::{fmt, panic::Location};

/// What traces, statistics and errors say of a task. Two words, and an allocation where a name or a kind was given.
///
/// # Examples
///
/// ```
/// let executor = hart_executor::Executor::new();
/// let task = executor.build_task().name("reader").kind("io").spawn(async {});
/// let task = task.task();
/// assert_eq!(task.metadata().name(), Some("reader"));
/// assert_eq!(task.metadata().kind(), "io");
/// assert!(task.metadata().location().file().ends_with(".rs"));
/// ```
#[derive(Clone)]
pub struct Metadata {
    given: Option<Box<Given>>,
    location: &'static Location<'static>,
}

#[derive(Clone)]
struct Given {
    name: Option<Cow<'static, str>>,
    kind: &'static str,
}

impl Metadata {
    /// No name, kind `"task"`, spawned by the caller.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::task::Metadata;
    ///
    /// let metadata = Metadata::new();
    /// assert_eq!((metadata.name(), metadata.kind()), (None, "task"));
    /// ```
    #[track_caller]
    pub fn new() -> Self {
        Self {
            given: None,
            location: Location::caller(),
        }
    }

    /// Its name, if it was given one.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut metadata = hart_executor::task::Metadata::new();
    /// metadata.set_name("reader");
    /// assert_eq!(metadata.name(), Some("reader"));
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.given.as_ref()?.name.as_deref()
    }

    /// What sort of task it is; `"task"` if nobody said.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(hart_executor::task::Metadata::new().kind(), "task");
    /// ```
    pub fn kind(&self) -> &'static str {
        self.given.as_ref().map_or("task", |given| given.kind)
    }

    /// Where it was spawned.
    ///
    /// # Examples
    ///
    /// ```
    /// let (metadata, line) = (hart_executor::task::Metadata::new(), line!());
    /// assert_eq!(metadata.location().line(), line);
    /// ```
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// Gives it a name.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut metadata = hart_executor::task::Metadata::new();
    /// metadata.set_name(format!("connection {}", 7));
    /// assert_eq!(metadata.name(), Some("connection 7"));
    /// ```
    pub fn set_name(&mut self, name: impl Into<Cow<'static, str>>) {
        self.given().name = Some(name.into());
    }

    /// Says what sort of task it is.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut metadata = hart_executor::task::Metadata::new();
    /// metadata.set_kind("io");
    /// assert_eq!(metadata.kind(), "io");
    /// ```
    pub fn set_kind(&mut self, kind: &'static str) {
        self.given().kind = kind;
    }

    /// Says where it was spawned.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::panic::Location;
    ///
    /// let here = Location::caller();
    /// let mut metadata = hart_executor::task::Metadata::new();
    /// metadata.set_location(here);
    /// assert_eq!(metadata.location(), here);
    /// ```
    pub fn set_location(&mut self, location: &'static Location<'static>) {
        self.location = location;
    }

    fn given(&mut self) -> &mut Given {
        self.given.get_or_insert_with(|| {
            Box::new(Given {
                name: None,
                kind: "task",
            })
        })
    }
}

impl Default for Metadata {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("name", &self.name())
            .field("kind", &self.kind())
            .field("location", &self.location)
            .finish()
    }
}
