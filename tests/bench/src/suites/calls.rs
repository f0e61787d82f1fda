//! Calls of instances that live, against a task of tokio's that owns the store and is sent calls: how embedders keep a plug-in
//! without hart. And what a budget of CPU time costs on tokio.
//!
//! | row | what |
//! | --- | --- |
//! | `calls/warm` | one instance, 64 callers at once on another thread |
//! | `calls/instances` | many instances, and callers that go round all of them |
//! | `calls/budget` | guests on tokio that compute, with a budget; the peer has the same epochs and no budget |

use crate::measure::{Bench, Case, time};
use futures::{
    FutureExt as _, StreamExt as _,
    channel::{mpsc, oneshot},
    executor::block_on,
    future::join_all,
};
use hart_host::{
    Cache, Component, Host, Instance, Preemption,
    budget::Budget,
    wasmtime::{
        Config, Engine, Store, UpdateDeadline,
        component::{self, InstancePre, Linker, TypedFunc},
    },
};
use std::time::Duration;

use crate::ground::Ticker;

const SUITE: &str = "calls";

/// Workers of each side.
const WORKERS: usize = 2;
/// Calls that are under way at once.
const CALLERS: usize = 64;

const GUEST: &str = r#"(component
    (core module $m
        (global $count (mut i32) (i32.const 0))
        (func (export "next") (result i32)
            (global.set $count (i32.add (global.get $count) (i32.const 1)))
            (global.get $count))
        (func (export "work") (param $n i32) (result i32)
            (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $n)))
    (core instance $i (instantiate $m))
    (func (export "next") (result u32) (canon lift (core func $i "next")))
    (func (export "work") (param "n" u32) (result u32) (canon lift (core func $i "work"))))"#;

pub(crate) fn run(bench: &mut Bench) {
    let (instances, rounds) = if bench.is_quick() {
        (100, 20)
    } else {
        (1_000, 20)
    };
    for (name, instances, calls) in [
        ("warm", 1, if bench.is_quick() { 20_000 } else { 100_000 }),
        ("instances", instances, instances * rounds),
    ] {
        if !bench.wants(SUITE, name) {
            continue;
        }
        let hart = Hart::start(instances);
        let peer = Tokio::start(instances);
        bench.compare(
            &Case {
                suite: SUITE,
                name,
                peer_name: "tokio task",
            },
            &mut || hart.run(calls),
            &mut || peer.run(calls),
        );
    }
    budget(bench);
}

/// Has each of the callers do its part of the calls, on this thread.
fn all<F: Future<Output = u32>>(calls: usize, call: impl Fn(usize) -> F) -> Duration {
    let caller = |caller: usize| {
        let call = &call;
        async move {
            for number in 0..calls / CALLERS {
                assert!(call(number * CALLERS + caller).await > 0);
            }
        }
    };
    time(|| {
        block_on(join_all((0..CALLERS).map(caller)));
    })
}

/// A host with room for so many, and for others.
fn host(instances: usize) -> Host {
    let slots = u32::try_from(4 * instances + 100).expect("a few thousand");
    let builder = Host::builder().workers(WORKERS).instances(slots);
    let host = builder.preemption(Preemption::epoch()).cache(Cache::Off);
    host.build().expect("the defaults fit this machine")
}

struct Hart {
    _host: Host,
    instances: Vec<Instance>,
}

impl Hart {
    fn start(instances: usize) -> Self {
        let host = host(instances);
        let component: Component = host.load(GUEST.as_bytes()).expect("the guest is valid");
        let start = |_| async { host.instance(&component).start().await };
        let started = block_on(join_all((0..instances).map(start)));
        let instances = started.into_iter().collect::<Result<_, _>>();
        Self {
            instances: instances.expect("there is room for all"),
            _host: host,
        }
    }

    fn run(&self, calls: usize) -> Duration {
        all(calls, |number| {
            let instance = &self.instances[number % self.instances.len()];
            let call = instance.call(|store, inner| {
                Box::pin(async move {
                    let next = inner.get_typed_func::<(), (u32,)>(&mut *store, "next")?;
                    Ok(next.call_async(store, ()).await?.0)
                })
            });
            call.into_future()
                .map(|count| count.expect("it does not fail"))
        })
    }
}

type Ask = oneshot::Sender<u32>;

struct Tokio {
    _runtime: tokio::runtime::Runtime,
    _ticker: Ticker,
    instances: Vec<mpsc::UnboundedSender<Ask>>,
}

impl Tokio {
    fn start(instances: usize) -> Self {
        let host = host(instances);
        let engine = host.engine().clone();
        let pre = pre(&engine);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .build()
            .expect("threads can be made");
        let start = |_| {
            let (sender, mut asked) = mpsc::unbounded::<Ask>();
            let pre = pre.clone();
            runtime.spawn(async move {
                let mut store = Store::new(pre.engine(), ());
                yields(&mut store);
                let instance = pre.instantiate_async(&mut store).await;
                let instance = instance.expect("there is room for all");
                while let Some(answer) = asked.next().await {
                    let next: TypedFunc<(), (u32,)> = instance
                        .get_typed_func(&mut store, "next")
                        .expect("it exports this");
                    let (count,) = next.call_async(&mut store, ()).await.expect("no trap");
                    let _ = answer.send(count);
                }
            });
            sender
        };
        Self {
            instances: (0..instances).map(start).collect(),
            _ticker: Ticker::start(engine, Duration::from_millis(1)),
            _runtime: runtime,
        }
    }

    fn run(&self, calls: usize) -> Duration {
        all(calls, |number| {
            let instance = &self.instances[number % self.instances.len()];
            let (sender, answer) = oneshot::channel();
            instance.unbounded_send(sender).expect("it is there");
            answer.map(|count| count.expect("it does not fail"))
        })
    }
}

fn pre(engine: &Engine) -> InstancePre<()> {
    let component = component::Component::new(engine, GUEST).expect("the guest is valid");
    let linker = Linker::new(engine);
    linker
        .instantiate_pre(&component)
        .expect("it imports nothing")
}

/// Has its guest yield at every tick.
fn yields(store: &mut Store<()>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
}

/// Guests that compute for some milliseconds, on tokio.
fn budget(bench: &mut Bench) {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config).expect("the defaults fit this machine");
    let pre = pre(&engine);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("threads can be made");
    let turns = if bench.is_quick() {
        10_000_000
    } else {
        100_000_000
    };
    let work = |budget: Option<Budget>| {
        runtime.block_on(async {
            let mut store = Store::new(&engine, ());
            match &budget {
                Some(budget) => budget.arm(&mut store),
                None => yields(&mut store),
            }
            let _ticks = budget
                .is_none()
                .then(|| Ticker::start(engine.clone(), Duration::from_millis(1)));
            let instance = pre.instantiate_async(&mut store).await.expect("a slot");
            let work = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "work");
            let work = work.expect("it exports this");
            let call = work.call_async(&mut store, (turns,));
            let began = std::time::Instant::now();
            let done = match &budget {
                Some(budget) => budget.guard(call).await,
                None => call.await,
            };
            done.expect("it is within its budget");
            began.elapsed()
        })
    };
    let made = || Budget::new(&engine).cpu(Duration::from_secs(600));
    bench.compare(
        &Case {
            suite: SUITE,
            name: "budget",
            peer_name: "epochs alone",
        },
        &mut || work(Some(made())),
        &mut || work(None),
    );
}
