//! Why a task was not started, or has no result.

use std::any::Any;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a task was not started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The caller's scope was closed, or the host is closing.
    Closed,
    /// This component exports no `hart:exec/entry`, so it has nothing that could be run.
    NoEntry,
    /// A limit was reached; the text names it.
    Limit(String),
    /// The caller has no right to do this; the text names the right, or what to do.
    Denied(String),
    /// Something else; the text is for people.
    Other(String),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str(
                "the task was not started: its scope is closed, so nothing can be spawned here any \
                 more",
            ),
            Self::NoEntry => f.write_str(
                "the task was not started: this component exports no `hart:exec/entry`; build it \
                 with hart-guest, or export that interface; if it was composed, export that of the \
                 part that has the task, in wac: `export part[\"hart:exec/entry@0.1.0\"];`",
            ),
            Self::Limit(limit) => write!(
                f,
                "the task was not started: {limit}; join some tasks before spawning more, or have the \
                 limit raised where the component is run"
            ),
            Self::Denied(text) | Self::Other(text) => {
                write!(f, "the task was not started: {text}")
            }
        }
    }
}

impl Error for SpawnError {}

/// Why a task has no result. `E` is the task's own error type.
///
/// Its text contains that of `E`, which therefore is not its [`source`](Error::source) as well.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError<E = Infallible> {
    /// The task returned an error: this one.
    Failed(E),
    /// The task trapped or panicked. The text has what the panic said, or names the trap; on hart it begins with the
    /// task's name.
    Trapped(String),
    /// It was cancelled, by [`cancel`](crate::Handle::cancel) or because a task above it ended.
    Cancelled,
    /// A scope that it belongs to was [closed](crate::close).
    Closed,
    /// It used all the fuel that it had.
    OutOfFuel,
    /// It asked for more memory than it may use.
    OutOfMemory,
    /// It ran into its timeout or used all its CPU time.
    TimedOut,
    /// Its result was taken before. A [`Handle`](crate::Handle) is consumed by joining, so this is
    /// for what other languages in the same component do.
    AlreadyJoined,
    /// Something else, such as a non-zero `exit` or a result that is too large; for people.
    Other(String),
}

impl<E> JoinError<E> {
    /// The task's own error, if that is why.
    pub fn into_failed(self) -> Option<E> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// The same with the task's own error replaced.
    pub fn map_failed<F>(self, change: impl FnOnce(E) -> F) -> JoinError<F> {
        self.and_failed(|error| JoinError::Failed(change(error)))
    }

    pub(crate) fn and_failed<F>(self, change: impl FnOnce(E) -> JoinError<F>) -> JoinError<F> {
        match self {
            Self::Failed(error) => change(error),
            Self::Trapped(text) => JoinError::Trapped(text),
            Self::Cancelled => JoinError::Cancelled,
            Self::Closed => JoinError::Closed,
            Self::OutOfFuel => JoinError::OutOfFuel,
            Self::OutOfMemory => JoinError::OutOfMemory,
            Self::TimedOut => JoinError::TimedOut,
            Self::AlreadyJoined => JoinError::AlreadyJoined,
            Self::Other(text) => JoinError::Other(text),
        }
    }
}

impl<E: fmt::Display> fmt::Display for JoinError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "the task failed: {error}"),
            Self::Trapped(text) => write!(f, "the task trapped: {text}"),
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::Closed => f.write_str("the task was cancelled because its scope was closed"),
            Self::OutOfFuel => f.write_str(
                "the task used all its fuel; give it more with `Options::fuel` or where the \
                 component is run",
            ),
            Self::OutOfMemory => f.write_str(
                "the task needed more memory than it may use; give it more with `Options::memory` \
                 or where the component is run",
            ),
            Self::TimedOut => f.write_str(
                "the task ran out of time; give it more with `Options::timeout` and \
                 `Options::cpu_time` or where the component is run",
            ),
            Self::AlreadyJoined => f.write_str("the task's result was taken before"),
            Self::Other(text) => write!(f, "the task has no result: {text}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> Error for JoinError<E> {}

/// What joining gives before it is decoded.
pub(crate) type Outcome = Result<Vec<u8>, JoinError<Vec<u8>>>;

/// A task was not started, or has no result: what a function returns that does both.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError<E = Infallible> {
    /// It was not started.
    Spawn(SpawnError),
    /// It has no result.
    Join(JoinError<E>),
}

impl<E: fmt::Display> fmt::Display for TaskError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => error.fmt(f),
            Self::Join(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> Error for TaskError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // Transparent: the text above is already that of what is inside.
        match self {
            Self::Spawn(error) => error.source(),
            Self::Join(error) => error.source(),
        }
    }
}

impl<E> From<SpawnError> for TaskError<E> {
    fn from(error: SpawnError) -> Self {
        Self::Spawn(error)
    }
}

impl<E> From<JoinError<E>> for TaskError<E> {
    fn from(error: JoinError<E>) -> Self {
        Self::Join(error)
    }
}

/// An error that travels between tasks as a text, for tasks whose joiners only show it.
///
/// `?` converts every error to it, with its chain of sources, and `main` may return it too; `std::io::Error`, which serde cannot
/// serialize, is the usual reason to want that.
///
/// ```
/// use hart_guest::{Failure, JoinError, task};
///
/// #[task]
/// fn lines(path: String) -> Result<usize, Failure> {
///     Ok(std::fs::read_to_string(path)?.lines().count())
/// }
///
/// # fn main() -> Result<(), hart_guest::SpawnError> {
/// let error = lines.spawn("/no/such/file".to_string())?.join().unwrap_err();
/// assert!(matches!(error, JoinError::Failed(failure) if failure.text().contains("No such file")));
/// # Ok(())
/// # }
/// ```
// Like `anyhow::Error`, it cannot implement `Error` itself: converting from every `Error` would then
// overlap with converting from itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure(String);

impl Failure {
    /// A failure that says `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same failure with `what` was attempted in front: `what: text`.
    #[must_use]
    pub fn context(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {self}"))
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl<E: Error + 'static> From<E> for Failure {
    /// The text of `error` and its sources. A [`Failure`] with which a task failed stays as it is,
    /// however many tasks hand it on.
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        let joined = any.downcast_ref().or(match any.downcast_ref() {
            Some(TaskError::Join(error)) => Some(error),
            _ => None,
        });
        if let Some(JoinError::Failed(failure)) = joined {
            return Self::clone(failure);
        }
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        Self(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// What `fn main() -> Result<(), Failure>` prints.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a panic said.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked").to_string()
}
