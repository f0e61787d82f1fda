//! What the cases of the suite share.

/// Its name.
pub(super) const SUITE: &str = "density";

pub(super) const WORKERS: usize = 2;
