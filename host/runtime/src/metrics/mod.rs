//! What is counted for whoever watches a host: figures that requests and runs add to, a snapshot of them, and the text that
//! Prometheus reads.
//!
//! May use `base`, [`quota`](crate::quota) and [`sched`](crate::sched).
//!
//! # Protocol
//!
//! 1. A host that is to be watched has [`HostFigures`](figures::HostFigures); another one has none, and nobody counts.
//! 2. A service has [`AppFigures`](figures::AppFigures), those of its name. They live as long as one service of that name,
//!    so a service that is exchanged goes on counting.
//! 3. A run adds what it has used once, when it is over, and a request when its response begins and when it ends. Each
//!    addition is a relaxed one to a word of the app's own. No lock is taken and nothing is allocated.
//! 4. A snapshot reads word by word. It is exact once nothing runs.

pub(crate) mod figures;
pub(crate) mod lag;
pub(crate) mod show;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod text;
