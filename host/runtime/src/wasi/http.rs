//! What guests may do with HTTP: which hosts they may ask, and how they are asked.

pub(crate) mod allowed;
pub(crate) mod connect;
pub(crate) mod outgoing;
