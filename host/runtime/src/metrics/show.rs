//! Metrics of a host as text: names, help and labels.
//!
//! The only labels are numbers of workers, names of apps, statuses and names of limits. Names of runs and tasks come from
//! guests and are none.

use crate::base::histogram::Histogram;
use crate::base::stats::{HostStats, WorkerStats};
use crate::metrics::snapshot::{AppMetrics, Metrics, RunMetrics};
use crate::metrics::text::{MetricsFormat, MetricsText, MetricsWriter};

/// Name, help and value.
type Figure<T> = (&'static str, &'static str, fn(&T) -> f64);

/// Name, help and histogram.
type Distribution<T> = (&'static str, &'static str, fn(&T) -> &Histogram);

/// Per worker.
const WORKERS: [Figure<WorkerStats>; 5] = [
    (
        "hart_worker_cpu_seconds_total",
        "CPU time that a worker's thread has used: its rate is the worker's utilization.",
        |worker| worker.cpu_time.as_secs_f64(),
    ),
    (
        "hart_worker_polls_total",
        "Tasks that a worker has polled.",
        |worker| worker.polls as f64,
    ),
    (
        "hart_worker_steals_total",
        "Times that a worker took tasks from another one or from the injector.",
        |worker| worker.steals as f64,
    ),
    (
        "hart_worker_preemptions_total",
        "Times that a guest lost a worker at a preemption point.",
        |worker| worker.preemptions as f64,
    ),
    (
        "hart_worker_sleeps_total",
        "Times that a worker went to sleep.",
        |worker| worker.parks as f64,
    ),
];

/// Of the host, what only grows.
const HOST_COUNTERS: [Figure<HostStats>; 3] = [
    (
        "hart_epochs_total",
        "Times that the epoch clock incremented epochs.",
        |host| host.epochs as f64,
    ),
    ("hart_runs_started_total", "Runs started.", |host| {
        host.runs as f64
    }),
    (
        "hart_tasks_started_total",
        "Guest tasks started or queued.",
        |host| host.guests as f64,
    ),
];

/// Of the host, as it is now.
const HOST_GAUGES: [Figure<HostStats>; 7] = [
    ("hart_runs_live", "Runs that are not over.", |host| {
        host.live_runs as f64
    }),
    (
        "hart_tasks_live",
        "Guest tasks that have not ended, those that wait for a slot included.",
        |host| host.live_guests as f64,
    ),
    (
        "hart_tasks_queued",
        "Guest tasks that wait for a slot in the pool.",
        |host| host.queued_spawns as f64,
    ),
    (
        "hart_pool_slots",
        "Slots in the pool of instances.",
        |host| host.pool.instances as f64,
    ),
    (
        "hart_pool_slots_used",
        "Slots that guest tasks hold.",
        |host| host.pool.in_use as f64,
    ),
    (
        "hart_instances",
        "Component instances that exist, warm ones included; those of a dense pool are not counted.",
        |host| host.pool.component_instances as f64,
    ),
    (
        "hart_pool_kept_bytes",
        "Memory that unused slots keep for the next guest.",
        |host| host.pool.kept_bytes as f64,
    ),
];

/// Per app, what only grows.
const APP_COUNTERS: [Figure<AppMetrics>; 3] = [
    (
        "hart_requests_refused_total",
        "Requests answered with 503 because the queue was full.",
        |app| app.refused as f64,
    ),
    (
        "hart_requests_abandoned_total",
        "Requests whose client went away before the response began.",
        |app| app.abandoned as f64,
    ),
    (
        "hart_app_cpu_seconds_total",
        "CPU time that an app has used, that of requests which run included.",
        |app| app.cpu_seconds,
    ),
];

/// Per app, as it is now.
const APP_GAUGES: [Figure<AppMetrics>; 6] = [
    ("hart_requests_running", "Requests that run.", |app| {
        app.running as f64
    }),
    (
        "hart_requests_waiting",
        "Requests that wait for others to end.",
        |app| app.waiting as f64,
    ),
    ("hart_app_weight", "The weight of an app.", |app| {
        app.weight.unwrap_or(0).into()
    }),
    (
        "hart_app_cpu_rate_cores",
        "Cores that an app may use; 0 is no limit.",
        |app| f64::from(app.cpu_rate.unwrap_or(0)) / 1000.0,
    ),
    (
        "hart_app_memory_bytes",
        "Memory that an app holds.",
        |app| app.memory as f64,
    ),
    (
        "hart_app_tasks",
        "Guest tasks of an app that have not ended.",
        |app| app.live_tasks as f64,
    ),
];

/// Per app, and for runs that are no requests.
const RUN_COUNTERS: [Figure<RunMetrics>; 4] = [
    (
        "hart_run_tasks_total",
        "Guest tasks of runs that are over.",
        |runs| runs.tasks as f64,
    ),
    (
        "hart_run_tasks_warm_total",
        "Guest tasks of runs that are over which had a warm instance.",
        |runs| runs.reused as f64,
    ),
    (
        "hart_run_traps_total",
        "Guest tasks of runs that are over which trapped.",
        |runs| runs.traps as f64,
    ),
    (
        "hart_run_preemptions_total",
        "Preemptions of runs that are over.",
        |runs| runs.preemptions as f64,
    ),
];

/// Per app, and for runs that are no requests.
const RUN_HISTOGRAMS: [Distribution<RunMetrics>; 4] = [
    ("hart_run_cpu_seconds", "CPU time of a run.", |runs| {
        &runs.cpu_seconds
    }),
    (
        "hart_run_wait_seconds",
        "How long the tasks of a run waited for a core after they became runnable.",
        |runs| &runs.wait_seconds,
    ),
    (
        "hart_run_preempted_seconds",
        "How long the tasks of a run waited to go on after a preemption.",
        |runs| &runs.preempted_seconds,
    ),
    (
        "hart_run_peak_memory_bytes",
        "The most memory that a run held.",
        |runs| &runs.peak_memory_bytes,
    ),
];

impl Metrics {
    /// All of it as text.
    ///
    /// ```
    /// use hart_host::{Host, MetricsFormat};
    ///
    /// let host = Host::builder().metrics(true).workers(1).build()?;
    /// let text = host.metrics().to_text(MetricsFormat::Prometheus);
    /// assert!(text.contains("hart_worker_polls_total{worker=\"0\"} "));
    /// # Ok::<(), hart_host::BuildError>(())
    /// ```
    pub fn to_text(&self, format: MetricsFormat) -> String {
        let mut text = MetricsText::new(format);
        self.write(&mut text);
        text.finish()
    }

    /// Writes all of it: families whose names begin with `hart_`, and `process_resident_memory_bytes`.
    pub fn write(&self, to: &mut dyn MetricsWriter) {
        for (name, help, value) in WORKERS {
            to.counter(name, help);
            for worker in &self.host.workers {
                to.value(&[("worker", &worker.id.to_string())], value(worker));
            }
        }
        for (name, help, value) in HOST_COUNTERS {
            to.counter(name, help);
            to.value(&[], value(&self.host));
        }
        for (name, help, value) in HOST_GAUGES {
            to.gauge(name, help);
            to.value(&[], value(&self.host));
        }
        to.gauge(
            "hart_instances_warm",
            "Instances that wait for another task.",
        );
        to.value(&[], self.warm_instances as f64);
        to.gauge(
            "process_resident_memory_bytes",
            "Memory that the process has resident.",
        );
        to.value(&[], self.resident_memory as f64);
        to.histogram(
            "hart_compile_seconds",
            "How long a compilation took; what came from the cache, or is compiled again in the background, is not counted.",
        );
        to.distribution(&[], &self.compile_seconds);
        to.histogram(
            "hart_event_loop_lag_seconds",
            "How late a worker is for what has become due.",
        );
        to.distribution(&[], &self.event_loop_lag_seconds);
        self.write_apps(to);
        self.write_runs(to);
    }

    fn write_apps(&self, to: &mut dyn MetricsWriter) {
        to.counter("hart_requests_total", "Requests by status of the response.");
        for app in &self.apps {
            for (status, count) in &app.statuses {
                to.value(&[("app", &app.name), ("status", status)], *count as f64);
            }
        }
        for (name, help, value) in APP_COUNTERS {
            to.counter(name, help);
            for app in &self.apps {
                to.value(&[("app", &app.name)], value(app));
            }
        }
        for (name, help, value) in APP_GAUGES {
            to.gauge(name, help);
            for app in &self.apps {
                to.value(&[("app", &app.name)], value(app));
            }
        }
        to.histogram(
            "hart_request_duration_seconds",
            "From a request's head to the end of its response.",
        );
        for app in &self.apps {
            to.distribution(&[("app", &app.name)], &app.duration_seconds);
        }
    }

    /// Those of apps, and those of runs that are no requests, which have no label `app`.
    fn write_runs(&self, to: &mut dyn MetricsWriter) {
        for (name, help, value) in RUN_COUNTERS {
            to.counter(name, help);
            for (labels, runs) in self.runs() {
                to.value(&labels, value(runs));
            }
        }
        for (name, help, value) in RUN_HISTOGRAMS {
            to.histogram(name, help);
            for (labels, runs) in self.runs() {
                to.distribution(&labels, value(runs));
            }
        }
        to.counter(
            "hart_limits_reached_total",
            "Times that a limit ended a task or refused it something, outgoing HTTP connections left out.",
        );
        for (labels, runs) in self.runs() {
            for (limit, count) in &runs.limits {
                let labels = [&labels[..], &[("limit", limit)]].concat();
                to.value(&labels, *count as f64);
            }
        }
    }

    fn runs(&self) -> impl Iterator<Item = (Vec<(&str, &str)>, &RunMetrics)> {
        let apps = self.apps.iter();
        let apps = apps.map(|app| (vec![("app", app.name.as_str())], &app.runs));
        apps.chain([(Vec::new(), &self.other_runs)])
    }
}
