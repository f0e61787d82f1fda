//! What a guest is granted of the system.
//!
//! May use [`base`](crate::base), [`quota`](crate::quota) and [`sched`](crate::sched).

pub(crate) mod grants;
pub(crate) mod http;
pub(crate) mod numbering;
pub(crate) mod rights;
pub(crate) mod stdio;
