//! Figures that grow: what runs have used, and what became of requests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use crate::base::histogram::Buckets;
use crate::base::stats::RunStats;
use crate::base::sync::lock;
use crate::metrics::snapshot::{AppMetrics, RunMetrics};
use crate::metrics::status;
use crate::quota::limits::LimitKind;
use crate::sched::clock::Clock;

/// The limits, each in its own place.
const LIMITS: [LimitKind; LimitKind::InnerInstances as usize + 1] = [
    LimitKind::Memory,
    LimitKind::TaskMemory,
    LimitKind::CpuTime,
    LimitKind::TaskCpuTime,
    LimitKind::Fuel,
    LimitKind::TaskFuel,
    LimitKind::Timeout,
    LimitKind::TaskTimeout,
    LimitKind::Tasks,
    LimitKind::MaxTasks,
    LimitKind::Depth,
    LimitKind::Queued,
    LimitKind::SpawnRate,
    LimitKind::InputBytes,
    LimitKind::ResultBytes,
    LimitKind::OutputBytes,
    LimitKind::Handles,
    LimitKind::Files,
    LimitKind::HostcallFuel,
    LimitKind::RandomBytes,
    LimitKind::TenantMemory,
    LimitKind::TenantCpuTime,
    LimitKind::TenantFuel,
    LimitKind::TenantTasks,
    LimitKind::TenantFiles,
    LimitKind::HostFiles,
    LimitKind::TenantSpawnRate,
    LimitKind::Instances,
    LimitKind::InnerInstances,
];

/// What runs have used that are over.
pub(crate) struct RunFigures {
    cpu: Buckets,
    wait: Buckets,
    preempted: Buckets,
    peak_memory: Buckets,
    tasks: AtomicU64,
    reused: AtomicU64,
    traps: AtomicU64,
    preemptions: AtomicU64,
    limits: [AtomicU64; LIMITS.len()],
}

/// What became of the requests of an app, and what their runs have used.
pub(crate) struct AppFigures {
    pub(crate) runs: Arc<RunFigures>,
    clock: Arc<Clock>,
    latency: Buckets,
    statuses: [AtomicU64; status::COUNT],
    refused: AtomicU64,
    abandoned: AtomicU64,
    /// The most CPU time that a snapshot has told, nanoseconds.
    told_cpu: AtomicU64,
}

/// What the figures of a host are.
pub(crate) struct HostFigures {
    /// What runs have used that are no requests.
    pub(crate) runs: Arc<RunFigures>,
    /// How long compilations took.
    pub(crate) compile: Arc<Buckets>,
    /// How late workers are for what has become due.
    pub(crate) lag: Arc<Buckets>,
    clock: Arc<Clock>,
    apps: Mutex<BTreeMap<String, App>>,
}

struct App {
    figures: Weak<AppFigures>,
    /// Its services, the newest last. One that was made and is not used goes, and the one before it answers on.
    services: Vec<Weak<dyn AppNow>>,
}

/// What a service of an app has at this moment.
pub(crate) trait AppNow: Send + Sync {
    /// How many requests run, and how many wait.
    fn load(&self) -> (usize, usize);

    /// Says in `metrics` what the app's services have in common.
    fn tell(&self, metrics: &mut AppMetrics);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Adds where there is something to add: a look takes the line from no other core.
fn add(counter: &AtomicU64, count: u64) {
    if count > 0 {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

// === impl RunFigures ===

impl RunFigures {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            cpu: Buckets::of_time(),
            wait: Buckets::of_time(),
            preempted: Buckets::of_time(),
            peak_memory: Buckets::of_bytes(),
            tasks: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            preemptions: AtomicU64::new(0),
            limits: std::array::from_fn(|_| AtomicU64::new(0)),
        })
    }

    /// A run is over that has used so much.
    pub(crate) fn ended(&self, stats: &RunStats) {
        self.cpu.add_time(stats.cpu_time);
        self.wait.add_time(stats.wait_time);
        self.preempted.add_time(stats.preempted_time);
        self.peak_memory.add(stats.peak_memory);
        add(&self.tasks, stats.tasks);
        add(&self.reused, stats.reused);
        add(&self.traps, stats.traps);
        add(&self.preemptions, stats.preemptions);
    }

    /// A limit ended a task, or refused something to it.
    pub(crate) fn reached(&self, limit: LimitKind) {
        self.limits[limit as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> RunMetrics {
        let mut limits = BTreeMap::new();
        for (kind, count) in LIMITS.iter().zip(&self.limits) {
            *limits.entry(kind.name().to_owned()).or_default() += read(count);
        }
        RunMetrics {
            cpu_seconds: self.cpu.read(),
            wait_seconds: self.wait.read(),
            preempted_seconds: self.preempted.read(),
            peak_memory_bytes: self.peak_memory.read(),
            tasks: read(&self.tasks),
            reused: read(&self.reused),
            traps: read(&self.traps),
            preemptions: read(&self.preemptions),
            limits,
        }
    }
}

// === impl AppFigures ===

impl AppFigures {
    fn new(clock: Arc<Clock>) -> Arc<Self> {
        Arc::new(Self {
            runs: RunFigures::new(),
            clock,
            latency: Buckets::of_time(),
            statuses: std::array::from_fn(|_| AtomicU64::new(0)),
            refused: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            told_cpu: AtomicU64::new(0),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// A response begins.
    pub(crate) fn responds(&self, status: u16) {
        self.statuses[status::place(status)].fetch_add(1, Ordering::Relaxed);
    }

    /// A response is over whose request came at `start`.
    pub(crate) fn has_responded(&self, start: Instant) {
        self.latency
            .add_time(self.now().saturating_duration_since(start));
    }

    /// The queue has no room for a request.
    pub(crate) fn refuses(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A client has gone away before its response began.
    pub(crate) fn is_abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    /// At least what was told before: what is in flight is estimated, and a counter that goes back looks like a new one.
    fn never_less(&self, cpu_seconds: f64) -> f64 {
        let now = (cpu_seconds * 1e9) as u64;
        let before = self.told_cpu.fetch_max(now, Ordering::Relaxed);
        before.max(now) as f64 / 1e9
    }

    fn read(&self) -> AppMetrics {
        let statuses = self.statuses.iter().enumerate();
        AppMetrics {
            statuses: statuses
                .map(|(place, count)| (status::name(place), read(count)))
                .collect(),
            refused: read(&self.refused),
            abandoned: read(&self.abandoned),
            duration_seconds: self.latency.read(),
            runs: self.runs.read(),
            ..AppMetrics::default()
        }
    }
}

// === impl HostFigures ===

impl HostFigures {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        Self {
            runs: RunFigures::new(),
            compile: Arc::new(Buckets::of_time()),
            lag: Arc::new(Buckets::of_time()),
            clock,
            apps: Mutex::default(),
        }
    }

    /// The figures of the app of this name: new ones, if no service has any.
    pub(crate) fn app(&self, name: &str) -> Arc<AppFigures> {
        let apps = lock(&self.apps);
        let found = apps.get(name).and_then(|app| app.figures.upgrade());
        found.unwrap_or_else(|| AppFigures::new(self.clock.clone()))
    }

    /// A service of this name begins, and takes the place of another one.
    pub(crate) fn serves(&self, name: &str, figures: &Arc<AppFigures>, service: Weak<dyn AppNow>) {
        let mut apps = lock(&self.apps);
        apps.retain(|_, app| app.figures.strong_count() > 0);
        let app = apps.entry(name.to_owned()).or_insert_with(|| App {
            figures: Weak::new(),
            services: Vec::new(),
        });
        app.figures = Arc::downgrade(figures);
        app.services.retain(|service| service.strong_count() > 0);
        app.services.push(service);
    }

    /// All apps that a service is there of.
    pub(crate) fn apps(&self) -> Vec<AppMetrics> {
        // What is upgraded is dropped outside of the lock: services hold instances.
        let apps: Vec<_> = lock(&self.apps)
            .iter()
            .filter_map(|(name, app)| {
                let figures = app.figures.upgrade()?;
                let services: Vec<_> = app.services.iter().filter_map(Weak::upgrade).collect();
                Some((name.clone(), figures, services))
            })
            .collect();
        let all = apps.into_iter().map(|(name, figures, services)| {
            let mut metrics = figures.read();
            metrics.name = name;
            for service in &services {
                let (running, waiting) = service.load();
                metrics.running += running as u64;
                metrics.waiting += waiting as u64;
            }
            if let Some(newest) = services.last() {
                newest.tell(&mut metrics);
            }
            metrics.cpu_seconds = figures.never_less(metrics.cpu_seconds);
            metrics
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts a limit that is counted as another one.
    #[test]
    fn each_limit_has_its_own_place() {
        for (place, kind) in LIMITS.iter().enumerate() {
            assert_eq!(*kind as usize, place);
        }
    }

    /// A service of this weight, whose app has used as many seconds of CPU time.
    fn service(weight: u32) -> Arc<dyn AppNow> {
        struct Weighed(u32);
        impl AppNow for Weighed {
            fn load(&self) -> (usize, usize) {
                (1, 2)
            }

            fn tell(&self, metrics: &mut AppMetrics) {
                metrics.weight = Some(self.0);
                metrics.cpu_seconds = self.0.into();
            }
        }
        Arc::new(Weighed(weight))
    }

    /// Hunts an app that loses its weight, its load or its CPU time when a newer service goes.
    #[test]
    fn the_newest_service_that_is_there_tells() {
        let all = HostFigures::new(Arc::new(Clock::new(None)));
        let figures = all.app("a");
        let (old, new) = (service(1), service(2));
        let now = || {
            let app = all.apps().remove(0);
            (app.weight, app.running, app.waiting, app.cpu_seconds)
        };
        all.serves("a", &figures, Arc::downgrade(&old));
        assert_eq!(now(), (Some(1), 1, 2, 1.0));
        all.serves("a", &figures, Arc::downgrade(&new));
        assert_eq!(now(), (Some(2), 2, 4, 2.0));
        drop(new);
        assert_eq!(now(), (Some(1), 1, 2, 2.0));
        drop(old);
        assert_eq!(now(), (None, 0, 0, 2.0));
    }

    /// Hunts an app that begins anew when its service is exchanged, and one that stays when all its services are gone.
    #[test]
    fn figures_live_as_long_as_a_service() {
        let figures = HostFigures::new(Arc::new(Clock::new(None)));
        let now = service(1);
        let first = figures.app("a");
        figures.serves("a", &first, Arc::downgrade(&now));
        first.responds(200);
        let second = figures.app("a");
        figures.serves("a", &second, Arc::downgrade(&now));
        drop(first);
        assert_eq!(figures.apps()[0].statuses["200"], 1);
        drop(second);
        assert!(figures.apps().is_empty());
    }
}
