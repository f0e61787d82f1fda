//! `--stats`: what a run used and what each worker did, for people or for programs.

use crate::units::{show_duration, show_size};
use clap::ValueEnum;
use hart_host::{HostStats, RunStats, Setting};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// How statistics are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum StatsFormat {
    /// A table
    Text,
    /// One line of JSON
    Json,
}

/// All that is known when a run is over.
#[derive(Debug)]
pub(crate) struct Report {
    /// What the run used.
    pub(crate) run: RunStats,
    /// What the host did.
    pub(crate) host: HostStats,
    /// What the host chose for itself.
    pub(crate) settings: Vec<Setting>,
    /// Whether the component still has baseline code.
    pub(crate) baseline: bool,
    /// From the start of the run to its end, on the clock.
    pub(crate) wall: Duration,
    /// The exit code.
    pub(crate) exit_code: u8,
    /// Why it failed, in a line.
    pub(crate) error: Option<String>,
}

impl Report {
    /// The text for standard error, line break included.
    pub(crate) fn render(&self, format: StatsFormat) -> String {
        match format {
            StatsFormat::Text => self.text(),
            StatsFormat::Json => format!("{}\n", self.json()),
        }
    }

    fn text(&self) -> String {
        let run = &self.run;
        let mut text = String::new();
        let _ = writeln!(
            text,
            "run      exit code {}, {} on the clock, {} of CPU time, {} waiting for a worker",
            self.exit_code,
            show_duration(self.wall),
            show_duration(run.cpu_time),
            show_duration(run.wait_time),
        );
        let _ = writeln!(
            text,
            "tasks    {} in all, {} at once at most; {} spawned, {} joined, {} trapped, {} preemptions",
            run.tasks, run.peak_tasks, run.spawns, run.joins, run.traps, run.preemptions,
        );
        let _ = writeln!(
            text,
            "memory   {} at most; {} of output; {} epochs",
            show_size(run.peak_memory),
            show_size(run.output_bytes),
            self.host.epochs,
        );
        if run.baseline > 0 {
            let _ = writeln!(
                text,
                "code     {} instances on baseline code{}",
                run.baseline,
                if self.baseline {
                    "; optimized code was not there at the end"
                } else {
                    "; tasks that started later ran optimized code"
                },
            );
        }
        let pool = &self.host.pool;
        let _ = writeln!(
            text,
            "pool     {} of {} slots in use; {} kept for the next guests",
            pool.in_use,
            pool.instances,
            show_size(pool.kept_bytes),
        );
        let _ = writeln!(
            text,
            "worker {:>10} {:>8} {:>11} {:>8} {:>8} {:>8}",
            "polls", "steals", "preemptions", "spawns", "joins", "parks"
        );
        for worker in &self.host.workers {
            let _ = writeln!(
                text,
                "{:>6} {:>10} {:>8} {:>11} {:>8} {:>8} {:>8}",
                worker.id,
                worker.polls,
                worker.steals,
                worker.preemptions,
                worker.spawns,
                worker.joins,
                worker.parks,
            );
        }
        for setting in &self.settings {
            let _ = writeln!(
                text,
                "setting  {}: {} ({})",
                setting.name, setting.value, setting.reason
            );
        }
        text
    }

    /// Times are nanoseconds, sizes are bytes.
    fn json(&self) -> Value {
        let run = &self.run;
        let workers: Vec<Value> = self
            .host
            .workers
            .iter()
            .map(|worker| {
                json!({
                    "id": worker.id,
                    "polls": worker.polls,
                    "steals": worker.steals,
                    "preemptions": worker.preemptions,
                    "spawns": worker.spawns,
                    "joins": worker.joins,
                    "parks": worker.parks,
                })
            })
            .collect();
        let settings: Vec<Value> = self
            .settings
            .iter()
            .map(|setting| {
                json!({
                    "name": setting.name,
                    "value": setting.value,
                    "reason": setting.reason,
                })
            })
            .collect();
        json!({
            "name": run.name,
            "exit_code": self.exit_code,
            "error": self.error,
            "wall_time": nanoseconds(self.wall),
            "cpu_time": nanoseconds(run.cpu_time),
            "fuel": run.fuel,
            "wait_time": nanoseconds(run.wait_time),
            "preempted_time": nanoseconds(run.preempted_time),
            "throttled_time": nanoseconds(run.throttled_time),
            "polls": run.polls,
            "preemptions": run.preemptions,
            "spawns": run.spawns,
            "joins": run.joins,
            "tasks": run.tasks,
            "live_tasks": run.live_tasks,
            "peak_tasks": run.peak_tasks,
            "traps": run.traps,
            "peak_memory": run.peak_memory,
            "output_bytes": run.output_bytes,
            "baseline_instances": run.baseline,
            "tier": if self.baseline { "baseline" } else { "optimized" },
            "epochs": self.host.epochs,
            "pool": {
                "instances": self.host.pool.instances,
                "in_use": self.host.pool.in_use,
                "kept_bytes": self.host.pool.kept_bytes,
            },
            "workers": workers,
            "settings": settings,
        })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
