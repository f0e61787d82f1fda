//! The second layer: workers, clock and drivers for an embedder who brings wasmtime along.

mod builder;
mod crew;
mod group;
mod kernel_slice;
mod threads;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use hart_executor::Executor;
use wasmtime::{Engine, EngineWeak};

pub use builder::RuntimeBuilder;
pub use group::{Cx, Group, GroupBuilder, Task, TaskError};

use crate::account::Account;
use crate::clock::Clock;
use crate::platform::HostPlatform;
use crate::simulate::SharedMachine;
use crate::sync::lock;
use crate::task::Control;
use crate::trace::Recorder;
use crate::{BuildError, Preemption, TenantBuilder, Trace, WorkerStats};
pub(crate) use crew::{Crew, Seen, this_worker};
pub(crate) use kernel_slice::shorten as shorten_kernel_slice;
use threads::Threads;

/// Worker threads, the epoch clock and WASI's drivers: what guests of any number of engines share.
///
/// This is the second layer: the embedder keeps its own `Engine`, `Linker<T>`, `Store<T>` and
/// bindings. A handle; dropping the last one closes the runtime as [`close`](Self::close) does, which
/// is fine inside async code.
///
/// # Examples
///
/// ```
/// use hart_host::{Preemption, Runtime, configure};
/// use wasmtime::{Config, Engine, Store, component::{Component, Linker}};
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let mut config = Config::new();
/// configure(&mut config, Preemption::epoch());
/// let engine = Engine::new(&config)?;
/// runtime.attach(&engine, Preemption::epoch())?;
///
/// let component = Component::new(&engine, r#"
///     (component
///         (core module $m (func (export "f") (param i32) (result i32)
///             local.get 0 i32.const 2 i32.mul))
///         (core instance $i (instantiate $m))
///         (func (export "double") (param "x" u32) (result u32) (canon lift (core func $i "f"))))
/// "#)?;
/// let linker = Linker::<()>::new(&engine);
///
/// let group = runtime.group().name("doublers").build()?;
/// let task = group.spawn(async move |cx| {
///     let mut store = Store::new(&engine, ());
///     cx.arm(&mut store)?;
///     let instance = linker.instantiate_async(&mut store, &component).await?;
///     let double = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "double")?;
///     let (doubled,) = double.call_async(&mut store, (21,)).await?;
///     Ok::<_, wasmtime::Error>(doubled)
/// });
/// assert_eq!(task.wait()??, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Runtime {
    pub(crate) owner: Arc<Owner>,
}

/// The last one dropped closes the runtime. Tasks hold the [`Inner`] and not this.
pub(crate) struct Owner {
    pub(crate) inner: Arc<Inner>,
    threads: Threads,
}

/// What tasks know of their runtime.
pub(crate) struct Inner {
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
    /// Who holds memory that can be given back.
    pub(crate) relief: OnceLock<Weak<dyn Relief>>,
}

/// Holds memory, counted for accounts, that it can do without.
pub(crate) trait Relief: Send + Sync {
    /// Gives back what counts against limits that `account` is subject to; says whether there was anything.
    fn relieve(&self, account: &Account) -> bool;
}

/// What this crate counts about a worker, beside what the executor counts.
#[derive(Default)]
pub(crate) struct WorkerCounters {
    pub(crate) preemptions: AtomicU64,
    pub(crate) spawns: AtomicU64,
    pub(crate) joins: AtomicU64,
}

// === impl Runtime ===

impl Runtime {
    /// A runtime with settings.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    /// Lets the guests of `engine` be preempted: the engine joins the epoch clock, or its stores are
    /// armed for fuel.
    ///
    /// The engine may be dropped at any time; the runtime does not keep it.
    ///
    /// # Errors
    ///
    /// [`BuildError::Attach`] if the engine's configuration is not what
    /// [`configure`](crate::configure) makes for `preemption`, [`BuildError::Setting`] if the slice is
    /// zero.
    pub fn attach(&self, engine: &Engine, preemption: Preemption) -> Result<(), BuildError> {
        self.owner.inner.attach(engine, preemption)
    }

    /// A new group of tasks: the unit of fair share, limits and accounting.
    pub fn group(&self) -> GroupBuilder {
        GroupBuilder::new(self.owner.inner.clone())
    }

    /// A new tenant: a group of groups.
    pub fn tenant(&self) -> TenantBuilder {
        TenantBuilder::new(self.owner.inner.clone())
    }

    /// The first layer: the executor under this runtime, for any future in any group.
    pub fn executor(&self) -> &Executor {
        &self.owner.inner.executor
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.owner.inner.workers()
    }

    /// What each worker did. There are more than [`workers`](Self::workers) where one was stuck and another
    /// thread took its place.
    pub fn worker_stats(&self) -> Vec<WorkerStats> {
        self.owner.inner.worker_stats()
    }

    /// What the workers did, if the runtime is [traced](RuntimeBuilder::trace).
    pub fn trace(&self) -> Option<Trace> {
        self.owner.inner.recorder.clone().map(Trace::new)
    }

    /// How many times epochs were incremented.
    pub fn epochs(&self) -> u64 {
        self.owner.inner.clock.epochs()
    }

    /// Ends everything: every task is cancelled and its joiner told so, and the threads leave.
    /// Running guests stop at their next preemption point. Does not wait for the threads; dropping
    /// the last handle does.
    pub fn close(&self) {
        self.owner.inner.close();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("workers", &self.workers())
            .field("closed", &self.owner.inner.is_closed())
            .finish_non_exhaustive()
    }
}

// === impl Owner ===

impl Owner {
    /// Closes the runtime and waits at most `patience` for its threads.
    fn shut_down(&self, patience: Duration) {
        self.inner.close();
        self.threads.join(&self.inner.clock, patience);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shut_down(threads::PATIENCE);
    }
}

// === impl Inner ===

impl Inner {
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
    /// closed it is dropped.
    pub(crate) fn spawn_aside(
        &self,
        kind: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let spawned = self
            .executor
            .build_task()
            .kind(kind)
            .group(None)
            .try_spawn(work);
        drop(spawned);
    }

    /// Drops what a killed task holds, on a worker: a store can be big, and the caller may be the clock, a
    /// guest in the middle of a host call, or the embedder's own event loop. An executor that is closed drops
    /// all futures itself.
    pub(crate) fn reap(&self, control: Arc<Control>) {
        if control.task().is_some() {
            self.spawn_aside("reaper", async move { control.dispose() });
        }
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
            }
        }
        // Numbers that nobody has had.
        let used = stats.iter().rposition(|stats| stats.polls > 0);
        stats.truncate(self.workers().max(used.map_or(0, |last| last + 1)));
        stats
    }
}
