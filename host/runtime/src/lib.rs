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
//! | slot | room for one instance in the pool; guest tasks that have none wait for one |
//!
//! # Which layer do I need?
//!
//! | what you have | what you use | a program |
//! | --- | --- | --- |
//! | programs that run once: commands, jobs, tests | [`Host::command`], [`Host::invoke`] | [commands](https://github.com/hart-exec/hart/blob/main/tests/embedders/src/commands.rs) |
//! | plug-ins that stay loaded and are called again and again | [`Host::instance`]; several of one component: [`Host::replicas`] | [plugins](https://github.com/hart-exec/hart/blob/main/tests/embedders/src/plugins.rs) |
//! | HTTP services | [`Host::service`] in a server of yours, [`Server`] for one of hart's | [http_in_axum](https://github.com/hart-exec/hart/blob/main/tests/embedders/src/http_in_axum.rs) |
//! | stores, linkers and imports of your own, and guests that hold each other up | [`Runtime`], [`Group::spawn`] | [own_store](https://github.com/hart-exec/hart/blob/main/tests/embedders/src/own_store.rs) |
//! | guests on tokio that only have to end | [`budget`] | [budget](https://github.com/hart-exec/hart/blob/main/tests/embedders/src/budget.rs) |
//!
//! Guests get more than WASI by a [`Capability`], which a host has and a run is granted: a database, as in
//! [sql](https://github.com/hart-exec/hart/blob/main/tests/embedders/src/sql.rs), or a queue. What happens to runs and tasks
//! is told to hooks of [`HostBuilder::on`], and to subscribers of `tracing`: everything that a guest does is in a span
//! `guest` of the target `hart::guest`, with its tenant, run and task. For distributed tracing, a [`Tracer`] of
//! [`HostBuilder::tracer`] has a span for each request and task.
//!
//! The programs are in the repository, and CI runs them. From the last row to the first, hart does more and you write less:
//! `budget` ends spinners, a `Runtime` also shares the cores fairly among all guests, and a `Host` also makes their stores,
//! grants them WASI, and counts everything that they make the host hold.
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
//!    imports ([`HostBuilder::imports`]) and typed data in stores ([`HostBuilder::with_data`]).
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
//! | [`Limits::input_bytes`] of one task | 16,777,216 (16 MiB) |
//! | [`Limits::result_bytes`] of one task | 16,777,216 (16 MiB) |
//! | [`Limits::output_bytes`] of a run | none; 16,777,216 (16 MiB) for each stream that is captured |
//! | [`Limits::blocking_threads`] of a host | 16 for files, of which a run uses 4 at a time and a tenant 8; 4 more for name look-ups, 16 more for capabilities |
//! | [`HostBuilder::instances`] | 1,000; a run holds at most 875 of them |
//! | [`HostBuilder::memory_reserve`], with less of which further tasks wait | a 32nd of the memory there is, at most 268,435,456 bytes (256 MiB) |
//! | a run's store of `wasi:keyvalue`, beside its memory | 65,536 keys, each of 4,096 bytes; 1,000 keys in one call |
//! | a component's file | 268,435,456 bytes (256 MiB) |
//! | [`Loader::max_memory`], by an estimate; a 128th of it for text, a quarter for one function | 4,294,967,296 bytes (4 GiB) |
//! | [`Loader::timeout`] | 10 minutes |
//! | components nested in components; imports of a component | 100; 20,000 |
//! | one function | what takes some 60 seconds to compile, by an estimate |
//! | [`HostBuilder::wasm_stack`] of a task | 524,288 bytes (512 KiB), then a trap |
//! | [`Limits::memory_size`], [`Limits::table_elements`] of one memory, one table | what the pool has for one |
//! | [`Limits::hostcall_fuel`]: bytes that one host call may copy for a guest | 16,777,216 (16 MiB) |
//! | [`Limits::random_bytes`] of one call | 1,048,576 (1 MiB) |
//! | [`Limits::handles`] of a run | 32,768, and 8 for each task |
//! | [`Limits::files`] of a run | 1,024, and at most half of the host's |
//! | [`HostBuilder::files`] | what the process may have, less a quarter of it or at least 64 |
//! | a name | 64 bytes; a trap's text and its backtrace 4,096 bytes each |
//!
//! A fork bomb and a memory bomb end at these, in a process of less than 1 GiB.
//!
#![doc = include_str!("held.md")]
//!
//! # What cannot be preempted
//!
//! - One `memory.copy`, `memory.fill` or `memory.init` (or the same for tables) once it has begun; the
//!   copying of arguments and results between guest and host. Limits of memory bound them: a guest that fills its
//!   memory over and over was gone 1.9 ms after it was cancelled with 64 MiB (at worst 2.5 ms), and 10.7 ms with
//!   700 MiB (at worst 19.7 ms), on two busy cores (`hart-bench kill --only fill`).
//! - Host functions: they should await and not block. Writing to the process's own standard output
//!   blocks the worker for as long as the reader lets it wait.
//! - Making an instance, apart from its start functions. Compilation happens on threads of its own, not on a
//!   worker; a [`Loader`] says how long it may take.
//! - Anything under [`Preemption::None`].
//!
//! # Untrusted text
//!
//! Names, messages, traps and backtraces come from guests. Wherever this crate shows them, control
//! characters are escaped and the length is bounded. What a guest writes to its standard output is its
//! own and passes unchanged.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "hart-host runs on Linux only: its workers, pools and limits use what that kernel has; hart-executor and hart-guest build elsewhere"
);

mod base;
pub mod budget;
mod engine;
mod host;
mod instance;
mod live;
mod metrics;
mod quota;
mod runtime;
mod sched;
mod serve;
mod service;
mod wasi;
#[cfg(feature = "nats")]
pub mod work;
/// What workers of a stream decide. The workers themselves come with the feature `nats`.
#[cfg(not(feature = "nats"))]
pub mod work {
    pub mod rules;
    mod status;

    pub use status::JobStatus;
}

pub use base::error::BuildError;
pub use base::histogram::{Bucket, Histogram};
pub use base::setting::Setting;
pub use base::span::{Span, SpanEnd, SpanNote, SpanOf, Tracer};
pub use base::stats::{HostStats, PoolStats, RunStats, TenantStats, WorkerStats};
pub use engine::cache::Cache;
pub use engine::compile::LoadCanceller;
pub use engine::component::Linked;
pub use engine::error::{CallError, LoadError};
pub use engine::inspect::inspect;
pub use engine::inspection::{Inspection, Precompiled};
pub use engine::load::read_component;
pub use engine::one_run::instances_for;
pub use engine::profile::{PoolScan, Profile};
pub use engine::tier::Tier;
pub use host::builder::HostBuilder;
pub use host::handle::Host;
pub use host::loader::Loader;
pub use host::run::builder::RunBuilder;
pub use host::run::handle::{Canceller, Run};
pub use host::shutdown::Shutdown;
pub use host::simulate;
pub use instance::blocking::Blocking;
pub use instance::capability::{Capability, Granted};
pub use instance::ended::Outcome;
pub use instance::error::RunError;
pub use instance::events::{Event, TaskEnd};
pub use instance::info::{RunInfo, TaskInfo};
pub use instance::program::Child;
pub use instance::store::{Component, GuestParts, GuestState};
pub use live::builder::InstanceBuilder;
pub use live::call::Call;
pub use live::error::InstanceError;
pub use live::handle::{Instance, InstanceStats};
pub use live::replicas::{Replicas, ReplicasBuilder};
pub use live::restart::Restart;
pub use metrics::snapshot::{AppMetrics, Metrics, RunMetrics};
pub use metrics::text::{MetricsFormat, MetricsText, MetricsWriter};
pub use quota::kill::{Kill, Killed};
pub use quota::limits::{LimitKind, LimitReached, Limits};
pub use runtime::builder::RuntimeBuilder;
pub use runtime::group::{Cx, Group, GroupBuilder};
pub use runtime::handle::Runtime;
pub use runtime::task::{Task, TaskError};
pub use runtime::tenant::{Tenant, TenantBuilder};
pub use runtime::timer::Timer;
pub use sched::preemption::{Preemption, configure};
pub use sched::profile::GuestProfile;
pub use sched::task::limiter::Limited;
pub use sched::trace::draw::{Trace, TraceWritten};
pub use sched::trace::writer::{TraceWriter, escape_json};
pub use serve::access::AccessRecord;
pub use serve::routes::{Route, Routes};
pub use serve::server::{Server, ServerBuilder};
pub use service::body::{BodyError, ResponseBody};
pub use service::builder::ServiceBuilder;
pub use service::error::ServiceError;
pub use service::handle::{RequestUsage, Service};
pub use wasi::grants::DirAccess;
pub use wasi::http::allowed::{AllowedHost, AllowedHostError};
pub use wasi::numbering::LogPrefix;
pub use wasi::stdio::{Reader, Stdio, Writer, flush_output};

#[doc(no_inline)]
pub use hart_executor as executor;
/// Requests, responses and their headers.
pub use http;
/// What `tls` of a server takes.
pub use tokio_rustls::rustls;
#[doc(no_inline)]
pub use wasmtime;
#[doc(no_inline)]
pub use wasmtime_wasi;
/// wasmtime's wasi:http, for bodies and their errors.
pub use wasmtime_wasi_http;
