//! A growth that is not known to have gone well.

use std::sync::atomic::AtomicU64;

/// A growth of the instance that the limiter agreed to. wasmtime says when it fails, not when it succeeds.
#[derive(Default)]
pub(super) struct Growing {
    /// Bytes that it adds.
    pub(super) bytes: AtomicU64,
    /// Those of them that were reserved for it.
    pub(super) reserved: AtomicU64,
}
