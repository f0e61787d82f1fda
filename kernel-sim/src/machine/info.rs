//! What the machine notes of each task and of each group.

use std::borrow::Cow;

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    Panicked,
    /// Its future was dropped before that.
    Dropped,
}

/// A name: known, or from a guest.
pub(crate) type Name = Cow<'static, str>;

#[derive(Clone, Debug)]
pub(crate) struct TaskInfo {
    pub(crate) name: Name,
    pub(crate) group: Option<u32>,
    /// Spawned or woken, and not polled since.
    pub(crate) queued: bool,
    pub(crate) polling: bool,
    /// The last poll's result, until the future is dropped.
    pub(super) ready: Option<Ending>,
    pub(crate) ending: Option<Ending>,
    /// Its spawn has not returned yet.
    pub(crate) spawning: bool,
    pub(crate) cancelled: bool,
    /// A guest: its host ends it when it sees fit.
    pub(crate) guest: bool,
    /// It may wait forever.
    pub(crate) daemon: bool,
    /// How often it was queued.
    pub(super) times: u32,
    /// Where it was polled last.
    pub(super) last: Option<usize>,
}

/// A group's account with the machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupInfo {
    pub(crate) name: String,
    /// Nanoseconds that its tasks spent.
    pub(crate) spent: u64,
    pub(crate) polls: u64,
}
