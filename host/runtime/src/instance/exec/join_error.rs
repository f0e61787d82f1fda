//! What the one who joins a task is told of its end.

use crate::base::text;
use crate::instance::ended::{Ended, Family, family};
use crate::instance::exec::bindings::JoinError;
use crate::instance::exec::resources::TaskHandle;
use crate::instance::guest::Guest;
use crate::quota::kill::Kill;
use std::sync::Arc;

/// Waits until a task has ended, as `waiter`, and takes its result.
pub(super) async fn join(task: &TaskHandle, waiter: &Arc<Guest>) -> Result<Vec<u8>, JoinError> {
    task.guest().wait(waiter).await;
    take(task)
}

/// Takes the result of a task that has ended.
pub(super) fn take(task: &TaskHandle) -> Result<Vec<u8>, JoinError> {
    let ended = task.take().ok_or(JoinError::AlreadyJoined)?;
    for_joiner(ended)
}

/// What the one who joins a task that ended so is told.
fn for_joiner(ended: Ended) -> Result<Vec<u8>, JoinError> {
    Err(match ended {
        Ended::Returned(bytes) => return Ok(bytes),
        Ended::Exit(0) => return Ok(Vec::new()),
        Ended::Failed(bytes) => JoinError::Failed(bytes),
        Ended::Exit(code) => JoinError::Other(format!("the task called exit({code})")),
        Ended::RunFailed => JoinError::Other("the command returned an error".into()),
        Ended::Trapped {
            trap, backtrace, ..
        } if backtrace.is_empty() => JoinError::Trapped(trap),
        Ended::Trapped {
            trap, backtrace, ..
        } => JoinError::Trapped(format!("{trap}\n{backtrace}")),
        Ended::Killed(Kill::Cancelled) => JoinError::Cancelled,
        Ended::Killed(Kill::Closed) => JoinError::Closed,
        Ended::Killed(Kill::Limit(limit)) | Ended::Limit(limit) => match family(limit) {
            Family::Fuel => JoinError::OutOfFuel,
            Family::Memory => JoinError::OutOfMemory,
            Family::Time => JoinError::TimedOut,
            Family::Other => JoinError::Other(limit.to_string()),
        },
        Ended::Instantiate(error) => {
            JoinError::Other(text::line(&format!("cannot instantiate: {error:#}")))
        }
        Ended::Other(message) => JoinError::Other(message),
        Ended::Results(_) => JoinError::Other("the task returned values and no bytes".into()),
    })
}
