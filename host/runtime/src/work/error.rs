//! What goes wrong between a program and its queue.

use std::fmt;

use crate::base::text;
use crate::instance::error::RunError;

/// Why something could not be done with a queue.
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkError {
    /// A name that cannot be one, or a job that says something impossible.
    Invalid(String),
    /// An app that cannot run: its component has no tasks, or cannot be granted what it is to have.
    App {
        /// Which one.
        app: String,
        /// Why.
        source: RunError,
    },
    /// The server did not do what it was asked for.
    Server(String),
}

impl WorkError {
    pub(super) fn name(what: &str, name: &str) -> Self {
        Self::Invalid(format!(
            "`{}` is no name of {what}; use up to 64 letters, digits, `-` and `_`",
            text::name(name)
        ))
    }

    /// What the server, or the way to it, says.
    pub(super) fn server(what: &str, error: impl fmt::Display) -> Self {
        Self::Server(text::line(&format!("{what}: {error}")))
    }
}

impl fmt::Display for WorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(what) | Self::Server(what) => f.write_str(what),
            Self::App { app, source } => write!(f, "the app `{app}`: {source}"),
        }
    }
}

impl std::error::Error for WorkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::App { source, .. } => Some(source),
            Self::Invalid(_) | Self::Server(_) => None,
        }
    }
}
