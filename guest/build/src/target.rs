//! The target of the guests.

/// What guests are built for.
pub const TARGET: &str = "wasm32-wasip2";
