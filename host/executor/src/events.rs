//! What workers do, as events for `tracing`.
//!
//! Without the feature they are nothing. With it, an event without a listener costs a load. The subscriber is foreign
//! code: no event is sent under a lock.

use crate::platform::WorkerId;

/// Defines a function that sends an event of a target, with its arguments as fields.
macro_rules! event {
    ($(#[$doc:meta])* $name:ident, $target:literal, $message:literal, $($field:ident: $type:ty),*) => {
        $(#[$doc])*
        #[inline]
        pub(crate) fn $name($($field: $type),*) {
            #[cfg(feature = "tracing")]
            tracing::trace!(target: $target, $($field,)* $message);
            #[cfg(not(feature = "tracing"))]
            let _ = ($($field,)*);
        }
    };
}

event! {
    /// A pass of a worker is over, which has polled so many tasks.
    tick, "hart::worker", "tick", worker: WorkerId, polled: usize, has_remaining: bool
}

event! {
    /// A worker took so many tasks from elsewhere.
    steal, "hart::worker", "steal", worker: WorkerId, tasks: usize
}

event! {
    /// A worker has nothing to do, until this time if there is one.
    sleep, "hart::worker", "sleep", worker: WorkerId, until: Option<u64>
}

event! {
    /// A worker goes on after that.
    wake, "hart::worker", "wake", worker: WorkerId
}

event! {
    /// A task was woken and is about to be queued: by code that this worker runs, or outside of every worker.
    task_wake, "hart::task", "wake", task: u64, worker: Option<WorkerId>
}

event! {
    /// What came of a task that was taken from a queue: `ready`, `pending`, `woken` meanwhile, `cancelled` meanwhile, or
    /// `skipped` because it had been cancelled before.
    poll, "hart::task", "poll", task: u64, worker: WorkerId, result: &'static str
}
