//! The ground: locks, wakers for many, escaping of guests' text, errors of building, spans, and plain data.
//!
//! May use nothing of this crate.

pub(crate) mod beside;
pub(crate) mod block;
pub(crate) mod contained;
pub(crate) mod error;
pub(crate) mod histogram;
pub(crate) mod seconds;
pub(crate) mod setting;
pub(crate) mod signal;
pub(crate) mod span;
pub(crate) mod stats;
pub(crate) mod sync;
pub(crate) mod system;
pub(crate) mod text;
