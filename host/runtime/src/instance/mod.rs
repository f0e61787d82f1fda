//! The life of a guest task, from the wait for its slots to what its joiners learn.
//!
//! May use every room but [`runtime`](crate::runtime) and [`host`](crate::host).

pub(crate) mod admission;
pub(crate) mod away;
pub(crate) mod blocking;
pub(crate) mod cap;
pub(crate) mod capability;
pub(crate) mod clocks;
pub(crate) mod elsewhere;
pub(crate) mod ended;
pub(crate) mod ending;
pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod files;
pub(crate) mod granted;
pub(crate) mod guest;
pub(crate) mod handles;
pub(crate) mod held_files;
pub(crate) mod held_http;
pub(crate) mod http;
pub(crate) mod info;
pub(crate) mod keyvalue;
pub(crate) mod lifecycle;
pub(crate) mod program;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod run_slots;
pub(crate) mod sockets;
pub(crate) mod store;
pub(crate) mod streams;
pub(crate) mod warm;
