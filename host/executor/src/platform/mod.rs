//! The seam between the executor and the machine under it.
//!
//! Everything that the executor needs from outside is here: putting a worker to sleep and waking it,
//! two clocks, and a cell per core that says which executor's which worker runs there. Behind it may
//! be OS threads ([`StdPlatform`]), simulated cores, a guest's single thread, or bare metal.
//!
//! | file | what it has |
//! | --- | --- |
//! | `current` | [`WorkerId`], and what is in the cell |
//! | `interface` | the trait [`Platform`] |
//! | `domains` | which workers of OS threads share a lane |
//! | `parker` | where a worker of an OS thread sleeps |
//! | `os` | the platform for OS threads |
//!
//! The room uses `sync`.

mod current;
#[cfg(all(feature = "std", not(any(loom, shuttle))))]
mod domains;
mod interface;
#[cfg(all(feature = "std", not(any(loom, shuttle))))]
mod os;
#[cfg(any(all(feature = "std", not(any(loom, shuttle))), all(loom, test)))]
mod parker;

pub(crate) use self::current::MAX_WORKERS;
#[cfg(all(feature = "std", not(any(loom, shuttle))))]
pub use self::os::StdPlatform;
pub use self::{
    current::{CurrentWorker, WorkerId},
    interface::Platform,
};
