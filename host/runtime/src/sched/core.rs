//! What tasks know of their runtime: executor, clock, platform, workers.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use hart_executor::{Executor, Platform as _};
use wasmtime::{Engine, EngineWeak};

use crate::base::error::BuildError;
use crate::base::stats::WorkerStats;
use crate::base::sync::lock;
use crate::quota::account::{Account, HostFiles};
use crate::quota::relief::Relief;
use crate::sched::clock::Clock;
use crate::sched::machine::SharedMachine;
use crate::sched::platform::HostPlatform;
use crate::sched::preemption::Preemption;
use crate::sched::profile::GuestProfile;
use crate::sched::this_worker::this_worker;
use crate::sched::trace::recorder::Recorder;
use crate::sched::workers::Crew;

/// What tasks know of their runtime.
pub(crate) struct Core {
    /// The simulated machine under it, if it is one.
    pub(crate) machine: Option<SharedMachine>,
    /// What tasks and workers do, if that is wanted.
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) executor: Executor,
    pub(crate) platform: Arc<HostPlatform>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) crew: Arc<Crew>,
    /// One entry per number that a worker may have.
    counters: Box<[WorkerCounters]>,
    engines: Mutex<Vec<(EngineWeak, Preemption)>>,
    /// Whether an engine that meters fuel was ever attached.
    meters_fuel: AtomicBool,
    closed: AtomicBool,
    next_id: AtomicU64,
    /// File descriptors that all groups hold together.
    pub(crate) files: Arc<HostFiles>,
    /// Who holds memory that can be given back.
    pub(crate) relief: OnceLock<Weak<dyn Relief>>,
    /// What guests do, where that is sampled.
    pub(crate) profile: OnceLock<Arc<GuestProfile>>,
}

/// What this crate counts about a worker, beside what the executor counts.
#[derive(Default)]
pub(crate) struct WorkerCounters {
    pub(crate) preemptions: AtomicU64,
    pub(crate) spawns: AtomicU64,
    pub(crate) joins: AtomicU64,
}

// === impl Core ===

impl Core {
    /// What a runtime consists of; nothing runs yet.
    pub(crate) fn new(
        workers: usize,
        tokio: Option<tokio::runtime::Handle>,
        machine: Option<SharedMachine>,
        trace: Option<usize>,
        files: Option<u64>,
    ) -> Arc<Self> {
        let recorder =
            trace.map(|events| Arc::new(Recorder::new(Crew::most_numbers(workers), events)));
        let platform = Arc::new(match (machine.clone(), recorder.clone()) {
            (Some(machine), _) => HostPlatform::simulated(machine),
            (None, None) => HostPlatform::threads(),
            (None, Some(recorder)) => HostPlatform::traced(recorder),
        });
        let executor = Executor::with_platform(workers, platform.clone());
        let clock = Arc::new(Clock::new(machine.clone()));
        let told = clock.clone();
        platform.tell_of_contention(move |slice| told.contended(slice));
        let crew = Arc::new(Crew::new(workers, executor.clone(), tokio));
        let files = match &machine {
            Some(_) => HostFiles::simulated(files),
            None => HostFiles::new(files),
        };
        Arc::new(Self {
            machine,
            recorder,
            executor,
            platform,
            clock,
            counters: (0..crew.numbers())
                .map(|_| WorkerCounters::default())
                .collect(),
            crew,
            engines: Mutex::new(Vec::new()),
            meters_fuel: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
            files: Arc::new(files),
            relief: OnceLock::new(),
            profile: OnceLock::new(),
        })
    }

    pub(crate) fn attach(&self, engine: &Engine, preemption: Preemption) -> Result<(), BuildError> {
        if !preemption.is_valid() {
            return Err(BuildError::Setting(
                "a slice of zero would never let a guest run: give it a length".into(),
            ));
        }

        let compiled = match (engine.get_epoch_interruption(), engine.get_consume_fuel()) {
            (true, false) => "epoch",
            (false, true) => "fuel",
            (false, false) => "none",
            (true, true) => "epoch and fuel",
        };
        if compiled != preemption.mode() {
            return Err(BuildError::Attach(format!(
                "the engine is set up for `{compiled}` preemption and not for `{}`: call `hart_host::configure` on its `Config`",
                preemption.mode()
            )));
        }
        let mut engines = lock(&self.engines);
        engines.retain(|(weak, _)| {
            weak.upgrade()
                .is_some_and(|other| !Engine::same(&other, engine))
        });
        engines.push((engine.weak(), preemption));
        match preemption {
            Preemption::Epoch { slice } => self.clock.attach(engine, slice),
            Preemption::Fuel { .. } => self.meters_fuel.store(true, Ordering::Relaxed),
            Preemption::None => {}
        }
        Ok(())
    }

    pub(crate) fn workers(&self) -> usize {
        self.crew.workers()
    }

    /// Whether a guest may meter fuel. A task is polled in slices from its first poll on, in which its
    /// store is only armed.
    pub(crate) fn meters_fuel(&self) -> bool {
        self.meters_fuel.load(Ordering::Relaxed)
    }

    /// How guests of `engine` are preempted, if it is attached.
    pub(crate) fn preemption_of(&self, engine: &Engine) -> Option<Preemption> {
        lock(&self.engines)
            .iter()
            .find(|(weak, _)| {
                weak.upgrade()
                    .is_some_and(|other| Engine::same(&other, engine))
            })
            .map(|(_, preemption)| *preemption)
    }

    /// A number that no other task or run of this runtime has.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts something about the worker of this thread, if it is one.
    pub(crate) fn count(&self, counter: impl FnOnce(&WorkerCounters) -> &AtomicU64) {
        if let Some(worker) = this_worker().and_then(|id| self.counters.get(id)) {
            counter(worker).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs `work` of the runtime's own on a worker, before any guest's next turn. Once the runtime is
    /// closed it is dropped. Not for what a guest can cause again and again: see [`spawn_for`](Self::spawn_for).
    pub(crate) fn spawn_aside(
        &self,
        kind: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn_in(None, kind, work);
    }

    /// Runs `work` that is done for a group's tasks in the turns of that group, at its expense. Once the runtime is
    /// closed it is dropped.
    pub(crate) fn spawn_for(
        &self,
        group: &hart_executor::Group,
        kind: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn_in(Some(group), kind, work);
    }

    fn spawn_in(
        &self,
        group: Option<&hart_executor::Group>,
        kind: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let builder = self.executor.build_task().kind(kind).group(group);
        drop(builder.try_spawn(work));
    }

    /// Has memory given back that counts against the limits of `account`, if somebody can do without it. Not under a
    /// lock of this crate: it drops stores.
    pub(crate) fn relieve(&self, account: &Account) -> bool {
        let relief = self.relief.get().and_then(Weak::upgrade);
        relief.is_some_and(|relief| relief.relieve(account))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        // Guests that run must end: never taken back, and without effect where none runs.
        self.clock.killed();
        self.executor.close();
    }

    pub(crate) fn worker_stats(&self) -> Vec<WorkerStats> {
        let mut stats: Vec<WorkerStats> = self
            .counters
            .iter()
            .enumerate()
            .map(|(id, counters)| WorkerStats {
                id,
                preemptions: counters.preemptions.load(Ordering::Relaxed),
                spawns: counters.spawns.load(Ordering::Relaxed),
                joins: counters.joins.load(Ordering::Relaxed),
                ..WorkerStats::default()
            })
            .collect();
        for worker in self.executor.workers() {
            if let Some(stats) = stats.get_mut(worker.id) {
                stats.polls = worker.polls;
                stats.steals = worker.steals;
                stats.parks = worker.parks;
                let cpu = self.platform.cpu_time_of(worker.id);
                stats.cpu_time = Duration::from_nanos(cpu.unwrap_or(0));
            }
        }
        // Numbers that nobody has had.
        let used = stats.iter().rposition(|stats| stats.polls > 0);
        stats.truncate(self.workers().max(used.map_or(0, |last| last + 1)));
        stats
    }
}

#[cfg(test)]
impl Core {
    /// The books of a run, for tests of what is counted in them.
    pub(crate) fn account(
        &self,
        limits: crate::quota::limits::Limits,
        tenant: Option<Arc<crate::quota::account::tenant::TenantAccount>>,
    ) -> Arc<Account> {
        let share = crate::quota::share::Share::default();
        Account::open(
            &self.executor,
            String::new(),
            share,
            limits,
            tenant,
            &self.files,
        )
        .expect("the weight is one, and there is memory")
    }
}
