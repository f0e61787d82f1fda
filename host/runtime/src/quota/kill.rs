//! Why a task is ended from outside.

use std::fmt;

use crate::quota::limits::LimitReached;

/// Why a task is ended from outside. The first reason stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kill {
    /// It was cancelled, or the task that it belonged to ended.
    Cancelled,
    /// Its scope or the host was closed.
    Closed,
    /// It reached a limit.
    Limit(LimitReached),
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::Closed => f.write_str("the task's scope was closed"),
            Self::Limit(limit) => limit.fmt(f),
        }
    }
}

/// The error that a guest's call returns when the task was killed while the guest ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed(pub Kill);

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Killed {}
