//! Why a run has no outcome.

use std::{error, fmt};

use crate::quota::limits::LimitReached;

/// Why a run has no outcome.
#[non_exhaustive]
pub enum RunError {
    /// The run could not start: a directory that is not there, a component without the export that
    /// was to be called, arguments that do not fit.
    Setup(String),
    /// The guest could not be instantiated.
    Instantiate(wasmtime::Error),
    /// The root trapped.
    Trapped {
        /// The trap, in one line.
        trap: String,
        /// The wasm backtrace, a frame per line, without control characters. Empty where there is none.
        backtrace: String,
        /// What wasmtime said.
        source: Option<wasmtime::Error>,
    },
    /// [`Run::cancel`](crate::Run::cancel) ended it.
    Cancelled,
    /// The host was closed.
    Closed,
    /// It used all its fuel.
    OutOfFuel(LimitReached),
    /// It asked for more memory than it may use.
    OutOfMemory(LimitReached),
    /// It ran into a limit of time.
    TimedOut(LimitReached),
    /// It reached some other limit.
    Limit(LimitReached),
    /// Something else, such as a host function that panicked.
    Other(String),
}

impl RunError {
    /// The exit code a command line gives it: 134 for a trap, 124 for a limit of time, 130 when
    /// cancelled, 2 when it never started, and 1 for everything else.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Trapped { .. } => 134,
            Self::TimedOut(_) => 124,
            Self::Cancelled => 130,
            Self::Setup(_) => 2,
            _ => 1,
        }
    }

    /// The limit that was reached, if that is what happened.
    pub fn limit(&self) -> Option<LimitReached> {
        match self {
            Self::OutOfFuel(limit)
            | Self::OutOfMemory(limit)
            | Self::TimedOut(limit)
            | Self::Limit(limit) => Some(*limit),
            _ => None,
        }
    }
}

/// What [`Display`](fmt::Display) says, with the variant's name, and the backtrace after a trap: a `main` that
/// returns the error shows this, so nothing of a guest's may be in it as it came.
impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = match self {
            Self::Setup(_) => "Setup",
            Self::Instantiate(_) => "Instantiate",
            Self::Trapped { .. } => "Trapped",
            Self::Cancelled => "Cancelled",
            Self::Closed => "Closed",
            Self::OutOfFuel(_) => "OutOfFuel",
            Self::OutOfMemory(_) => "OutOfMemory",
            Self::TimedOut(_) => "TimedOut",
            Self::Limit(_) => "Limit",
            Self::Other(_) => "Other",
        };
        write!(f, "{variant}: {self}")?;
        match self {
            Self::Trapped { backtrace, .. } if !backtrace.is_empty() => write!(f, "\n{backtrace}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(detail) | Self::Other(detail) => f.write_str(detail),
            Self::Instantiate(source) => write!(
                f,
                "cannot instantiate: {}",
                crate::base::text::line(&format!("{source:#}"))
            ),
            Self::Trapped { trap, .. } => write!(f, "trapped: {trap}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Closed => f.write_str("the host was closed"),
            Self::OutOfFuel(limit) => write!(f, "out of fuel: {limit}"),
            Self::OutOfMemory(limit) => write!(f, "out of memory: {limit}"),
            Self::TimedOut(limit) => write!(f, "out of time: {limit}"),
            Self::Limit(limit) => write!(f, "{limit}"),
        }
    }
}

impl error::Error for RunError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Instantiate(source) => source.source(),
            Self::Trapped { source, .. } => source.as_ref()?.source(),
            Self::OutOfFuel(limit)
            | Self::OutOfMemory(limit)
            | Self::TimedOut(limit)
            | Self::Limit(limit) => Some(limit),
            _ => None,
        }
    }
}
