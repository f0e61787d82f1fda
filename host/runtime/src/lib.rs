//! hart-host: WebAssembly components as tasks on every core, beside wasmtime.

mod error;
mod host;
mod limits;
mod preempt;
mod stats;
mod text;

pub use error::{BuildError, CallError, LoadError, RunError};
pub use host::{
    Cache, Canceller, Component, DirAccess, GuestState, Host, HostBuilder, Outcome, Run,
    RunBuilder, Shutdown, Stdio, Tenant, TenantBuilder,
};
pub use limits::{LimitKind, LimitReached, Limits};
pub use preempt::{Preemption, configure};
pub use stats::{HostStats, PoolStats, RunStats, WorkerStats};

#[doc(no_inline)]
pub use wasmtime;
#[doc(no_inline)]
pub use wasmtime_wasi;
