//! Making a [`Host`].

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use wasmtime::component::Linker;

use super::cache::{self, Cache};
use super::engine::{Deterministic, Kind, Wanted};
use super::kept::Kept;
use super::pool::{PoolScan, Profile};
use super::pressure::{Available, Pressure};
use super::room::Room;
use super::site::{Blueprint, Imports, Site};
use super::state::GuestState;
use super::{Handle, Host, HostInner};
use crate::runtime::Relief;
use crate::signal::Signal;
use crate::simulate::Machine;
use crate::sync::lock;
use crate::{BuildError, Limits, Preemption, Runtime, RuntimeBuilder};

pub(super) type Data = Box<dyn Fn() -> Box<dyn Any + Send> + Send + Sync>;

/// Settings of a [`Host`]. From [`Host::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct HostBuilder {
    runtime: RuntimeBuilder,
    preemption: Preemption,
    limits: Limits,
    instances: u32,
    grows: bool,
    profile: Profile,
    scan: PoolScan,
    cache: Cache,
    memory_reserve: Option<u64>,
    available_memory: Option<Available>,
    backtrace_details: bool,
    imports: Vec<Imports>,
    async_imports: Vec<Imports>,
    data: Option<Data>,
}

impl HostBuilder {
    /// The default of [`instances`](Self::instances).
    pub const DEFAULT_INSTANCES: u32 = 1000;

    pub(super) fn new() -> Self {
        Self {
            runtime: Runtime::builder(),
            preemption: Preemption::default(),
            limits: Limits::new(),
            instances: Self::DEFAULT_INSTANCES,
            grows: false,
            profile: Profile::default(),
            scan: PoolScan::default(),
            cache: Cache::default(),
            memory_reserve: None,
            available_memory: None,
            backtrace_details: false,
            imports: Vec::new(),
            async_imports: Vec::new(),
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
    /// [`RuntimeBuilder::tokio`]. Default: a small one of the host's own.
    pub fn tokio(mut self, handle: tokio::runtime::Handle) -> Self {
        self.runtime = self.runtime.tokio(handle);
        self
    }

    /// Places in the pool of instances: how many guest tasks can have started and not ended. Others
    /// wait, tenants in turn (and runs that have no tenant). So that nobody's tasks can keep everybody else out by
    /// never ending, one tenant, or such a run, gets no further place while it holds twice as many as are free: two
    /// thirds of the pool where it is alone, unless its tasks wait for each other. Default 1,000; at most 100,000.
    /// Fewer where the system allows no more: [`Host::settings`] tells. Components that use component-model async
    /// have a second pool, cut in the same way when the first of them is loaded.
    pub fn instances(mut self, instances: u32) -> Self {
        self.instances = instances;
        self
    }

    /// Whether the pool begins with a few of its places and gets the others once those are taken. Default: no.
    ///
    /// The host is built sooner, in a quarter of the time where there are 1,000 places (`hart-bench startup --only pool`):
    /// worth it for a program that runs a component and ends, which may need one place only. A worker makes the others,
    /// once they are needed; who spawns meanwhile waits. If the system refuses them then, those that wait for nothing else
    /// end with an error that says so, and it is tried again after a second.
    ///
    /// The pool of an engine cannot grow, so the others are on an engine of their own, on which everything that is loaded
    /// is there once more, its code too. An embedder sees that in these ways: hooks of [`imports`](Self::imports) and
    /// [`async_imports`](Self::async_imports) are called once more, on a worker; [`Host::engine`] and
    /// [`Host::engine_for`] are that of the small pool; [`Component::as_wasmtime`](crate::Component::as_wasmtime) is one of
    /// two; and what [`Host::drive`] is given may be an instance of either, in which exports are to be looked up by name.
    ///
    /// Hosts of fewer than 32 places do not grow, nor do those of [`Profile::Dense`], simulated ones, those under
    /// `ulimit -v`, and those for which vm.max_map_count leaves no room for a few places more.
    pub fn grows(mut self, grows: bool) -> Self {
        self.grows = grows;
        self
    }

    /// How instances trade speed for what the system allows. Default: [`Profile::Fast`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Whether the pool asks the kernel which pages a guest has written. Default: [`PoolScan::Auto`].
    pub fn pool_scan(mut self, scan: PoolScan) -> Self {
        self.scan = scan;
        self
    }

    /// Where compiled code is kept. Default: in the user's cache directory.
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = cache;
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
    /// // Guests are to start while this program's heap has room for them.
    /// let heap_left = || Some(900_u64 << 20);
    /// let host = Host::builder()
    ///     .cache(Cache::Off)
    ///     .memory_reserve(64 << 20)
    ///     .available_memory(heap_left)
    ///     .build()?;
    /// # drop(host);
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

    /// Records what workers do, for [`Runtime::trace`]; see [`RuntimeBuilder::trace`].
    pub fn trace(mut self, events: usize) -> Self {
        self.runtime = self.runtime.trace(events);
        self
    }

    /// Adds imports of the embedder's own to the linker, beside WASI and `hart:exec`.
    ///
    /// ```
    /// use hart_host::{Cache, Host};
    ///
    /// let host = Host::builder()
    ///     .cache(Cache::Off)
    ///     .imports(|linker| linker.root().func_wrap("answer", |_, ()| Ok((42_u32,))))
    ///     .build()?;
    /// let component = host.load(br#"
    ///     (component
    ///         (import "answer" (func $answer (result u32)))
    ///         (core func $lowered (canon lower (func $answer)))
    ///         (core module $m
    ///             (import "" "answer" (func $answer (result i32)))
    ///             (func (export "ask") (result i32) call $answer))
    ///         (core instance $i (instantiate $m
    ///             (with "" (instance (export "answer" (func $lowered))))))
    ///         (func (export "ask") (result u32) (canon lift (core func $i "ask"))))
    /// "#)?;
    /// let outcome = host.invoke(&component, "ask()")?.start()?.wait()?;
    /// assert_eq!(outcome.to_wave()?, "42");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn imports<F>(mut self, imports: F) -> Self
    where
        F: Fn(&mut Linker<GuestState>) -> wasmtime::Result<()> + Send + Sync + 'static,
    {
        self.imports.push(Box::new(imports));
        self
    }

    /// The same, for components that use component-model async only: here functions may be asynchronous ones,
    /// which `func_wrap_concurrent` adds.
    ///
    /// Such components have what [`imports`](Self::imports) adds as well. The hook is called when the first
    /// one is loaded, and, in a host that [grows](Self::grows), once more when it does.
    pub fn async_imports<F>(mut self, imports: F) -> Self
    where
        F: Fn(&mut Linker<GuestState>) -> wasmtime::Result<()> + Send + Sync + 'static,
    {
        self.async_imports.push(Box::new(imports));
        self
    }

    /// Makes the embedder's own data for the store of every task; its imports find it with
    /// [`GuestState::data`].
    pub fn data<F, D>(mut self, data: F) -> Self
    where
        F: Fn() -> D + Send + Sync + 'static,
        D: Any + Send,
    {
        self.data = Some(Box::new(move || Box::new(data())));
        self
    }

    /// Starts the threads and makes the engine.
    ///
    /// # Errors
    ///
    /// [`BuildError::Setting`] for zero workers, instances or slice, and where the system does not allow even
    /// one instance; [`BuildError::Engine`] if wasmtime
    /// or the system refuses the pool; [`BuildError::Imports`] if a hook fails;
    /// [`BuildError::Thread`] if the system has no more threads.
    pub fn build(self) -> Result<Host, BuildError> {
        let blocking = self
            .limits
            .blocking_threads
            .unwrap_or(Limits::DEFAULT_BLOCKING_THREADS);
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
    pub fn build_on(self, machine: Arc<dyn Machine>) -> Result<Host, BuildError> {
        self.build_with(Deterministic::Yes, |runtime| runtime.build_on(machine))
    }

    fn build_with<F>(self, deterministic: Deterministic, runtime: F) -> Result<Host, BuildError>
    where
        F: FnOnce(RuntimeBuilder) -> Result<Runtime, BuildError> + Send,
    {
        if !self.preemption.is_valid() {
            return Err(BuildError::Setting(
                "a slice of zero would never let a guest run: give it a length".into(),
            ));
        }
        let blueprint = Arc::new(Blueprint {
            wanted: Wanted {
                preemption: self.preemption,
                instances: self.instances,
                profile: self.profile,
                scan: self.scan,
                backtrace_details: self.backtrace_details,
                deterministic,
                // Who goes first when it has grown is up to threads.
                grows: self.grows && deterministic == Deterministic::No,
            },
            imports: self.imports,
            async_imports: self.async_imports,
        });
        let parts = || blueprint.parts(Kind::Plain);
        let runtime = || runtime(self.runtime);
        // Where memory is limited, threads would take a part of what the pool was found to have, and tokio panics
        // when there is none left for its own.
        let (parts, runtime) = if deterministic == Deterministic::Yes || Room::memory_is_limited() {
            (parts()?, runtime()?)
        } else {
            let (parts, runtime) = beside(parts, runtime);
            (parts?, runtime?)
        };
        let inner = &runtime.owner.inner;
        let now = inner.clock.now();
        let pressure = Arc::new(match deterministic {
            Deterministic::Yes => Pressure::none(now),
            Deterministic::No => Pressure::new(self.memory_reserve, self.available_memory, now),
        });
        let host = Arc::new(HostInner {
            runtime: inner.clone(),
            plain: Site::new(parts, &blueprint, inner, self.preemption, &pressure)?,
            concurrent: OnceLock::new(),
            making: Mutex::new(()),
            cache: cache::open(&self.cache),
            blueprint,
            pressure,
            preemption: self.preemption,
            limits: self.limits,
            data: self.data,
            runs: Mutex::default(),
            runs_started: AtomicU64::new(0),
            live_guests: AtomicU64::new(0),
            guests: AtomicU64::new(0),
            idle: Signal::default(),
            draining: AtomicBool::new(false),
            alarm: Mutex::default(),
            closed: AtomicBool::new(false),
            kept: Kept::new(inner.clone()),
        });
        let relief: Weak<dyn Relief> = Arc::downgrade(&(host.kept.clone() as Arc<dyn Relief>));
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

/// Does two things at once, the second on a thread that is there for it only: to make a pool takes about as long as
/// to start threads, and small programs wait for both. One after the other where there is no such thread.
fn beside<A, B: Send>(here: impl FnOnce() -> A, there: impl FnOnce() -> B + Send) -> (A, B) {
    let there = Mutex::new(Some(there));
    let there = || lock(&there).take().map(|there| there());
    std::thread::scope(|scope| {
        let started = std::thread::Builder::new()
            .name("hart-start".into())
            .spawn_scoped(scope, there);
        let here = here();
        let done = started.ok().and_then(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        (here, done.or_else(there).expect("it is done once"))
    })
}

impl fmt::Debug for HostBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBuilder")
            .field("preemption", &self.preemption)
            .field("limits", &self.limits)
            .field("instances", &self.instances)
            .finish_non_exhaustive()
    }
}
