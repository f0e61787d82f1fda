//! The second layer: workers, clock and drivers for an embedder who brings wasmtime along.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hart_executor::Executor;
use wasmtime::Engine;

use crate::base::error::BuildError;
use crate::base::stats::WorkerStats;
use crate::runtime::timer::Timer;
use crate::sched::core::Core;
use crate::sched::preemption::Preemption;
use crate::sched::profile::GuestProfile;
use crate::sched::threads::{self, Threads};
use crate::sched::trace::draw::Trace;

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

/// The last one dropped closes the runtime. Tasks hold the [`Core`] and not this.
pub(crate) struct Owner {
    pub(crate) inner: Arc<Core>,
    pub(crate) threads: Threads,
}

// === impl Runtime ===

impl Runtime {
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

    /// The first layer: the executor under this runtime, for any future in any group.
    pub fn executor(&self) -> &Executor {
        &self.owner.inner.executor
    }

    /// The tokio runtime whose drivers WASI uses: the one that was given, or a small one of the runtime's own. Clients of
    /// networks can live there beside the guests. `None` on a simulated machine.
    ///
    /// ```
    /// let runtime = hart_host::Runtime::builder().workers(1).build()?;
    /// let answer = runtime.tokio().map(|tokio| tokio.block_on(async { 42 }));
    /// assert_eq!(answer, Some(42));
    /// # Ok::<(), hart_host::BuildError>(())
    /// ```
    pub fn tokio(&self) -> Option<&tokio::runtime::Handle> {
        self.owner.inner.crew.tokio()
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

    /// What the workers did, if the runtime is [traced](crate::RuntimeBuilder::trace).
    pub fn trace(&self) -> Option<Trace> {
        self.owner.inner.recorder.clone().map(Trace::new)
    }

    /// Samples which functions guests run: those of tasks that start from now on, in epoch mode, whenever the clock
    /// ticks, which it does all the time where guests run. What a stack has beyond the frames of a
    /// [backtrace](wasmtime::Config::wasm_backtrace_max_frames) is left out. Every call gives the same profile.
    ///
    /// ```
    /// use hart_host::{Cache, Host};
    ///
    /// let host = Host::builder().cache(Cache::Off).build()?;
    /// let profile = host.runtime().profile_guests();
    /// // .. run something, and then:
    /// let mut json = Vec::new();
    /// profile.write(&mut json)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn profile_guests(&self) -> Arc<GuestProfile> {
        let profile = &self.owner.inner.profile;
        let new = || Arc::new(GuestProfile::new(Preemption::DEFAULT_SLICE));
        profile.get_or_init(new).clone()
    }

    /// Timers for the embedder's own futures.
    pub fn timer(&self) -> Timer {
        Timer {
            clock: self.owner.inner.clock.clone(),
        }
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
