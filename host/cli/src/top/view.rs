//! What two looks say of the time between them.

use super::client::Look;
use crate::output::one_line;
use hart_host::{AppMetrics, Histogram, HostStats, RunMetrics, RunStats, WorkerStats};
use serde::Serialize;
use std::time::Duration;

/// What is shown.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct View {
    /// The time between the two looks.
    pub(super) seconds: f64,
    pub(super) host: HostRow,
    pub(super) workers: Vec<WorkerRow>,
    pub(super) apps: Vec<AppRow>,
    pub(super) runs: Vec<RunRow>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct HostRow {
    pub(super) runs: u64,
    pub(super) tasks: u64,
    pub(super) queued_tasks: u64,
    pub(super) slots: u64,
    pub(super) slots_used: u64,
    pub(super) warm_instances: u64,
    /// Of the process, resident.
    pub(super) memory_bytes: u64,
    pub(super) epochs_per_second: f64,
    /// Of 99 of 100 looks at it.
    pub(super) lag_p99_seconds: f64,
    /// Compilations in this time.
    pub(super) compiled: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct WorkerRow {
    pub(super) id: usize,
    /// The part of a core that its thread has used.
    pub(super) utilization: f64,
    pub(super) polls_per_second: f64,
    pub(super) steals_per_second: f64,
    pub(super) preemptions_per_second: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct AppRow {
    pub(super) name: String,
    pub(super) weight: Option<u32>,
    /// Cores that it may use, where it has a limit.
    pub(super) cpu_rate: Option<f64>,
    /// Cores that it has used.
    pub(super) cpu: f64,
    /// Its part of what all apps have used.
    pub(super) share: f64,
    /// Its part of the weights of all apps that had work.
    pub(super) due: Option<f64>,
    pub(super) requests_per_second: f64,
    /// Responses of 500 and above.
    pub(super) errors_per_second: f64,
    pub(super) p50_seconds: f64,
    pub(super) p99_seconds: f64,
    /// How long a request waited for a core, on the average.
    pub(super) wait_seconds: f64,
    /// How long it waited to go on after preemptions, on the average.
    pub(super) preempted_seconds: f64,
    pub(super) preemptions_per_second: f64,
    pub(super) running: u64,
    pub(super) waiting: u64,
    pub(super) memory_bytes: u64,
    /// Times that a limit was reached in this time.
    pub(super) limits_reached: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct RunRow {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) app: Option<String>,
    pub(super) weight: u32,
    pub(super) cpu_rate: Option<f64>,
    pub(super) cpu: f64,
    /// Its part of what all runs have used.
    pub(super) share: f64,
    /// Seconds that its tasks waited for a core, in each second.
    pub(super) wait: f64,
    /// Seconds that they waited to go on after preemptions, in each second.
    pub(super) preempted: f64,
    pub(super) preemptions_per_second: f64,
    pub(super) tasks: u64,
    pub(super) memory_bytes: u64,
}

/// CPU time from which on an app counts as one that has work.
const BUSY: f64 = 0.001;

/// The growth of counters between two looks.
#[derive(Clone, Copy)]
struct Between {
    seconds: f64,
}

impl Between {
    /// In each second.
    fn rate(self, before: u64, after: u64) -> f64 {
        after.saturating_sub(before) as f64 / self.seconds
    }

    fn time(self, before: Duration, after: Duration) -> f64 {
        after.saturating_sub(before).as_secs_f64() / self.seconds
    }
}

fn part(of: f64, all: f64) -> f64 {
    if all > 0.0 { of / all } else { 0.0 }
}

fn cores(millicores: Option<u32>) -> Option<f64> {
    millicores.map(|rate| f64::from(rate) / 1000.0)
}

fn mean(histogram: &Histogram) -> f64 {
    part(histogram.sum, histogram.count() as f64)
}

impl View {
    pub(super) fn between(before: &Look, after: &Look) -> Self {
        let seconds = (after.at - before.at).as_secs_f64().max(1e-3);
        let between = Between { seconds };
        let (old, new) = (&before.snapshot.metrics, &after.snapshot.metrics);
        let newest = before.snapshot.runs.iter().map(|run| run.id).max();
        let mut view = Self {
            seconds,
            host: HostRow {
                warm_instances: new.warm_instances,
                memory_bytes: new.resident_memory,
                lag_p99_seconds: { &new.event_loop_lag_seconds }
                    .since(&old.event_loop_lag_seconds)
                    .quantile(0.99),
                compiled: new.compile_seconds.since(&old.compile_seconds).count(),
                ..between.host(&old.host, &new.host)
            },
            workers: between.workers(&old.host.workers, &new.host.workers),
            apps: { new.apps.iter() }
                .map(|app| {
                    let before = old.apps.iter().find(|before| before.name == app.name);
                    between.app(before.unwrap_or(&new_app(app)), app)
                })
                .collect(),
            runs: { after.snapshot.runs.iter() }
                .map(|run| {
                    let before = before.snapshot.runs.iter().find(|old| old.id == run.id);
                    // An older run was not among those of the last look: nothing is known of this time.
                    let start = match newest {
                        Some(newest) if run.id <= newest => run.clone(),
                        _ => RunStats::default(),
                    };
                    between.run(before.unwrap_or(&start), run)
                })
                .collect(),
        };
        view.divide();
        view
    }

    /// Says what part of all each one has, and what part is its due.
    fn divide(&mut self) {
        let all: f64 = self.apps.iter().map(|app| app.cpu).sum();
        let is_busy = |app: &AppRow| app.cpu > BUSY || app.running + app.waiting > 0;
        let busy = self.apps.iter().filter(|app| is_busy(app));
        let weights: f64 = busy.filter_map(|app| app.weight).map(f64::from).sum();
        for app in &mut self.apps {
            app.share = part(app.cpu, all);
            app.due = match app.weight {
                Some(weight) if is_busy(app) => Some(part(weight.into(), weights)),
                _ => None,
            };
        }
        let all: f64 = self.runs.iter().map(|run| run.cpu).sum();
        for run in &mut self.runs {
            run.share = part(run.cpu, all);
        }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What an app had before it was there: all its counters at zero, but for CPU time that nobody has counted yet.
fn new_app(app: &AppMetrics) -> AppMetrics {
    let mut new = AppMetrics::default();
    new.cpu_seconds = app.cpu_seconds;
    new
}

impl Between {
    fn host(self, before: &HostStats, after: &HostStats) -> HostRow {
        HostRow {
            runs: after.live_runs,
            tasks: after.live_guests,
            queued_tasks: after.queued_spawns,
            slots: after.pool.instances,
            slots_used: after.pool.in_use,
            epochs_per_second: self.rate(before.epochs, after.epochs),
            ..HostRow::default()
        }
    }

    fn workers(self, before: &[WorkerStats], after: &[WorkerStats]) -> Vec<WorkerRow> {
        let row = |after: &WorkerStats| {
            let before = before.iter().find(|before| before.id == after.id);
            let before = before.copied().unwrap_or_default();
            WorkerRow {
                id: after.id,
                utilization: self.time(before.cpu_time, after.cpu_time).min(1.0),
                polls_per_second: self.rate(before.polls, after.polls),
                steals_per_second: self.rate(before.steals, after.steals),
                preemptions_per_second: self.rate(before.preemptions, after.preemptions),
            }
        };
        after.iter().map(row).collect()
    }

    fn app(self, before: &AppMetrics, after: &AppMetrics) -> AppRow {
        let responses = |app: &AppMetrics, all: bool| -> u64 {
            let counted = app.statuses.iter();
            counted
                .filter(|(status, _)| all || status.starts_with('5'))
                .map(|(_, count)| count)
                .sum()
        };
        let rate = |all| self.rate(responses(before, all), responses(after, all));
        let limits = |runs: &RunMetrics| runs.limits.values().sum::<u64>();
        let took = after.duration_seconds.since(&before.duration_seconds);
        let (old, new) = (&before.runs, &after.runs);
        AppRow {
            name: one_line(&after.name),
            weight: after.weight,
            cpu_rate: cores(after.cpu_rate),
            cpu: (after.cpu_seconds - before.cpu_seconds).max(0.0) / self.seconds,
            requests_per_second: rate(true),
            errors_per_second: rate(false),
            p50_seconds: took.quantile(0.5),
            p99_seconds: took.quantile(0.99),
            wait_seconds: mean(&new.wait_seconds.since(&old.wait_seconds)),
            preempted_seconds: mean(&new.preempted_seconds.since(&old.preempted_seconds)),
            preemptions_per_second: self.rate(old.preemptions, new.preemptions),
            running: after.running,
            waiting: after.waiting,
            memory_bytes: after.memory,
            limits_reached: limits(new).saturating_sub(limits(old)),
            ..AppRow::default()
        }
    }

    fn run(self, before: &RunStats, after: &RunStats) -> RunRow {
        RunRow {
            id: after.id,
            name: one_line(&after.name),
            app: after.tenant.as_deref().map(one_line),
            weight: after.weight,
            cpu_rate: cores(after.cpu_rate),
            cpu: self.time(before.cpu_time, after.cpu_time),
            wait: self.time(before.wait_time, after.wait_time),
            preempted: self.time(before.preempted_time, after.preempted_time),
            preemptions_per_second: self.rate(before.preemptions, after.preemptions),
            tasks: after.live_tasks,
            memory_bytes: after.memory,
            ..RunRow::default()
        }
    }
}
