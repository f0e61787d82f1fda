//! What a task says about itself.

use alloc::{borrow::Cow, boxed::Box};
use core::{fmt, panic::Location};

/// What traces, statistics and errors say of a task. Two words, and an allocation if a name or a kind was given.
///
/// # Examples
///
/// ```
/// use hart_executor::task::Metadata;
///
/// let mut metadata = Metadata::new();
/// assert_eq!((metadata.name(), metadata.kind()), (None, "task"));
/// metadata.set_name(format!("connection {}", 7));
/// metadata.set_kind("io");
/// assert_eq!((metadata.name(), metadata.kind()), (Some("connection 7"), "io"));
/// assert!(metadata.location().file().ends_with(".rs"));
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

/// The kind of a task that was given none.
const DEFAULT_KIND: &str = "task";

impl Metadata {
    /// No name, kind `"task"`, spawned by the caller.
    #[track_caller]
    pub fn new() -> Self {
        Self {
            given: None,
            location: Location::caller(),
        }
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.given.as_ref()?.name.as_deref()
    }

    /// What sort of task it is; `"task"` if it was given none.
    pub fn kind(&self) -> &'static str {
        self.given.as_ref().map_or(DEFAULT_KIND, |given| given.kind)
    }

    /// Where it was spawned.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// Gives it a name.
    pub fn set_name(&mut self, name: impl Into<Cow<'static, str>>) {
        self.given().name = Some(name.into());
    }

    /// Says what sort of task it is.
    pub fn set_kind(&mut self, kind: &'static str) {
        self.given().kind = kind;
    }

    /// Says where it was spawned.
    pub fn set_location(&mut self, location: &'static Location<'static>) {
        self.location = location;
    }

    fn given(&mut self) -> &mut Given {
        self.given.get_or_insert_with(|| {
            Box::new(Given {
                name: None,
                kind: DEFAULT_KIND,
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
