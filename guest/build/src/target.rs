//! The target of the guests.

/// What guests are built for.
pub const TARGET: &str = "wasm32-wasip2";

/// What core modules of WASI 0.1 are built for.
pub(crate) const MODULE_TARGET: &str = "wasm32-wasip1";
