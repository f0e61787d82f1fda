//! hart-host: WebAssembly components as tasks on every core, beside wasmtime.

mod account;
mod block;
mod clock;
mod error;
mod host;
mod limits;
mod platform;
mod preempt;
mod runtime;
mod signal;
mod stats;
mod sync;
mod task;
mod tenant;
mod text;

pub use error::{BuildError, CallError, LoadError, RunError};
pub use host::{
    Cache, Canceller, Component, DirAccess, GuestState, Host, HostBuilder, Outcome, Run,
    RunBuilder, Shutdown, Stdio,
};
pub use limits::{LimitKind, LimitReached, Limits};
pub use preempt::{Preemption, configure};
pub use runtime::{Cx, Group, GroupBuilder, Runtime, RuntimeBuilder, Task, TaskError};
pub use stats::{HostStats, PoolStats, RunStats, WorkerStats};
pub use task::{Kill, Killed, Limited};
pub use tenant::{Tenant, TenantBuilder};

#[doc(no_inline)]
pub use hart_executor as executor;
#[doc(no_inline)]
pub use wasmtime;
#[doc(no_inline)]
pub use wasmtime_wasi;
