//! A task of a group, for whoever spawned it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hart_executor::JoinHandle;

use crate::base::block;
use crate::quota::kill::Kill;
use crate::quota::limits::LimitReached;
use crate::sched::task::control::Control;
use crate::sched::task::driven::Stop;

/// A task of a group: a future of its output. Dropping it detaches.
#[must_use = "dropping it detaches the task and loses its output"]
pub struct Task<T> {
    pub(super) state: State<T>,
}

pub(super) enum State<T> {
    Spawned {
        control: Arc<Control>,
        handle: JoinHandle<Result<T, Stop>>,
    },
    Refused(TaskError),
}

/// Why a task has no output.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// It was cancelled.
    Cancelled,
    /// The runtime was closed.
    Closed,
    /// It reached a limit of time or of memory, or could not start because of one. What its future made of the guest's
    /// error is gone then. For other limits see [`Cx::limit_reached`](crate::Cx::limit_reached).
    Limit(LimitReached),
    /// It panicked; the text is the panic's message.
    Panicked(String),
}

// === impl Task ===

impl<T> Task<T> {
    /// Ends the task: at once if it does not run, at the guest's next preemption point if it does. A
    /// task that has ended keeps its output.
    pub fn cancel(&self) {
        if let State::Spawned { control, .. } = &self.state {
            control.kill(Kill::Cancelled);
            control.reap_now();
        }
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        match &self.state {
            State::Spawned { handle, .. } => handle.is_complete(),
            State::Refused(_) => true,
        }
    }

    /// Blocks this thread until the task has ended.
    ///
    /// # Errors
    ///
    /// As the future.
    pub fn wait(self) -> Result<T, TaskError> {
        block::on(self)
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().state {
            State::Refused(error) => Poll::Ready(Err(error.clone())),
            State::Spawned { control, handle } => {
                Pin::new(handle).poll(cx).map(|joined| match joined {
                    Ok(Ok(output)) => Ok(output),
                    Ok(Err(Stop::Killed(kill))) => Err(kill.into()),
                    Ok(Err(Stop::Panicked(text))) => Err(TaskError::Panicked(text)),
                    Ok(Err(Stop::Trapped)) => Err(TaskError::Panicked("a simulated trap".into())),
                    Err(error) if error.is_closed() => Err(TaskError::Closed),
                    Err(error) if error.is_panic() => {
                        Err(TaskError::Panicked("in a destructor".into()))
                    }
                    Err(_) => Err(control
                        .killed()
                        .map_or(TaskError::Cancelled, TaskError::from)),
                })
            }
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("finished", &self.is_finished())
            .finish()
    }
}

// === impl TaskError ===

impl From<Kill> for TaskError {
    fn from(kill: Kill) -> Self {
        match kill {
            Kill::Cancelled => Self::Cancelled,
            Kill::Closed => Self::Closed,
            Kill::Limit(limit) => Self::Limit(limit),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::Closed => f.write_str("the runtime was closed"),
            Self::Limit(limit) => limit.fmt(f),
            Self::Panicked(text) => write!(f, "the task panicked: {text}"),
        }
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Limit(limit) => Some(limit),
            _ => None,
        }
    }
}
