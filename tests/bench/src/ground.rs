//! Where guests run: hart and its peers, each set up as its best user would.
//!
//! | name | what |
//! | --- | --- |
//! | `hart` | the second layer: the embedder's own stores in groups |
//! | `tokio 1 ms` | tokio's multi-thread scheduler; a thread increments epochs every 1 ms, and a guest that finds its deadline passed yields to tokio |
//! | `tokio 100 us` | the same, ten times as often |
//! | `threads` | one OS thread per guest; its waits block |
//!
//! Every ground has engines of its own, because epochs are an engine's; all of them come from a [`Host`],
//! so all settings are the same. That host runs nothing where a peer uses its engines.

use crate::{
    event_loop,
    guest::{Call, Crowd, Ending, Pace, Running, State, Waits, prepare},
};
use futures::future::{Either, select};
use hart_host::{
    Cache, Host, Preemption,
    wasmtime::{self, Engine, Store, UpdateDeadline, component::InstancePre},
};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// Workers of every ground that has any.
pub(crate) const WORKERS: usize = 2;

/// Hart, or one of its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Hart,
    TokioMillisecond,
    TokioTenth,
    Threads,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [
        Self::Hart,
        Self::TokioMillisecond,
        Self::TokioTenth,
        Self::Threads,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hart => "hart",
            Self::TokioMillisecond => "tokio 1 ms",
            Self::TokioTenth => "tokio 100 us",
            Self::Threads => "threads",
        }
    }

    pub(crate) fn start(self) -> Box<dyn Ground> {
        match self {
            Self::Hart => Box::new(Hart::start()),
            Self::TokioMillisecond => Box::new(Tokio::start(Duration::from_millis(1))),
            Self::TokioTenth => Box::new(Tokio::start(Duration::from_micros(100))),
            Self::Threads => Box::new(Threads::start()),
        }
    }
}

/// Runs each of `kinds`, with another one first in every round; what they found is in the order of `kinds`.
pub(crate) fn in_turn<T, const N: usize>(
    kinds: [Kind; N],
    round: usize,
    mut run: impl FnMut(Kind) -> T,
) -> [T; N] {
    let mut found = [const { None }; N];
    for turn in 0..N {
        let turn = (turn + round) % N;
        found[turn] = Some(run(kinds[turn]));
    }
    found.map(|found| found.expect("everybody had a turn"))
}

/// Runs guests. Dropped once all of them have ended.
pub(crate) trait Ground {
    /// Guests that share this weight (the usual one is [`WEIGHT`]), where the ground knows such a thing.
    fn group(&self, weight: u32) -> Group;

    /// Starts a guest.
    fn start(&self, group: &Group, call: Call, state: State) -> Guest;

    /// Starts a guest that holds many tasks. It ends by itself, or when what this returns is called.
    fn start_loop(&self, group: &Group, state: event_loop::State) -> Box<dyn FnOnce()>;
}

/// The usual weight of a group.
pub(crate) const WEIGHT: u32 = 100;

/// Guests that share a weight.
pub(crate) struct Group {
    weight: u32,
    pub(crate) hart: Option<hart_host::Group>,
}

/// A guest that was started; it goes on when this is dropped.
pub(crate) struct Guest {
    ending: Arc<Ending>,
    cancel: Box<dyn FnOnce()>,
}

impl Guest {
    /// Ends the guest, wherever it is.
    pub(crate) fn cancel(self) -> Arc<Ending> {
        self.ending.cancel();
        (self.cancel)();
        self.ending
    }
}

/// An engine with hart's own settings, and whatever keeps it alive.
fn host() -> Host {
    Host::builder()
        .workers(WORKERS)
        .preemption(Preemption::epoch())
        .cache(Cache::Off)
        .build()
        .expect("the defaults fit this machine")
}

async fn drive(pre: &InstancePre<State>, store: &mut Store<State>, call: Call) {
    let running = Running(store.data().ending.clone());
    let result = async {
        let instance = pre.instantiate_async(&mut *store).await?;
        let export = instance
            .get_func(&mut *store, call.export())
            .expect("the guest has this export");
        export
            .call_async(&mut *store, &call.arguments(), &mut [])
            .await
    };
    check(result.await, &running.0);
}

/// Guests do not fail, but for those that were cancelled.
fn check(result: wasmtime::Result<()>, ending: &Ending) {
    if let Err(error) = result {
        assert!(ending.is_cancelled(), "{error:?}");
    }
}

// === hart ===

struct Hart {
    host: Host,
    pre: InstancePre<State>,
}

impl Hart {
    fn start() -> Self {
        let host = host();
        let waits = Waits::Hart(host.runtime().timer());
        let pre = prepare(host.engine(), waits).expect("the guest is valid");
        Self { host, pre }
    }
}

impl Ground for Hart {
    fn group(&self, weight: u32) -> Group {
        let group = self.host.runtime().group().weight(weight).build();
        Group {
            weight,
            hart: Some(group.expect("the weight is not zero")),
        }
    }

    fn start(&self, group: &Group, call: Call, state: State) -> Guest {
        let group = group.hart.as_ref().expect("it was made here");
        let (pre, ending) = (self.pre.clone(), state.ending.clone());
        let task = group.spawn(async move |cx| {
            let mut store = Store::new(pre.engine(), state);
            cx.arm(&mut store).expect("the engine is the host's");
            drive(&pre, &mut store, call).await;
        });
        Guest {
            ending,
            cancel: Box::new(move || task.cancel()),
        }
    }

    fn start_loop(&self, group: &Group, state: event_loop::State) -> Box<dyn FnOnce()> {
        let group = group.hart.as_ref().expect("it was made here");
        let pre = event_loop::prepare(&self.host).expect("the guest is valid");
        let ended = Arc::new(AtomicBool::new(false));
        let ends = ended.clone();
        let task = group.spawn(async move |cx| {
            let mut store = Store::new(pre.engine(), state);
            cx.arm(&mut store).expect("the engine is the host's");
            let driven = event_loop::drive(&pre, &mut store).await;
            assert!(driven.is_ok() || ended.load(Relaxed), "{driven:?}");
        });
        Box::new(move || {
            // Relaxed: the task fails because of the `cancel` that follows, which orders the two.
            ends.store(true, Relaxed);
            task.cancel();
        })
    }
}

// === tokio ===

struct Tokio {
    runtime: tokio::runtime::Runtime,
    pre: InstancePre<State>,
    period: Duration,
    _ticker: Ticker,
    host: Host,
}

/// A guest of this store that finds its deadline passed yields to tokio.
fn yield_to_tokio<T>(store: &mut Store<T>) {
    store.epoch_deadline_callback(|_| {
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        ))
    });
    store.set_epoch_deadline(1);
}

impl Tokio {
    fn start(period: Duration) -> Self {
        let host = host();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .enable_time()
            .build()
            .expect("threads can be made");
        Self {
            runtime,
            pre: prepare(host.engine(), Waits::Tokio).expect("the guest is valid"),
            period,
            _ticker: Ticker::start(host.engine().clone(), period),
            host,
        }
    }
}

impl Ground for Tokio {
    fn group(&self, weight: u32) -> Group {
        Group { weight, hart: None }
    }

    fn start(&self, _: &Group, call: Call, state: State) -> Guest {
        let (pre, ending) = (self.pre.clone(), state.ending.clone());
        let engine = pre.engine().clone();
        let task = self.runtime.spawn(async move {
            let mut store = Store::new(pre.engine(), state);
            yield_to_tokio(&mut store);
            drive(&pre, &mut store, call).await;
        });
        Guest {
            ending,
            cancel: Box::new(move || {
                task.abort();
                // Nobody has to wait for the ticker.
                engine.increment_epoch();
            }),
        }
    }

    fn start_loop(&self, _: &Group, state: event_loop::State) -> Box<dyn FnOnce()> {
        let pre = event_loop::prepare(&self.host).expect("the guest is valid");
        let ticker = Ticker::start(pre.engine().clone(), self.period);
        let task = self.runtime.spawn(async move {
            let _ticker = ticker;
            let mut store = Store::new(pre.engine(), state);
            yield_to_tokio(&mut store);
            let driven = event_loop::drive(&pre, &mut store).await;
            driven.expect("the guest does not fail");
        });
        Box::new(move || task.abort())
    }
}

/// Increments an engine's epoch.
pub(crate) struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: Engine, period: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut next = Instant::now();
            while !stopped.load(Relaxed) {
                // One that is late does not fire a burst.
                next = (next + period).max(Instant::now());
                thread::sleep(next.saturating_duration_since(Instant::now()));
                engine.increment_epoch();
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the ticker does not panic");
        }
    }
}

// === threads ===

/// One OS thread per guest.
pub(crate) struct Threads {
    pre: InstancePre<State>,
    host: Host,
}

impl Threads {
    pub(crate) fn start() -> Self {
        let host = host();
        Self {
            pre: prepare(host.engine(), Waits::Blocking).expect("the guest is valid"),
            host,
        }
    }

    /// Measures how fast a guest works, on an engine whose guests are never interrupted.
    pub(crate) fn pace() -> Pace {
        let ground = Self::start();
        let iterations = 1 << 20;
        let best = (0..20)
            .map(|_| ground.time_work(iterations))
            .min()
            .expect("there are twenty");
        Pace::new(iterations, best)
    }

    /// How long a guest works, alone and uninterrupted.
    fn time_work(&self, iterations: u64) -> Duration {
        let state = State::new(&Arc::<Crowd>::default());
        let responses = state.responses.clone();
        run_blocking(&self.pre, Call::Once { iterations }, state);
        responses.take().into_iter().sum()
    }
}

fn run_blocking(pre: &InstancePre<State>, call: Call, state: State) {
    let mut store = Store::new(pre.engine(), state);
    // Epochs are incremented only to cancel somebody.
    store.epoch_deadline_callback(|store| {
        Ok(if store.data().ending.is_cancelled() {
            UpdateDeadline::Interrupt
        } else {
            UpdateDeadline::Continue(1)
        })
    });
    store.set_epoch_deadline(1);
    let running = Running(store.data().ending.clone());
    let instance = pre
        .instantiate(&mut store)
        .expect("the guest does not fail");
    let export = instance
        .get_func(&mut store, call.export())
        .expect("the guest has this export");
    // What is due at once is due from here on.
    store.data_mut().due.get_or_insert_with(Instant::now);
    let result = export.call(&mut store, &call.arguments(), &mut []);
    check(result, &running.0);
}

/// The niceness that is nearest to a weight: a step of one is a factor of 1.25, and the usual weight is
/// niceness 0. Below 0 is for privileged processes.
fn niceness(weight: u32) -> i32 {
    let steps = (f64::from(WEIGHT) / f64::from(weight)).ln() / 1.25_f64.ln();
    (steps.round() as i32).max(0)
}

impl Ground for Threads {
    fn group(&self, weight: u32) -> Group {
        Group { weight, hart: None }
    }

    fn start(&self, group: &Group, call: Call, state: State) -> Guest {
        let (pre, ending) = (self.pre.clone(), state.ending.clone());
        let engine = pre.engine().clone();
        let nice = niceness(group.weight);
        thread::spawn(move || {
            if nice != 0 {
                let this = rustix::thread::gettid();
                rustix::process::setpriority_process(Some(this), nice)
                    .expect("anybody may be nicer");
            }
            run_blocking(&pre, call, state);
        });
        Guest {
            ending,
            cancel: Box::new(move || engine.increment_epoch()),
        }
    }

    /// The thread has an event loop of its own, and nobody takes the core from that but the system.
    fn start_loop(&self, _: &Group, state: event_loop::State) -> Box<dyn FnOnce()> {
        let pre = event_loop::prepare(&self.host).expect("the guest is valid");
        let (stop, stopped) = futures::channel::oneshot::channel::<()>();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("its timers need nothing");
            let mut store = Store::new(pre.engine(), state);
            store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
            store.set_epoch_deadline(1);
            runtime.block_on(async {
                let driven = pin!(event_loop::drive(&pre, &mut store));
                let driven = match select(driven, stopped).await {
                    Either::Left((driven, _)) => driven,
                    Either::Right((Ok(()), _)) => return,
                    // Nobody is going to stop it.
                    Either::Right((Err(_), driving)) => driving.await,
                };
                driven.expect("the guest does not fail");
            });
        });
        Box::new(move || {
            // Its tasks have ended by themselves where nobody listens any more.
            let _ = stop.send(());
        })
    }
}
