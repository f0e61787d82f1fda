//! hart-host: WebAssembly components as tasks on every core, beside wasmtime.
//!
//! A guest component imports `spawn`, `yield` and `close`; this crate schedules every guest task over
//! one worker thread per core, and takes the core from a guest that will not yield. What a guest may
//! use is limited, everything that it is granted is said, and what it did is counted.
//!
//! ```
//! use hart_host::{Cache, Host, Limits};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::builder().cache(Cache::Off).limits(Limits::new().memory(64 << 20)).build()?;
//! let component = host.load(br#"
//!     (component
//!         (core module $m (func (export "f") (result i32) i32.const 42))
//!         (core instance $i (instantiate $m))
//!         (func (export "answer") (result u32) (canon lift (core func $i "f"))))
//! "#)?;
//! let run = host.invoke(&component, "answer()")?.start()?; // a future; on a plain thread: `wait`
//! assert_eq!(run.wait()?.to_wave()?, "42");
//! # Ok(())
//! # }
//! ```
//!
//! # Words
//!
//! | word | meaning here |
//! | --- | --- |
//! | guest task | one call into one component instance, in a store of its own |
//! | run, group | one root guest and all it spawned: the unit of fair share, limits and accounting |
//! | tenant | a group of runs, with a share and limits of its own |
//! | scope | a guest task and everything it spawned, directly or not: what guest `close` closes |
//! | worker | the loop that runs tasks on one core: one OS thread |
//! | slice | how long a guest may run before somebody who waits gets the core |
//! | preemption point | where wasmtime hands control back inside guest code: an epoch check or a fuel check |
//! | epoch | a count that the clock thread increments to bring running guests to such a point |
//! | place | room for one instance in the pool; guest tasks that have none wait for one |
//!
//! # Three layers
//!
//! Each is usable without the ones above it.
//!
//! 1. [`executor`]: any future in a group. No wasmtime type in sight.
//! 2. [`Runtime`]: bring your own wasmtime. [`configure`] sets what scheduling needs,
//!    [`Runtime::attach`] joins the epoch clock, and a task of [`Group::spawn`] makes its own
//!    `Store<T>`, with the embedder's own `Linker<T>` and bindings, and arms it with [`Cx::arm`].
//! 3. [`Host`]: load, run, limits, WASI 0.2, `hart:exec` for guests, with hooks for the embedder's own
//!    imports ([`HostBuilder::imports`]) and store data ([`HostBuilder::data`]).
//!
//! The first layer, on the workers of the second:
//!
//! ```
//! let runtime = hart_host::Runtime::builder().workers(1).build()?;
//! let group = runtime.group().name("reports").weight(50).build()?;
//! let task = runtime.executor().build_task().group(group.executor_group()).spawn(async { 6 * 7 });
//! # let task = async { task.await.unwrap() };
//! // .. and `task` is a future like any other:
//! # let answer = tokio::runtime::Builder::new_current_thread().build()?.block_on(task);
//! assert_eq!(answer, 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Default limits
//!
//! | limit | default |
//! | --- | --- |
//! | [`Limits::memory`], of a run | 805,306,368 bytes (768 MiB) |
//! | [`Limits::task_memory`] | as the run's |
//! | [`Limits::cpu_time`], [`Limits::task_cpu_time`], [`Limits::fuel`], [`Limits::timeout`] | none |
//! | [`Limits::tasks`] alive in a run | 100,000 |
//! | [`Limits::depth`] of spawns | 64 |
//! | [`Limits::queued`] spawns of a run | 100,000 |
//! | [`Limits::cpu_rate`], [`Limits::spawn_rate`] of a run | none |
//! | [`Limits::input_bytes`] of one task | 67,108,864 (64 MiB) |
//! | [`Limits::result_bytes`] of one task | 67,108,864 (64 MiB) |
//! | [`Limits::output_bytes`] of a run | none; 16,777,216 (16 MiB) for each stream that is captured |
//! | [`Limits::blocking_threads`] of a host | 16 |
//! | [`HostBuilder::instances`] | 1,000; a run holds at most 875 of them |
//! | [`HostBuilder::memory_reserve`], with less of which further tasks wait | a 32nd of the memory there is, at most 268,435,456 bytes (256 MiB) |
//! | a component's file | 268,435,456 bytes (256 MiB) |
//! | wasm stack of a task | 524,288 bytes (512 KiB), then a trap |
//! | bytes that one host call may copy for a guest | 134,217,728 (128 MiB) |
//! | [`Limits::handles`] of one task | 100,000, then a trap |
//! | a name | 64 bytes; a trap's text and its backtrace 4,096 bytes each |
//!
//! A fork bomb and a memory bomb end at these, in a process of less than 1 GiB.
//!
//! # What cannot be preempted
//!
//! - One `memory.copy`, `memory.fill` or `memory.init` (or the same for tables) once it has begun; the
//!   copying of arguments and results between guest and host. Limits of memory bound them: a guest that fills its
//!   memory over and over was gone 1.9 ms after it was cancelled with 64 MiB (at worst 2.5 ms), and 10.7 ms with
//!   700 MiB (at worst 19.7 ms), on two busy cores (`hart-bench kill --only fill`).
//! - Host functions: they should await and not block. Writing to the process's own standard output
//!   blocks the worker for as long as the reader lets it wait.
//! - Making an instance, apart from its start functions. Compilation happens on the thread that calls
//!   [`Host::load`], not on a worker.
//! - Anything under [`Preemption::None`].
//!
//! # Untrusted text
//!
//! Names, messages, traps and backtraces come from guests. Wherever this crate shows them, control
//! characters are escaped and the length is bounded. What a guest writes to its standard output is its
//! own and passes unchanged.

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
pub mod simulate;
mod stats;
mod sync;
mod task;
mod tenant;
mod text;
mod trace;

pub use error::{BuildError, CallError, LoadError, RunError};
pub use host::{
    Cache, Canceller, Component, DirAccess, GuestState, Host, HostBuilder, Outcome, PoolScan,
    Profile, Run, RunBuilder, Setting, Shutdown, Stdio,
};
pub use limits::{LimitKind, LimitReached, Limits};
pub use preempt::{Preemption, configure};
pub use runtime::{Cx, Group, GroupBuilder, Runtime, RuntimeBuilder, Task, TaskError};
pub use stats::{HostStats, PoolStats, RunStats, TenantStats, WorkerStats};
pub use task::{Kill, Killed, Limited};
pub use tenant::{Tenant, TenantBuilder};
pub use trace::{Trace, TraceWriter, TraceWritten, escape_json};

#[doc(no_inline)]
pub use hart_executor as executor;
#[doc(no_inline)]
pub use wasmtime;
#[doc(no_inline)]
pub use wasmtime_wasi;
