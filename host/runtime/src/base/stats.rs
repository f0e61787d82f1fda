//! What can be read about a host, its workers and its runs, while they run and afterwards.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one worker did since the host started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerStats {
    /// The worker's number, from 0.
    pub id: usize,
    /// Tasks polled, guests or not.
    pub polls: u64,
    /// Times it took tasks from another worker or from the injector.
    pub steals: u64,
    /// Times a guest lost this core at a preemption point.
    pub preemptions: u64,
    /// Guest tasks that guests on this worker spawned.
    pub spawns: u64,
    /// Results that guests on this worker took from other tasks.
    pub joins: u64,
    /// Times it went to sleep.
    pub parks: u64,
    /// CPU time that its thread has used, since the thread began. 0 where the system does not tell.
    #[serde(with = "crate::base::seconds")]
    pub cpu_time: Duration,
}

/// What a host did and what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HostStats {
    /// One entry per worker.
    pub workers: Vec<WorkerStats>,
    /// Times the epoch clock incremented engines' epochs.
    pub epochs: u64,
    /// Runs started.
    pub runs: u64,
    /// Runs that are not over.
    pub live_runs: u64,
    /// Guest tasks started or queued, in all.
    pub guests: u64,
    /// Guest tasks that have not ended, those that wait for a slot included.
    pub live_guests: u64,
    /// Spawns that wait for a slot in the pool.
    pub queued_spawns: u64,
    /// The pool of instances.
    pub pool: PoolStats,
}

/// The pool of instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PoolStats {
    /// Places in all.
    pub instances: u64,
    /// Places held by guest tasks.
    pub in_use: u64,
    /// Component instances that wasmtime says exist. These, core instances and tables are not counted in
    /// [`Profile::Dense`](crate::Profile::Dense), where they are on the heap: 0.
    pub component_instances: u64,
    /// Core module instances that wasmtime says exist.
    pub core_instances: u64,
    /// Linear memories that wasmtime says exist.
    pub memories: u64,
    /// Tables that wasmtime says exist.
    pub tables: u64,
    /// Fiber stacks that wasmtime says exist.
    pub stacks: u64,
    /// Bytes of memories and tables (in [`Profile::Dense`](crate::Profile::Dense), of memories and stacks) that slots
    /// which nobody uses keep, for the next guest; the setting `pool-keep-resident` says how many there may be.
    pub kept_bytes: u64,
}

/// What a run used, readable while it runs and afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunStats {
    /// The run's number.
    pub id: u64,
    /// The run's name.
    pub name: String,
    /// The name of its tenant, if it has one.
    pub tenant: Option<String>,
    /// Its weight: within its tenant, if it has one.
    pub weight: u32,
    /// How much of a core it may use by its own rate, in thousandths.
    pub cpu_rate: Option<u32>,
    /// CPU time of all its tasks.
    #[serde(with = "crate::base::seconds")]
    pub cpu_time: Duration,
    /// Units of fuel that its tasks used, where fuel is metered: exact for those that have ended, in whole slices
    /// for those that run or were killed, and for tasks whose stores are the embedder's own.
    pub fuel: u64,
    /// Time its tasks waited in queues for a core, after they became runnable.
    #[serde(with = "crate::base::seconds")]
    pub wait_time: Duration,
    /// Time they waited to go on after a core was taken from them, or they gave it up, while they ran.
    #[serde(with = "crate::base::seconds")]
    pub preempted_time: Duration,
    /// Time in which none of them could run because the CPU rate was used up. It is part of what they
    /// waited.
    #[serde(with = "crate::base::seconds")]
    pub throttled_time: Duration,
    /// Polls of its tasks.
    pub polls: u64,
    /// Times one of its guests lost a core.
    pub preemptions: u64,
    /// Tasks that its guests spawned.
    pub spawns: u64,
    /// Results that its guests took.
    pub joins: u64,
    /// Guest tasks in all, the root included.
    pub tasks: u64,
    /// Guest tasks that have not ended.
    pub live_tasks: u64,
    /// The most that were alive at once.
    pub peak_tasks: u64,
    /// Tasks that trapped.
    pub traps: u64,
    /// Bytes it holds now: linear memories, tables, inputs, results not yet joined.
    pub memory: u64,
    /// The most it held.
    pub peak_memory: u64,
    /// File descriptors held now; see [`Limits::files`](crate::Limits::files).
    pub files: u64,
    /// Bytes written to standard output and standard error.
    pub output_bytes: u64,
    /// Tasks that ran in an instance which another task had used before.
    pub reused: u64,
    /// Instances that were made of [baseline](crate::Tier::Baseline) code.
    pub baseline: u64,
}

/// What the groups of a tenant hold and have used together. From [`Tenant::stats`](crate::Tenant::stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TenantStats {
    /// The tenant's name.
    pub name: String,
    /// CPU time, that of groups which are gone included.
    pub cpu_time: Duration,
    /// Units of fuel used, as in [`RunStats::fuel`].
    pub fuel: u64,
    /// Bytes held now.
    pub memory: u64,
    /// Tasks that have not ended.
    pub live_tasks: u64,
    /// Groups that are not gone.
    pub groups: u64,
}
