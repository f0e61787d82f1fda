//! The third layer: load, run, limits, WASI, and spawn for guests.

mod admission;
mod bindings;
mod builder;
mod cache;
mod component;
mod dense;
mod engine;
mod files;
mod footprint;
mod guest;
mod invoke;
mod kept;
mod load;
mod outcome;
mod pool;
mod pools;
mod pressure;
mod room;
mod run;
mod settings;
mod shared;
mod shutdown;
mod site;
mod start;
mod state;
mod stdio;
mod tasks;
mod tasks_async;
mod too_big;
mod uses;
mod wasi;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use wasmtime::component::{Instance, Linker, Val};
use wasmtime::{Engine, Store};

pub use builder::HostBuilder;
pub use cache::Cache;
pub use component::Component;
pub use pool::{PoolScan, Profile};
pub use run::{Canceller, Outcome, Run, RunBuilder};
pub use settings::Setting;
pub use shutdown::Shutdown;
pub use state::GuestState;
pub use stdio::Stdio;
pub use wasi::DirAccess;

use crate::clock::Expire;
use crate::signal::Signal;
use crate::sync::lock;
use crate::task::Kill;
use crate::{
    CallError, HostStats, Limits, LoadError, PoolStats, Preemption, RunStats, Runtime,
    TenantBuilder, runtime,
};
use engine::Kind;
use guest::Guest;
use kept::Kept;
use load::Unloaded;
use outcome::Ended;
use pressure::Pressure;
use run::Target;
use shared::RunShared;
use site::{Blueprint, Site};

/// Loads components and runs them as tasks on every core.
///
/// A handle; dropping the last one closes the host as [`close`](Self::close) does and waits for its
/// threads, which is fine inside async code too.
///
/// # Examples
///
/// ```
/// use hart_host::{Cache, Host, Limits};
/// use std::time::Duration;
///
/// let host = Host::builder().workers(2).cache(Cache::Off).build()?;
/// let component = host.load(br#"
///     (component
///         (core module $m (func (export "f") (param i32 i32) (result i32)
///             local.get 0 local.get 1 i32.add))
///         (core instance $i (instantiate $m))
///         (func (export "add") (param "a" u32) (param "b" u32) (result u32)
///             (canon lift (core func $i "f"))))
/// "#)?;
/// let run = host
///     .invoke(&component, "add(40, 2)")?
///     .limits(Limits::new().timeout(Duration::from_secs(5)))
///     .start()?;
/// assert_eq!(run.wait()?.to_wave()?, "42");
/// assert_eq!(host.live_guests(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Host {
    handle: Arc<Handle>,
}

/// The last one dropped closes the host. Guests refer to the [`HostInner`] and not to this.
struct Handle {
    inner: Arc<HostInner>,
    runtime: Runtime,
}

/// What guests know of their host.
struct HostInner {
    runtime: Arc<runtime::Inner>,
    /// For components that use no component-model async.
    plain: Arc<Site>,
    /// For those that do; made when the first one is loaded.
    concurrent: OnceLock<Arc<Site>>,
    /// Held by whoever makes it, and by a close, which must not miss it.
    making: Mutex<()>,
    /// Where compiled code is kept, if it is.
    cache: Option<cache::Entries>,
    blueprint: Arc<Blueprint>,
    pressure: Arc<Pressure>,
    preemption: Preemption,
    limits: Limits,
    data: Option<builder::Data>,
    /// Runs that are not over, in order.
    runs: Mutex<BTreeMap<u64, Weak<RunShared>>>,
    runs_started: AtomicU64,
    live_guests: AtomicU64,
    guests: AtomicU64,
    /// Notified when a run is over.
    idle: Signal,
    draining: AtomicBool,
    /// Closes the host when the grace of a shutdown is over.
    alarm: Mutex<Option<Arc<dyn Expire>>>,
    closed: AtomicBool,
    /// Instances that wait to be used again.
    kept: Arc<Kept>,
}

// === impl Host ===

impl Host {
    /// A host with settings.
    pub fn builder() -> HostBuilder {
        HostBuilder::new()
    }

    fn inner(&self) -> &Arc<HostInner> {
        &self.handle.inner
    }

    /// Loads a component, binary or text, and compiles it on this thread. That takes milliseconds to
    /// seconds; async code should do it where blocking is allowed.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what the bytes are instead, or what is the matter with them.
    pub fn load(&self, bytes: &[u8]) -> Result<Component, LoadError> {
        self.open()?;
        let unloaded = Unloaded::new(bytes)?;
        let site = self.inner().site(unloaded.kind())?;
        unloaded.load(site, self.inner().cache.as_ref())
    }

    /// Loads a component with imports of its own: `imports` adds them to a copy of the host's linker,
    /// where they may replace what the host provides. The tasks that the component spawns have them
    /// too. A host that [grows](HostBuilder::grows) makes all its places now.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), [`LoadError::Imports`] if `imports` fails, and [`LoadError::Pool`] if the host cannot
    /// grow.
    ///
    /// # Examples
    ///
    /// ```
    /// # let host = hart_host::Host::builder().cache(hart_host::Cache::Off).build()?;
    /// let text = br#"
    ///     (component
    ///         (import "answer" (func $answer (result u32)))
    ///         (core func $lowered (canon lower (func $answer)))
    ///         (core module $m
    ///             (import "" "answer" (func $answer (result i32)))
    ///             (func (export "ask") (result i32) (call $answer)))
    ///         (core instance $i (instantiate $m
    ///             (with "" (instance (export "answer" (func $lowered))))))
    ///         (func (export "ask") (result u32) (canon lift (core func $i "ask"))))
    /// "#;
    /// let component = host.load_with(text, |linker| {
    ///     linker.root().func_wrap("answer", |_, ()| Ok((42_u32,)))
    /// })?;
    /// let outcome = host.invoke(&component, "ask()")?.start()?.wait()?;
    /// assert_eq!(outcome.to_wave()?, "42");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load_with<F>(&self, bytes: &[u8], imports: F) -> Result<Component, LoadError>
    where
        F: FnOnce(&mut Linker<GuestState>) -> wasmtime::Result<()>,
    {
        self.open()?;
        let unloaded = Unloaded::new(bytes)?;
        let site = self.inner().site(unloaded.kind())?;
        let pool = site.with_all_places().map_err(LoadError::Pool)?;
        let mut linker = pool.1.linker.clone();
        linker.allow_shadowing(true);
        imports(&mut linker).map_err(LoadError::Imports)?;
        unloaded.load_for(site, pool, self.inner().cache.as_ref(), &linker)
    }

    /// wasmtime's engine on which such a component would run: one with component-model async, or one without. Of a host
    /// that [grows](HostBuilder::grows) it is that of the small pool.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), for what can be seen without compiling.
    pub fn engine_for(&self, bytes: &[u8]) -> Result<&Engine, LoadError> {
        self.open()?;
        let unloaded = Unloaded::new(bytes)?;
        Ok(&self.inner().site(unloaded.kind())?.pools.first().engine)
    }

    /// Loads a component from a file, binary or text.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), and [`LoadError::Read`] if the file cannot be read.
    pub fn load_file(&self, path: impl AsRef<Path>) -> Result<Component, LoadError> {
        self.load(&read(path.as_ref())?)
    }

    /// Compiles a component to native code, for [`load_precompiled`](Self::load_precompiled) on a host
    /// with the same preemption mode, wasmtime version and machine.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), except that imports are not looked at.
    pub fn precompile(&self, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        self.open()?;
        let unloaded = Unloaded::new(bytes)?;
        unloaded.precompile(self.inner().site(unloaded.kind())?)
    }

    /// Loads what [`precompile`](Self::precompile) made.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotPrecompiled`], [`LoadError::Incompatible`] or [`LoadError::PreemptionMismatch`]
    /// if the bytes are not for this host, [`LoadError::MissingImport`] as for [`load`](Self::load).
    ///
    /// # Safety
    ///
    /// The bytes are native code, which is run as it is. They must come from
    /// [`precompile`](Self::precompile), unchanged, by somebody whom you trust as you trust the
    /// program that calls this.
    pub unsafe fn load_precompiled(&self, bytes: &[u8]) -> Result<Component, LoadError> {
        self.open()?;
        let inner = self.inner();
        // SAFETY: the caller's promise is the one that is asked for.
        match unsafe { load::load_precompiled(&inner.plain, inner.preemption, bytes) } {
            Err(error) if load::is_for_the_other_engine(&error) => {
                let site = inner.site(Kind::Concurrent)?;
                // SAFETY: as before.
                unsafe { load::load_precompiled(site, inner.preemption, bytes) }
            }
            loaded => loaded,
        }
    }

    fn open(&self) -> Result<(), LoadError> {
        if self.inner().is_closed() {
            Err(LoadError::Closed)
        } else {
            Ok(())
        }
    }

    /// A run of a command: its `wasi:cli/run`.
    pub fn command(&self, component: &Component) -> RunBuilder {
        RunBuilder::new(self, component, Target::Command)
    }

    /// A run that calls an export, written in WAVE: `f(1, "x")`.
    ///
    /// # Errors
    ///
    /// [`CallError`] if it cannot be read, if there is no such export, or if the arguments do not fit.
    pub fn invoke(&self, component: &Component, wave: &str) -> Result<RunBuilder, CallError> {
        let (export, args) = invoke::parse(component, wave)?;
        Ok(self.call(component, &export, args))
    }

    /// A run that calls an export with arguments. That it exists and takes as many is checked by
    /// [`RunBuilder::start`].
    pub fn call(&self, component: &Component, export: &str, args: Vec<Val>) -> RunBuilder {
        RunBuilder::new(
            self,
            component,
            Target::Call {
                export: export.to_owned(),
                args,
            },
        )
    }

    /// A run of the embedder's own: `body` gets the root's store, armed, and its instance, and may call
    /// what it exports as often as it likes. What it returns are the run's results; its error ends the
    /// run as that of a call does.
    ///
    /// # Examples
    ///
    /// ```
    /// # let host = hart_host::Host::builder().cache(hart_host::Cache::Off).build()?;
    /// let counter = host.load(br#"
    ///     (component
    ///         (core module $m
    ///             (global $count (mut i32) (i32.const 0))
    ///             (func (export "next") (result i32)
    ///                 (global.set $count (i32.add (global.get $count) (i32.const 1)))
    ///                 (global.get $count)))
    ///         (core instance $i (instantiate $m))
    ///         (func (export "next") (result u32) (canon lift (core func $i "next"))))
    /// "#)?;
    /// let run = host.drive(&counter, |store, instance| Box::pin(async move {
    ///     let next = instance.get_typed_func::<(), (u32,)>(&mut *store, "next")?;
    ///     next.call_async(&mut *store, ()).await?;
    ///     let (count,) = next.call_async(&mut *store, ()).await?;
    ///     Ok(vec![wasmtime::component::Val::U32(count)])
    /// }));
    /// assert_eq!(run.start()?.wait()?.to_wave()?, "2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drive<F>(&self, component: &Component, body: F) -> RunBuilder
    where
        F: for<'a> FnOnce(
                &'a mut Store<GuestState>,
                Instance,
            ) -> BoxFuture<'a, wasmtime::Result<Vec<Val>>>
            + Send
            + 'static,
    {
        RunBuilder::new(self, component, Target::Drive(Box::new(body)))
    }

    /// A new tenant: a group of runs that share a weight and limits.
    pub fn tenant(&self) -> TenantBuilder {
        TenantBuilder::new(self.inner().runtime.clone())
    }

    /// The second layer under this host: groups of the embedder's own tasks, on the same workers.
    pub fn runtime(&self) -> &Runtime {
        &self.handle.runtime
    }

    /// Ends everything: runs resolve to [`RunError::Closed`](crate::RunError::Closed) as soon as their
    /// guests are gone, which takes a running guest up to two slices.
    pub fn close(&self) {
        self.inner().close();
    }

    /// Refuses new runs, lets those that there are finish for at most `grace`, then closes. The future
    /// resolves when nothing is left of them.
    pub fn shutdown(&self, grace: Duration) -> Shutdown {
        Shutdown::new(self.inner().clone(), grace)
    }

    /// What the host did and what it holds.
    pub fn stats(&self) -> HostStats {
        let inner = self.inner();
        HostStats {
            workers: inner.runtime.worker_stats(),
            epochs: inner.runtime.clock.epochs(),
            runs: inner.runs_started.load(Ordering::Relaxed),
            live_runs: lock(&inner.runs).len() as u64,
            guests: inner.guests.load(Ordering::Relaxed),
            live_guests: self.live_guests(),
            queued_spawns: self.queued_spawns(),
            pool: self.pool(),
        }
    }

    /// Statistics of the groups of this host, one for each run that is not over. What a
    /// [`Group`](crate::Group) or a [`Tenant`](crate::Tenant) has used, it tells itself.
    pub fn groups(&self) -> Vec<RunStats> {
        let mut runs: Vec<RunStats> = self
            .inner()
            .live_runs()
            .iter()
            .map(|run| run.stats())
            .collect();
        runs.sort_by_key(|run| run.id);
        runs
    }

    /// The pool of instances; both, where there are two.
    pub fn pool(&self) -> PoolStats {
        let mut stats = PoolStats::default();
        for site in self.inner().sites() {
            site.count(&mut stats);
        }
        stats
    }

    /// Guest tasks that have not ended, those that wait for a place included.
    pub fn live_guests(&self) -> u64 {
        self.inner().live_guests.load(Ordering::Relaxed)
    }

    /// Spawns that wait for a place in the pool.
    pub fn queued_spawns(&self) -> u64 {
        let sites = self.inner().sites();
        sites.map(|site| site.admission.waiting()).sum()
    }

    /// What the host chose for its pools and its engines so far, with the reasons.
    ///
    /// ```
    /// let host = hart_host::Host::builder().cache(hart_host::Cache::Off).build()?;
    /// for setting in host.settings() {
    ///     println!("{} is {}: {}", setting.name, setting.value, setting.reason);
    /// }
    /// # Ok::<(), hart_host::BuildError>(())
    /// ```
    pub fn settings(&self) -> Vec<Setting> {
        let inner = self.inner();
        site::settings(
            &inner.plain,
            inner.concurrent.get().map(|site| &**site),
            &inner.pressure,
        )
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.inner().runtime.workers()
    }

    /// How guests are interrupted.
    pub fn preemption(&self) -> Preemption {
        self.inner().preemption
    }

    /// wasmtime's engine, on which components without component-model async run. That of any component
    /// is `component.as_wasmtime().engine()`.
    ///
    /// Stores of the embedder's own on this engine take from its pool, unseen by the host's queue. That of a host that
    /// [grows](HostBuilder::grows) stays small.
    pub fn engine(&self) -> &Engine {
        &self.inner().plain.pools.first().engine
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("workers", &self.workers())
            .field("preemption", &self.preemption())
            .field("live_guests", &self.live_guests())
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.close();
        // `runtime` goes next: it waits for the threads.
    }
}

/// Reads a file, but no more of it than a component may have.
fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    use std::io::Read as _;

    let failed = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(std::io::Error::new(
            std::io::ErrorKind::IsADirectory,
            "it is a directory; name a component in it",
        )));
    }
    if metadata.len() > load::MAX_BYTES {
        return Err(LoadError::TooLarge {
            bytes: metadata.len(),
            limit: load::MAX_BYTES,
        });
    }
    // One more than the file has, to see its end: read at once, not by and by.
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(metadata.len() as usize + 1)
        .map_err(|error| failed(std::io::Error::new(std::io::ErrorKind::OutOfMemory, error)))?;
    file.take(load::MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

// === impl HostInner ===

impl HostInner {
    /// What there is, in order of its making.
    fn sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        std::iter::once(&self.plain).chain(self.concurrent.get())
    }

    /// Where components of this kind run; made now if that is the first one.
    fn site(&self, kind: Kind) -> Result<&Arc<Site>, LoadError> {
        match (kind, self.concurrent.get()) {
            (Kind::Plain, _) => Ok(&self.plain),
            (Kind::Concurrent, Some(site)) => Ok(site),
            (Kind::Concurrent, None) => {
                let _making = lock(&self.making);
                // Under the lock: a close after this finds the new one.
                if self.is_closed() {
                    return Err(LoadError::Closed);
                }
                if let Some(site) = self.concurrent.get() {
                    return Ok(site);
                }
                let parts = self.blueprint.parts(kind).map_err(LoadError::Async)?;
                let site = Site::new(
                    parts,
                    &self.blueprint,
                    &self.runtime,
                    self.preemption,
                    &self.pressure,
                );
                let site = site.map_err(LoadError::Async)?;
                Ok(self.concurrent.get_or_init(|| site))
            }
        }
    }

    /// Where a component runs that was loaded here.
    fn site_of(&self, component: &Component) -> Option<&Arc<Site>> {
        let engine = component.as_wasmtime().engine();
        self.sites().find(|site| site.has(engine))
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// No more runs from now on.
    fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    fn is_idle(&self) -> bool {
        lock(&self.runs).is_empty()
    }

    fn live_runs(&self) -> Vec<Arc<RunShared>> {
        lock(&self.runs)
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }

    fn run_gone(&self, id: u64) {
        let _run = lock(&self.runs).remove(&id);
    }

    /// Ends these guests for this reason. Whatever thread this is (the clock's, a worker in the middle of a
    /// guest's call), it only learns the reasons: there may be very many guests, and the rest is done aside.
    fn bury(self: &Arc<Self>, victims: Vec<Arc<Guest>>, kill: Kill) {
        /// Guests that are disposed of between two looks at other tasks.
        const AT_ONCE: usize = 16;

        // All reasons first: what ends one of them may end others, for another reason.
        for guest in &victims {
            guest.control.kill(kill);
        }
        let host = self.clone();
        let bury = async move {
            for victims in victims.chunks(AT_ONCE) {
                let waiting = host
                    .sites()
                    .flat_map(|site| site.admission.withdraw(victims));
                for guest in waiting.collect::<Vec<_>>() {
                    let kill = guest.control.killed().unwrap_or(kill);
                    guest.finish(Ended::Killed(kill));
                }
                for guest in victims {
                    guest.control.dispose();
                }
                hart_executor::yield_now().await;
            }
        };
        // Closed: whoever waits for a place was told so, and the executor disposes of the others.
        self.runtime.spawn_aside("reaper", bury);
    }

    /// 1. Nobody is admitted or accepted any more. 2. Every guest has its reason. 3. Those that waited
    ///    for a place end here; the others when the executor drops them, or at their next preemption
    ///    point.
    fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        drop(lock(&self.making));
        let waiting: Vec<_> = self
            .sites()
            .flat_map(|site| site.admission.close())
            .collect();
        for run in self.live_runs() {
            run.kill(Kill::Closed);
        }
        for guest in waiting {
            guest.control.kill(Kill::Closed);
            guest.finish(Ended::Killed(Kill::Closed));
        }
        self.runtime.close();
    }
}
