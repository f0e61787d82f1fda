//! What natively stands for the host: scopes of tasks, and threads that block.

mod blocking;
#[cfg(not(feature = "sequential"))]
mod scope;

pub(crate) use blocking::on_thread;
#[cfg(not(feature = "sequential"))]
pub(crate) use scope::{Scope, current, stop_if_ended, within};
