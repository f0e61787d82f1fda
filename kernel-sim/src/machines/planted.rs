//! Mistakes that tests plant in a worker, to see that they are found.

/// A mistake in what a worker or a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Planted {
    /// The stream is told that a job is over before its result is stored.
    AckBeforeStore,
    /// A result is stored beside one that is there.
    AnyResult,
    /// Leases are not extended.
    NoLease,
    /// A job that is delivered again is run without a look for its result.
    BlindRedelivery,
    /// A job that arrives again while it runs is begun again.
    RunsTwice,
    /// A job that finds no room is begun.
    NoRoom,
    /// While a job runs, nobody looks for its result.
    NoLook,
    /// The dead letter is stored before the result.
    DeadFirst,
    /// Submitters are told the worker's own result, whatever is stored.
    OwnReply,
    /// A job that a worker gives back as it stops counts as one that it did not bring to an end.
    ReturnsCount,
    /// A cancel that a machine has heard is not stored.
    CancelForgotten,
}
