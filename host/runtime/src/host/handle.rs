//! A host, and what runs and loads have of it.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use wasmtime::Engine;

use crate::base::setting::Setting;
use crate::base::span::Tracer;
use crate::base::stats::{HostStats, PoolStats, RunStats};
use crate::base::sync::lock;
use crate::engine::cache;
use crate::engine::error::LoadError;
use crate::engine::slots::Kind;
use crate::engine::tier::Tier;
use crate::host::backend::{self, Backend, Blueprint};
use crate::instance::ended::Ended;
use crate::instance::ending::finish;
use crate::instance::events::Hooks;
use crate::instance::program::ChildData;
use crate::instance::registry::Registry;
use crate::instance::store::Component;
use crate::instance::warm::WarmInstances;
use crate::metrics::figures::HostFigures;
use crate::quota::kill::Kill;
use crate::quota::limits::Limits;
use crate::quota::memory_pressure::Pressure;
use crate::runtime::handle::Runtime;
use crate::sched::clock::timers::Expire;
use crate::sched::core::Core;
use crate::sched::io_threads::Io;
use crate::sched::preemption::Preemption;

/// Makes the data of a run.
pub(crate) type RunData<T> = dyn Fn() -> T + Send + Sync;

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
///
/// # Data
///
/// `T` is data of the embedder's own that the store of every task has, for imports of its own
/// ([`HostBuilder::imports`](crate::HostBuilder::imports)): see [`HostBuilder::with_data`](crate::HostBuilder::with_data). Hosts of [`Host::builder`] have none.
pub struct Host<T: 'static = ()> {
    pub(crate) handle: Arc<Handle<T>>,
}

impl<T> Clone for Host<T> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
        }
    }
}

/// The last one dropped closes the host. Guests refer to neither.
pub(crate) struct Handle<T: 'static> {
    pub(crate) inner: Arc<HostInner<T>>,
    pub(crate) runtime: Runtime,
}

/// What runs and loads have of their host.
pub(crate) struct HostInner<T: 'static> {
    pub(crate) runtime: Arc<Core>,
    pub(crate) registry: Arc<Registry>,
    /// Threads that wait for the system.
    pub(crate) io: Arc<Io>,
    /// For components that use no component-model async.
    pub(crate) plain: Backend<T>,
    /// For those that do; made when the first one is loaded.
    pub(crate) concurrent: OnceLock<Backend<T>>,
    /// Held by whoever makes it, and by a close, which must not miss it.
    pub(crate) making: Mutex<()>,
    /// Where compiled code is kept, if it is.
    pub(crate) cache: Option<cache::Entries>,
    /// A directory with such code, into which no guest may write.
    pub(crate) guarded: Option<std::path::PathBuf>,
    /// Which code components run, where a load does not say.
    pub(crate) tier: Tier,
    pub(crate) blueprint: Blueprint<T>,
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) preemption: Preemption,
    pub(crate) limits: Limits,
    /// Makes the data of runs that are given none.
    pub(crate) data: Option<Box<RunData<T>>>,
    pub(crate) child_data: Arc<ChildData<T>>,
    /// Closes the host when the grace of a shutdown is over.
    pub(crate) alarm: Mutex<Option<Arc<dyn Expire>>>,
    /// The embedder's, for what happens.
    pub(crate) hooks: Option<Arc<Hooks>>,
    /// The embedder's, which follows requests and tasks.
    pub(crate) tracer: Option<Arc<dyn Tracer>>,
    /// What is counted for whoever watches, if somebody does.
    pub(crate) figures: Option<Arc<HostFigures>>,
    /// Instances that wait to be used again.
    pub(crate) warm: Arc<WarmInstances<T>>,
}

// === impl Host ===

impl<T: Send + 'static> Host<T> {
    pub(crate) fn inner(&self) -> &Arc<HostInner<T>> {
        &self.handle.inner
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

    /// What the host did and what it holds.
    pub fn stats(&self) -> HostStats {
        let inner = self.inner();
        HostStats {
            workers: inner.runtime.worker_stats(),
            epochs: inner.runtime.clock.epochs(),
            runs: inner.registry.runs_started(),
            live_runs: inner.registry.count_live_runs() as u64,
            guests: inner.registry.guests(),
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
            .registry
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

    /// Guest tasks that have not ended, those that wait for a slot included.
    pub fn live_guests(&self) -> u64 {
        self.inner().registry.live_guests()
    }

    /// Spawns that wait for a slot in the pool.
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
        let mut settings = backend::settings(
            &inner.plain.pool,
            inner.concurrent.get().map(|site| &site.pool),
            &inner.pressure,
        );
        settings.push(inner.runtime.files.setting());
        settings
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
    /// Stores of the embedder's own on this engine take from its pool, unseen by the host's queue.
    pub fn engine(&self) -> &Engine {
        &self.inner().plain.pool.engine
    }
}

impl<T: Send + 'static> fmt::Debug for Host<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("workers", &self.workers())
            .field("preemption", &self.preemption())
            .field("live_guests", &self.live_guests())
            .finish_non_exhaustive()
    }
}

impl<T: 'static> Drop for Handle<T> {
    fn drop(&mut self) {
        self.inner.close();
        // `runtime` goes next: it waits for the threads.
    }
}

// === impl HostInner ===

impl<T: Send + 'static> HostInner<T> {
    /// Where components of this kind run; made now if that is the first one.
    pub(crate) fn site(&self, kind: Kind) -> Result<&Backend<T>, LoadError> {
        match (kind, self.concurrent.get()) {
            (Kind::Plain, _) => Ok(&self.plain),
            (Kind::Concurrent, Some(site)) => Ok(site),
            (Kind::Concurrent, None) => {
                let _making = lock(&self.making);
                // Under the lock: a close after this finds the new one.
                if self.registry.is_closed() {
                    return Err(LoadError::Closed);
                }
                if let Some(site) = self.concurrent.get() {
                    return Ok(site);
                }
                let parts = self.blueprint.parts(kind).map_err(LoadError::Async)?;
                let site = Backend::new(parts, &self.runtime, self.preemption, &self.pressure);
                let site = site.map_err(LoadError::Async)?;
                Ok(self.concurrent.get_or_init(|| site))
            }
        }
    }
}

impl<T: 'static> HostInner<T> {
    /// What there is, in order of its making.
    pub(crate) fn sites(&self) -> impl Iterator<Item = &Backend<T>> {
        std::iter::once(&self.plain).chain(self.concurrent.get())
    }

    /// Where a component runs that was loaded here.
    pub(crate) fn site_of(&self, component: &Component<T>) -> Option<&Backend<T>> {
        let engine = component.as_wasmtime().engine();
        self.sites()
            .find(|site| Engine::same(&site.pool.engine, engine))
    }

    /// 1. Nobody is admitted or accepted any more. 2. Every guest has its reason. 3. Those that waited
    ///    for slots end here; the others when the executor drops them, or at their next preemption
    ///    point.
    pub(crate) fn close(&self) {
        if self.registry.close() {
            return;
        }
        drop(lock(&self.making));
        let waiting: Vec<_> = self
            .sites()
            .flat_map(|site| site.admission.close())
            .collect();
        for run in self.registry.live_runs() {
            run.kill(Kill::Closed);
        }
        for guest in waiting {
            guest.control.kill(Kill::Closed);
            finish(&guest, Ended::Killed(Kill::Closed), None);
        }
        self.runtime.close();
    }
}
