//! Where instances are made, called once and dropped: hart and its peers.
//!
//! | name | what |
//! | --- | --- |
//! | `Group` | hart's second layer: the embedder's own stores, in a group |
//! | `Runs` | hart's third layer: every task is a run of a [`Host`] with its limits, statistics and outcome |
//! | `Tokio` | a task of tokio per instance, on one of two engines |
//! | `Bare` | a loop on each thread, without executor, WASI or epochs: the ceiling |
//!
//! Tasks come from a driver that is a task itself and has at most [`WINDOW`] of them at once.

use hart_host::{
    Cache, Component, Host, HostBuilder, Preemption,
    wasmtime::{
        self, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
        UpdateDeadline,
        component::{self, ComponentExportIndex, InstancePre, Linker, Val},
    },
    wasmtime_wasi::{WasiCtx, p2},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{ground::Ticker, wasi::State};

/// Tasks that a driver has running at once.
pub(super) const WINDOW: usize = 64;

/// What each instance is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Noop,
    Small,
    Format,
}

impl Call {
    fn export(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Small => "small",
            Self::Format => "format",
        }
    }

    fn arguments(self) -> Vec<Val> {
        match self {
            Self::Noop | Self::Small => Vec::new(),
            Self::Format => vec![Val::U32(7)],
        }
    }
}

/// Does so many tasks and says how long that took.
pub(super) trait Ground {
    fn run(&self, tasks: usize) -> Duration;
}

/// What a task of an embedder's has in its store.
fn state() -> State {
    State::new(WasiCtx::builder().build())
}

/// A guest that is ready to be instantiated.
struct Prepared<T: 'static> {
    pre: InstancePre<T>,
    export: ComponentExportIndex,
    call: Call,
}

impl<T: Send> Prepared<T> {
    /// What the linker does not have, the guest must not call.
    fn new(engine: &Engine, mut linker: Linker<T>, bytes: &[u8], call: Call) -> Arc<Self> {
        let component = component::Component::new(engine, bytes).expect("the guest is valid");
        if linker.instantiate_pre(&component).is_err() {
            linker
                .define_unknown_imports_as_traps(&component)
                .expect("what is missing is functions and types");
        }
        let export = component.get_export_index(None, call.export());
        Arc::new(Self {
            pre: linker.instantiate_pre(&component).expect("it is complete"),
            export: export.expect("the guest has this export"),
            call,
        })
    }

    async fn once(&self, mut store: Store<T>) {
        let result: wasmtime::Result<()> = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            match self.call {
                Call::Noop => {
                    let function = instance.get_typed_func::<(), ()>(&mut store, self.export)?;
                    function.call_async(&mut store, ()).await
                }
                Call::Small => {
                    let function =
                        instance.get_typed_func::<(), (u32,)>(&mut store, self.export)?;
                    function.call_async(&mut store, ()).await.map(drop)
                }
                Call::Format => {
                    let function =
                        instance.get_typed_func::<(u32,), (u32,)>(&mut store, self.export)?;
                    function.call_async(&mut store, (7,)).await.map(drop)
                }
            }
        }
        .await;
        result.expect("the guest does not fail, and there is a slot");
    }
}

fn with_wasi(engine: &Engine) -> Linker<State> {
    let mut linker = Linker::new(engine);
    p2::add_to_linker_async(&mut linker).expect("names are unique");
    linker
}

fn host(workers: usize) -> HostBuilder {
    Host::builder()
        .workers(workers)
        .preemption(Preemption::epoch())
        .cache(Cache::Off)
}

/// Has at most a window of tasks at once; awaits the oldest.
async fn drive<T: Future>(tasks: usize, mut spawn: impl FnMut() -> T) {
    let mut running = VecDeque::with_capacity(WINDOW);
    for _ in 0..tasks {
        if running.len() == WINDOW
            && let Some(oldest) = running.pop_front()
        {
            T::await_it(oldest).await;
        }
        running.push_back(spawn());
    }
    for task in running {
        T::await_it(task).await;
    }
}

/// So that the outputs of all sorts of tasks are dropped in one place.
trait AwaitIt: Future + Sized {
    async fn await_it(self) {
        drop(self.await);
    }
}

impl<F: Future> AwaitIt for F {}

// === hart, the second layer ===

pub(super) struct Group {
    host: Host,
    prepared: Arc<Prepared<State>>,
}

impl Group {
    pub(super) fn start(workers: usize, bytes: &[u8], call: Call) -> Self {
        let host = host(workers)
            .build()
            .expect("the defaults fit this machine");
        let prepared = Prepared::new(host.engine(), with_wasi(host.engine()), bytes, call);
        Self { host, prepared }
    }
}

impl Ground for Group {
    fn run(&self, tasks: usize) -> Duration {
        let group = self.host.runtime().group().build();
        let group = group.expect("the weight is not zero");
        let (prepared, tasks_of) = (self.prepared.clone(), group.clone());
        let began = Instant::now();
        let driver = group.spawn(async move |_| {
            drive(tasks, || {
                let prepared = prepared.clone();
                tasks_of.spawn(async move |cx| {
                    let mut store = Store::new(prepared.pre.engine(), state());
                    cx.arm(&mut store).expect("the engine is the host's");
                    prepared.once(store).await;
                })
            })
            .await;
        });
        driver.wait().expect("no task fails");
        began.elapsed()
    }
}

// === hart, the third layer ===

pub(super) struct Runs {
    host: Host,
    component: Component,
    call: Call,
}

impl Runs {
    pub(super) fn start(workers: usize, bytes: &[u8], call: Call) -> Self {
        let host = host(workers)
            .build()
            .expect("the defaults fit this machine");
        let component = host.load(bytes).expect("the guest is valid");
        Self {
            host,
            component,
            call,
        }
    }
}

impl Ground for Runs {
    fn run(&self, tasks: usize) -> Duration {
        let group = self.host.runtime().group().build();
        let (host, component, call) = (self.host.clone(), self.component.clone(), self.call);
        let began = Instant::now();
        let driver = group
            .expect("the weight is not zero")
            .spawn(async move |_| {
                drive(tasks, || {
                    host.call(&component, call.export(), call.arguments())
                        .start()
                        .expect("it starts")
                })
                .await;
            });
        driver.wait().expect("no task fails");
        began.elapsed()
    }
}

// === tokio ===

pub(super) struct Tokio {
    runtime: tokio::runtime::Runtime,
    prepared: Arc<Prepared<State>>,
    /// Keeps the engine's clock, where guests are preempted.
    ticker: Option<Ticker>,
    _host: Option<Host>,
}

impl Tokio {
    /// wasmtime's pool as it comes, and no preemption.
    pub(super) fn with_defaults(workers: usize, bytes: &[u8], call: Call) -> Self {
        let mut config = Config::new();
        let pool = PoolingAllocationConfig::default();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).expect("the defaults fit this machine");
        Self::start(workers, engine, None, bytes, call)
    }

    /// Hart's own settings, and guests preempted every millisecond.
    pub(super) fn with_harts_engine(workers: usize, bytes: &[u8], call: Call) -> Self {
        let host = host(workers)
            .build()
            .expect("the defaults fit this machine");
        Self::start(workers, host.engine().clone(), Some(host), bytes, call)
    }

    fn start(workers: usize, engine: Engine, host: Option<Host>, bytes: &[u8], call: Call) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_time()
            .build()
            .expect("threads can be made");
        let period = Duration::from_millis(1);
        let ticker = host
            .is_some()
            .then(|| Ticker::start(engine.clone(), period));
        Self {
            runtime,
            prepared: Prepared::new(&engine, with_wasi(&engine), bytes, call),
            ticker,
            _host: host,
        }
    }
}

/// One instance, as a task of tokio has it.
async fn tokio_task(prepared: Arc<Prepared<State>>, preempted: bool) {
    let mut store = Store::new(prepared.pre.engine(), state());
    if preempted {
        store.epoch_deadline_callback(|_| {
            Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            ))
        });
        store.set_epoch_deadline(1);
    }
    prepared.once(store).await;
}

impl Ground for Tokio {
    fn run(&self, tasks: usize) -> Duration {
        let (prepared, preempted) = (self.prepared.clone(), self.ticker.is_some());
        let began = Instant::now();
        let driver = self.runtime.spawn(async move {
            drive(tasks, || {
                tokio::spawn(tokio_task(prepared.clone(), preempted))
            })
            .await;
        });
        self.runtime.block_on(driver).expect("no task fails");
        began.elapsed()
    }
}

/// A binary tree of tasks under tokio: each has an instance, and then waits for two more.
pub(super) struct TokioTree(pub(super) Tokio);

impl TokioTree {
    pub(super) fn run(&self, depth: u32) -> Duration {
        fn grow(
            prepared: Arc<Prepared<State>>,
            depth: u32,
        ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(async move {
                // Whoever waits for others has no instance, or the pool would be empty soon.
                tokio_task(prepared.clone(), true).await;
                if depth > 1 {
                    let [left, right] =
                        [(); 2].map(|()| tokio::spawn(grow(prepared.clone(), depth - 1)));
                    left.await.expect("no task fails");
                    right.await.expect("no task fails");
                }
            })
        }
        let began = Instant::now();
        let root = self.0.runtime.spawn(grow(self.0.prepared.clone(), depth));
        self.0.runtime.block_on(root).expect("no task fails");
        began.elapsed()
    }
}

// === neither ===

pub(super) struct Bare {
    threads: usize,
    prepared: Arc<Prepared<()>>,
    _host: Host,
}

impl Bare {
    pub(super) fn start(threads: usize, bytes: &[u8], call: Call) -> Self {
        // Epochs are hart's, for the same code; nobody increments them.
        let host = host(1).build().expect("the defaults fit this machine");
        let prepared = Prepared::new(host.engine(), Linker::new(host.engine()), bytes, call);
        Self {
            threads,
            prepared,
            _host: host,
        }
    }
}

impl Ground for Bare {
    fn run(&self, tasks: usize) -> Duration {
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    for _ in 0..tasks / self.threads {
                        let mut store = Store::new(self.prepared.pre.engine(), ());
                        store.set_epoch_deadline(1);
                        futures::executor::block_on(self.prepared.once(store));
                    }
                });
            }
        });
        began.elapsed()
    }
}
