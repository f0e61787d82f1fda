//! What the cases of the suite share.

/// Its name.
pub(super) const SUITE: &str = "async";

/// Tasks that one instance holds.
pub(super) const TASKS: u32 = 10_000;
