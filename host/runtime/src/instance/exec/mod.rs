//! `hart:exec`: the WIT, and what guests call.
//!
//! May use as the room around it.

mod anywhere;
pub(crate) mod bindings;
pub(crate) mod join_error;
pub(crate) mod names;
pub(crate) mod resources;
mod spawn;
pub(crate) mod tasks;
pub(crate) mod tasks_async;
