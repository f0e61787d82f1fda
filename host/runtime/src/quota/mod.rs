//! What may be used, and what is used: limits, accounts, shares, memory pressure, what the system lets the process have.
//!
//! May use [`base`](crate::base).

pub(crate) mod account;
pub(crate) mod kill;
pub(crate) mod limits;
pub(crate) mod memory_pressure;
mod narrowed;
pub(crate) mod process_limits;
pub(crate) mod relief;
pub(crate) mod share;
