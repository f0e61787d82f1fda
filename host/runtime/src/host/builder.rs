//! Making a [`Host`].

use std::any::TypeId;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use wasmtime::Config;

use crate::base::beside::beside;
use crate::base::error::BuildError;
use crate::base::span::Tracer;
use crate::engine::cache::{self, Cache};
use crate::engine::config::{self, Deterministic, OwnConfig, Wanted};
use crate::engine::profile::{PoolScan, Profile};
use crate::engine::slots::{self, Kind};
use crate::engine::tier::Tier;
use crate::host::backend::{Backend, Blueprint, Imports};
use crate::host::handle::{Handle, Host, HostInner, RunData};
use crate::instance::events::{Hooks, OwnHook};
use crate::instance::program::{Child, ChildData};
use crate::instance::registry::Registry;
use crate::instance::warm::WarmInstances;
use crate::metrics::figures::HostFigures;
use crate::metrics::lag::probe;
use crate::quota::limits::Limits;
use crate::quota::memory_pressure::{Available, Pressure};
use crate::quota::process_limits::ProcessLimits;
use crate::quota::relief::Relief;
use crate::runtime::builder::RuntimeBuilder;
use crate::runtime::handle::Runtime;
use crate::sched::core::Core;
use crate::sched::io_threads::Io;
use crate::sched::machine::Machine;
use crate::sched::preemption::Preemption;

/// Settings of a [`Host`]. From [`Host::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct HostBuilder<T: 'static = ()> {
    runtime: RuntimeBuilder,
    preemption: Preemption,
    limits: Limits,
    instances: u32,
    profile: Profile,
    wasm_stack: usize,
    scan: PoolScan,
    cache: Cache,
    tier: Tier,
    memory_reserve: Option<u64>,
    available_memory: Option<Available>,
    backtrace_details: bool,
    metrics: bool,
    config: Vec<Box<OwnConfig>>,
    pub(super) imports: Vec<Imports<T>>,
    pub(super) async_imports: Vec<Imports<T>>,
    pub(super) capabilities: Vec<TypeId>,
    pub(super) hooks: Vec<Box<OwnHook>>,
    pub(super) tracer: Option<Arc<dyn Tracer>>,
    pub(super) data: Option<Box<RunData<T>>>,
    child_data: Arc<ChildData<T>>,
}

impl Host {
    /// A host with settings, without data of the embedder's: see [`HostBuilder::with_data`] for one with.
    pub fn builder() -> HostBuilder {
        HostBuilder::with_data(|_, ()| ()).data(|| ())
    }
}

impl HostBuilder {
    /// The default of [`instances`](Self::instances).
    pub const DEFAULT_INSTANCES: u32 = slots::DEFAULT_INSTANCES;
    /// What [`wasm_stack`](Self::wasm_stack) may be, in bytes.
    pub const WASM_STACK: RangeInclusive<usize> = config::WASM_STACKS;
}

impl<T: Send + 'static> HostBuilder<T> {
    /// A host whose stores have data of the embedder's own, for its [`imports`](Self::imports):
    /// [`GuestState::data`](crate::GuestState::data).
    ///
    /// The root of a run has what [`RunBuilder::data`](crate::RunBuilder::data) says, or [`data`](Self::data). A task that
    /// a guest spawns has what `child_data` makes of that of the task which spawns it. It is called while that one calls
    /// `spawn`, on a worker: it must not take long. Tasks that may use an instance again (`task-options.reuse`) have a new
    /// one all the same.
    ///
    /// ```
    /// use hart_host::{Cache, HostBuilder};
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// /// Each run counts for itself, with all its tasks.
    /// struct Calls(Arc<AtomicU32>);
    ///
    /// let host = HostBuilder::with_data(|_child, parent: &Calls| Calls(parent.0.clone()))
    ///     .imports(|linker| {
    ///         linker.root().func_wrap("call", |store, ()| {
    ///             store.data().data().0.fetch_add(1, Ordering::Relaxed);
    ///             Ok(())
    ///         })
    ///     })
    ///     .cache(Cache::Off)
    ///     .build()?;
    /// let component = host.load(br#"
    ///     (component
    ///         (import "call" (func $call))
    ///         (core func $lowered (canon lower (func $call)))
    ///         (core module $m
    ///             (import "" "call" (func $call))
    ///             (func (export "twice") call $call call $call))
    ///         (core instance $i (instantiate $m
    ///             (with "" (instance (export "call" (func $lowered))))))
    ///         (func (export "twice") (canon lift (core func $i "twice"))))
    /// "#)?;
    /// let calls = Arc::new(AtomicU32::new(0));
    /// let run = host.invoke(&component, "twice()")?.data(Calls(calls.clone()));
    /// run.start()?.wait()?;
    /// assert_eq!(calls.load(Ordering::Relaxed), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_data<F>(child_data: F) -> Self
    where
        F: Fn(&Child<'_>, &T) -> T + Send + Sync + 'static,
    {
        Self {
            child_data: Arc::new(child_data),
            runtime: Runtime::builder(),
            preemption: Preemption::default(),
            limits: Limits::new(),
            instances: HostBuilder::DEFAULT_INSTANCES,
            profile: Profile::default(),
            wasm_stack: config::WASM_STACK,
            scan: PoolScan::default(),
            cache: Cache::default(),
            tier: Tier::default(),
            memory_reserve: None,
            available_memory: None,
            backtrace_details: false,
            metrics: false,
            config: Vec::new(),
            imports: Vec::new(),
            async_imports: Vec::new(),
            capabilities: Vec::new(),
            hooks: Vec::new(),
            tracer: None,
            data: None,
        }
    }

    /// How many worker threads. Default: as many as the process may use cores.
    pub fn workers(mut self, workers: usize) -> Self {
        self.runtime = self.runtime.workers(workers);
        self
    }

    /// How guests are interrupted. Default: epochs, 1 ms apart.
    pub fn preemption(mut self, preemption: Preemption) -> Self {
        self.preemption = preemption;
        self
    }

    /// The limits of every run that does not set its own.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The tokio runtime whose drivers WASI uses; see
    /// [`RuntimeBuilder::tokio`]. Default: a small one of the host's own. [`build`](Self::build) refuses one without
    /// timers or I/O.
    pub fn tokio(mut self, handle: tokio::runtime::Handle) -> Self {
        self.runtime = self.runtime.tokio(handle);
        self
    }

    /// Slots in the pool of instances: how many guest tasks can have started and not ended. Default 1,000; at most
    /// 100,000. Fewer where the system allows no more: [`Host::settings`] tells.
    ///
    /// Others wait, tenants in turn (and runs that have no tenant). So that nobody's tasks can keep everybody else out by
    /// never ending, one tenant, or such a run, gets no further slot while it holds twice as many as are free: two
    /// thirds of the pool where it is alone, unless its tasks wait for each other. A component of which one instance
    /// takes more than that (one slot for each linear memory, or for eight tables) cannot be run.
    ///
    /// So that parents and children never wait for each other's slots, a task starts only where one more is free for
    /// each level that may nest below it ([`Limits::depth`]). A task that never ends keeps its slot: where those of a
    /// run leave too few, what it spawns later waits until one of them is cancelled.
    ///
    /// Components that use component-model async have a second pool, cut in the same way when the first of them is
    /// loaded.
    pub fn instances(mut self, instances: u32) -> Self {
        self.instances = instances;
        self
    }

    /// File descriptors that all guests together may hold: open files and sockets; see [`Limits::files`] for what counts.
    ///
    /// Default, and at most: what the system allows the process (`RLIMIT_NOFILE`, when the host is made), less a quarter
    /// of it, and less 64 at least, which are left for the embedder. So that they are left in any case, guests get none
    /// either where the lowest free number is one of these last: an embedder that holds more itself leaves guests fewer.
    pub fn files(mut self, files: u64) -> Self {
        self.runtime = self.runtime.files(files);
        self
    }

    /// How instances trade speed for what the system allows. Default: [`Profile::Fast`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Bytes of stack that a guest's code may use; a guest that needs more traps. Default 524,288 (512 KiB). Each slot of the pool has a stack of so much address space, and 1.5 MiB more for host functions.
    pub fn wasm_stack(mut self, bytes: usize) -> Self {
        self.wasm_stack = bytes;
        self
    }

    /// Whether the pool asks the kernel which pages a guest has written. Default: [`PoolScan::Auto`].
    pub fn pool_scan(mut self, scan: PoolScan) -> Self {
        self.scan = scan;
        self
    }

    /// Where compiled code is kept, so that it is not compiled again. Default: nowhere.
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = cache;
        self
    }

    /// Which code components run, where [`Loader::tier`](crate::Loader::tier) says nothing. Default: [`Tier::Auto`].
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// Bytes of the system's memory that are kept free: with less left, guest tasks that have not started wait, while
    /// others run, and one starts in a tenth of a second. Those that a run needs to go on, because all its tasks that
    /// have started wait for others, start all the same. Default: a 32nd of what there is for this process, at most
    /// 256 MiB. 0 means that nobody waits.
    pub fn memory_reserve(mut self, bytes: u64) -> Self {
        self.memory_reserve = Some(bytes);
        self
    }

    /// How many bytes of memory can be had, for [`memory_reserve`](Self::memory_reserve), where the embedder knows
    /// better; `None` if that is not known now. Default: what Linux says of the system and of the control groups that
    /// this process is in. Called ten times a second at most, on the thread that spawns or on a worker: it must
    /// not take long.
    ///
    /// ```
    /// use hart_host::{Cache, Host};
    ///
    /// let heap_left = || Some(900_u64 << 20);
    /// let host = Host::builder()
    ///     .cache(Cache::Off)
    ///     .memory_reserve(64 << 20)
    ///     .available_memory(heap_left)
    ///     .build()?;
    /// # Ok::<(), hart_host::BuildError>(())
    /// ```
    pub fn available_memory<F>(mut self, available: F) -> Self
    where
        F: Fn() -> Option<u64> + Send + Sync + 'static,
    {
        self.available_memory = Some(Box::new(available));
        self
    }

    /// Whether backtraces of traps have files and lines, where a component brings debug information.
    /// Default: no. It is read when a trap happens, at the host's expense, so say yes only for components
    /// whose author you trust; names of functions are there in any case. It is a property of compiled code:
    /// [`Host::load_precompiled`] refuses what was compiled the other way.
    pub fn backtrace_details(mut self, details: bool) -> Self {
        self.backtrace_details = details;
        self
    }

    /// Settings of the embedder's own for wasmtime: proposals, flags of the compiler, a profiler. It is called for each of
    /// the host's engines, of which there may be two.
    ///
    /// hart's own settings come after it and win:
    ///
    /// | what | is set by |
    /// | --- | --- |
    /// | interruption by epochs or fuel | [`preemption`](Self::preemption) |
    /// | component-model async | what the component uses |
    /// | the allocator of instances, reservation and guards of memories, copy-on-write images | [`profile`](Self::profile), [`instances`](Self::instances), the system |
    /// | sizes of stacks | [`wasm_stack`](Self::wasm_stack) |
    /// | details of backtraces | [`backtrace_details`](Self::backtrace_details) |
    /// | canonical NaNs and deterministic SIMD | on a simulated machine only |
    /// | shared memories | off: who waits for one cannot be preempted |
    ///
    /// What cannot hold beside these ends [`build`](Self::build) with [`BuildError::Config`]: a host without the component
    /// model, for instance, or one for another machine than this.
    ///
    /// ```
    /// use hart_host::{Cache, Host};
    ///
    /// let host = Host::builder()
    ///     .config(|config| {
    ///         config.wasm_relaxed_simd(false);
    ///     })
    ///     .cache(Cache::Off)
    ///     .build()?;
    /// # Ok::<(), hart_host::BuildError>(())
    /// ```
    pub fn config<F>(mut self, config: F) -> Self
    where
        F: Fn(&mut Config) + Send + Sync + 'static,
    {
        self.config.push(Box::new(config));
        self
    }

    /// Whether figures are collected for [`Host::metrics`]: of requests and runs, compilations, and how late workers are.
    /// Default: no. Without them a host counts nothing for it. With them a request adds to some fifteen counters of its
    /// app, and a task of the host's own is polled ten times a second.
    pub fn metrics(mut self, metrics: bool) -> Self {
        self.metrics = metrics;
        self
    }

    /// Records what workers do, for [`Runtime::trace`]; see [`RuntimeBuilder::trace`].
    pub fn trace(mut self, events: usize) -> Self {
        self.runtime = self.runtime.trace(events);
        self
    }

    /// Starts the threads and makes the engine.
    ///
    /// # Errors
    ///
    /// [`BuildError::Setting`] for zero workers, instances or slice, a stack of no sensible size, and where the system does not allow even
    /// one instance; [`BuildError::Engine`] if wasmtime or the system refuses the pool; [`BuildError::Config`] as [`config`](Self::config) says; [`BuildError::Imports`] if a hook fails;
    /// [`BuildError::Thread`] if the system has no more threads.
    pub fn build(self) -> Result<Host<T>, BuildError> {
        let blocking = self.blocking_threads();
        self.build_with(Deterministic::No, |runtime| {
            runtime.blocking_threads(blocking).build()
        })
    }

    /// Makes the engine and a host without threads, on a simulated machine: see
    /// [`simulate`](crate::simulate). `workers` says how many cores it has. Guests are compiled so that
    /// they compute the same on every machine of this architecture.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub fn build_on(self, machine: Arc<dyn Machine>) -> Result<Host<T>, BuildError> {
        self.build_with(Deterministic::Yes, |runtime| runtime.build_on(machine))
    }

    fn blocking_threads(&self) -> u64 {
        self.limits
            .blocking_threads
            .unwrap_or(Limits::DEFAULT_BLOCKING_THREADS)
    }

    fn build_with<F>(self, deterministic: Deterministic, runtime: F) -> Result<Host<T>, BuildError>
    where
        F: FnOnce(RuntimeBuilder) -> Result<Runtime, BuildError> + Send,
    {
        if !self.preemption.is_valid() {
            return Err(BuildError::Setting(
                "a slice of zero would never let a guest run: give it a length".into(),
            ));
        }
        let blocking = self.blocking_threads();
        let blueprint = Blueprint {
            wanted: Wanted {
                preemption: self.preemption,
                instances: self.instances,
                profile: self.profile,
                wasm_stack: self.wasm_stack,
                scan: self.scan,
                memory: self
                    .limits
                    .memory
                    .filter(|bytes| *bytes > Limits::DEFAULT_MEMORY),
                backtrace_details: self.backtrace_details,
                deterministic,
                own: self.config,
            },
            imports: self.imports,
            async_imports: self.async_imports,
            capabilities: self.capabilities,
        };
        let parts = || blueprint.parts(Kind::Plain);
        let runtime = || runtime(self.runtime);
        // Where memory is limited, threads would take a part of what the pool was found to have, and tokio panics
        // when there is none left for its own.
        let (parts, runtime) =
            if deterministic == Deterministic::Yes || ProcessLimits::memory_is_limited() {
                (parts()?, runtime()?)
            } else {
                let (parts, runtime) = beside(parts, runtime);
                (parts?, runtime?)
            };
        let inner = &runtime.owner.inner;
        let threads = match deterministic {
            // There, files answer on the thread that polls the guest.
            Deterministic::Yes => 0,
            Deterministic::No => usize::try_from(blocking).unwrap_or(usize::MAX),
        };
        let now = inner.clock.now();
        let pressure = Arc::new(match deterministic {
            Deterministic::Yes => Pressure::none(now),
            Deterministic::No => Pressure::new(self.memory_reserve, self.available_memory, now),
        });
        let plain = Backend::new(parts, inner, self.preemption, &pressure)?;
        let warm = WarmInstances::new(inner.clone(), plain.admission.clone());
        let relief: Weak<dyn Relief> = Arc::downgrade(&(warm.clone() as Arc<dyn Relief>));
        let host = Arc::new(HostInner {
            runtime: inner.clone(),
            registry: Arc::new(Registry::default()),
            io: Io::new(threads),
            plain,
            concurrent: OnceLock::new(),
            making: Mutex::new(()),
            cache: cache::open(&self.cache),
            guarded: cache::to_be_guarded(&self.cache),
            tier: self.tier,
            blueprint,
            pressure,
            preemption: self.preemption,
            limits: self.limits,
            data: self.data,
            child_data: self.child_data,
            alarm: Mutex::default(),
            hooks: Hooks::new(self.hooks).map(Arc::new),
            tracer: self.tracer,
            figures: self.metrics.then(|| figures(inner)),
            warm,
        });
        // A runtime has one host, which is made here.
        let _ = inner.relief.set(relief);
        Ok(Host {
            handle: Arc::new(Handle {
                inner: host,
                runtime,
            }),
        })
    }
}

/// The figures of a host, and what measures how late its workers are.
fn figures(core: &Arc<Core>) -> Arc<HostFigures> {
    let figures = Arc::new(HostFigures::new(core.clock.clone()));
    // A simulated machine has no time of its own to be late in.
    if core.machine.is_none() {
        core.spawn_aside("lag", probe(core.clock.clone(), figures.lag.clone()));
    }
    figures
}

impl<T> fmt::Debug for HostBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBuilder")
            .field("preemption", &self.preemption)
            .field("limits", &self.limits)
            .field("instances", &self.instances)
            .finish_non_exhaustive()
    }
}
