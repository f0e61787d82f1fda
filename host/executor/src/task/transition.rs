//! What each change of a task's state asks its caller to do.

/// What a worker does with a task that it took from a queue.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StartPoll {
    /// Poll it; the queue's reference is now the poller's.
    Poll,
    /// It was cancelled or is being cancelled: drop the queue's reference.
    Skip,
}

/// What a poller does after a poll that returned `Pending`.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FinishPoll {
    /// Nothing; its reference is released.
    Idle,
    /// It was woken meanwhile: queue it; the reference is the queue's.
    Requeue,
    /// It was cancelled meanwhile: drop the future and complete it.
    Cancel(Reason),
}

/// What a wake does.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Nothing: it is queued, will be polled again, or is complete.
    Nothing,
    /// Put it in a queue; the reference is the queue's.
    Schedule,
}

/// What a canceller does.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// It was idle or queued, and is now the canceller's: drop the future and complete it.
    DropFuture,
    /// It is being polled; the poller will do it.
    Requested,
    /// It has completed: nothing changes.
    TooLate,
}

/// Why a task was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Cancelled,
    Closed,
}

/// What the completer does.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Completed {
    /// Nothing more: its references are released.
    Done(Released),
    /// There is no handle: drop the result, then release the references.
    DropOutput,
    /// Wake the waker in the field, call [`State::release_join_waker`](super::state::State::release_join_waker), then release the references.
    WakeJoiner {
        /// There is no handle: drop the result, too.
        drop_output: bool,
    },
}

/// What a polled join handle may do.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// The result may be taken.
    Complete,
    /// The waker field is the handle's: write it, then call [`State::publish_join_waker`](super::state::State::publish_join_waker).
    WriteWaker,
    /// The waker field is set and may be compared, not written.
    CompareWaker,
}

/// What a dropped join handle does; in the end it releases its reference.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HandleDropped {
    pub(crate) drop_output: bool,
    pub(crate) drop_waker: bool,
}

/// What a dropped join handle does if it has nothing in the waker field.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Detached {
    /// Nothing more: its reference is released.
    Done(Released),
    /// The task is complete: see [`State::drop_handle`](super::state::State::drop_handle).
    Complete,
}

/// Whether a released reference was the last one.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Released {
    Shared,
    /// Free the task.
    Last,
}
