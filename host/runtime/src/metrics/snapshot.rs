//! Metrics of a host at one moment, as plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::histogram::Histogram;
use crate::base::stats::HostStats;

/// What a host has done and has, at one moment. From [`Host::metrics`](crate::Host::metrics).
///
/// Figures were read one after the other, while they grew: sums over apps may be off by what happened meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Metrics {
    /// Workers, epochs, runs, tasks and the pool. These are there for every host.
    pub host: HostStats,
    /// Warm instances, which wait for another task.
    pub warm_instances: u64,
    /// Bytes of memory that the process has resident.
    pub resident_memory: u64,
    /// How long each compilation took, in seconds. What came from the cache is not among them, nor
    /// what is compiled again in the background.
    pub compile_seconds: Histogram,
    /// How late a worker is for what has become due, in seconds, measured ten times a second.
    pub event_loop_lag_seconds: Histogram,
    /// Apps: services by their names. Services of the same name count together.
    pub apps: Vec<AppMetrics>,
    /// Runs that are no requests.
    pub other_runs: RunMetrics,
}

/// What an app has answered and used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AppMetrics {
    /// The service's name.
    pub name: String,
    /// Requests by the status of their response. Rare statuses count for their class, as in `4xx`.
    pub statuses: BTreeMap<String, u64>,
    /// Requests that were refused with 503 because of a full queue.
    pub refused: u64,
    /// Requests whose client went away before the response began.
    pub abandoned: u64,
    /// Seconds from a request's head to the end of its response.
    pub duration_seconds: Histogram,
    /// Requests that run now.
    pub running: u64,
    /// Requests that wait for others to end.
    pub waiting: u64,
    /// The weight of its tenant, where it has one.
    pub weight: Option<u32>,
    /// The CPU rate of its tenant in thousandths of a core, where it has one.
    pub cpu_rate: Option<u32>,
    /// CPU time that its tenant has used, in seconds, that of requests which run included; where it has none, that of
    /// requests which are over.
    pub cpu_seconds: f64,
    /// Bytes that its tenant holds now; 0 where it has none.
    pub memory: u64,
    /// Tasks of its tenant that have not ended; 0 where it has none.
    pub live_tasks: u64,
    /// What the runs of its requests have used.
    pub runs: RunMetrics,
}

/// What runs have used that are over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunMetrics {
    /// CPU time of each, in seconds.
    pub cpu_seconds: Histogram,
    /// How long the tasks of each waited for a core after they became runnable, in seconds.
    pub wait_seconds: Histogram,
    /// How long they waited to go on after a preemption, in seconds.
    pub preempted_seconds: Histogram,
    /// The most memory that each held, in bytes.
    pub peak_memory_bytes: Histogram,
    /// Tasks.
    pub tasks: u64,
    /// Tasks that ran in a warm instance, which another one had used before.
    pub reused: u64,
    /// Tasks that trapped.
    pub traps: u64,
    /// Times that a guest lost a core.
    pub preemptions: u64,
    /// How often each limit ended a task or refused it something, by the limit's name. Counted when it happens. Connections
    /// of outgoing HTTP requests that a limit of files refuses are left out.
    pub limits: BTreeMap<String, u64>,
}
