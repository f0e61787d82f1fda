//! How many tasks a second can be started, run and dropped, each with a store and an instance of its own.
//!
//! Rows are rates, in thousands of tasks a second; `noop/2` is on two workers. Peers:
//!
//! | name | what |
//! | --- | --- |
//! | `default pool` | tokio, on an engine with wasmtime's pool as it comes |
//! | `same engine` | tokio, on hart's engine, guests preempted every millisecond |
//! | `bare loop` | a loop on each thread, without executor, WASI or epochs: the ceiling |
//! | `new instances` | hart itself: `warm` is tasks that may have an instance which another one has left, spawned by a guest |
//!
//! Where the time of a `noop` goes, on one worker in the second layer: 82 % in wasmtime, 8 % in hart, 3 % in making a
//! WASI context, 1 % in the system (samples of `perf record`, on a machine that was not quiet). Of wasmtime's part no
//! function has much: a ninth is `CompiledFunctionsTable::func_loc`, which finds the same functions again for every
//! instance. Instances are not made on a fiber, and stacks are not cleared, so neither is there to be saved.

mod cost;
mod grounds;

use crate::{
    measure::Bench,
    row::{Figure, Row, median},
};
use grounds::{Bare, Call, Ground, Group, Runs, Tokio, TokioTree, WINDOW};
use hart_build::Stack;
use hart_host::{
    Cache, Component, Host, Stdio,
    wasmtime::{
        Engine, Store, UpdateDeadline,
        component::{self, Linker},
    },
};
use std::time::{Duration, Instant};

const SUITE: &str = "spawn";

pub(crate) fn run(bench: &mut Bench) {
    let wants = |bench: &Bench, case: &str| bench.wants(SUITE, case);
    for (case, call, stack) in [
        ("noop", Call::Noop, Stack::Small),
        ("small", Call::Small, Stack::Small),
        ("rust-std", Call::Format, Stack::Small),
        ("default-build", Call::Noop, Stack::Default),
    ] {
        let names = Names::of(case);
        if names.all().any(|name| wants(bench, name)) {
            let guest = std::fs::read(hart_build::bench_guest("spawned", stack))
                .expect("it was just built");
            let tasks = if bench.is_quick() { 4_000 } else { 20_000 };
            host(bench, &names, &guest, call, tasks);
        }
    }
    let names = Names::of("big");
    if names.all().any(|name| wants(bench, name)) {
        let tasks = if bench.is_quick() { 40 } else { 400 };
        host(bench, &names, &big(), Call::Noop, tasks);
    }
    cost::run(bench, SUITE);
    if wants(bench, "guest") {
        guest(bench);
    }
    if wants(bench, "warm") {
        warm(bench);
    }
    if wants(bench, "tree") {
        tree(bench);
    }
    if wants(bench, "yield") {
        yields(bench);
    }
}

/// The names of a case's rows.
struct Names {
    /// On one worker and on two.
    workers: [String; 2],
    /// The same, of runs of a host.
    runs: [String; 2],
    scaling: String,
}

impl Names {
    fn of(case: &str) -> Self {
        Self {
            workers: [1, 2].map(|workers| format!("{case}/{workers}")),
            runs: [1, 2].map(|workers| format!("{case}/runs/{workers}")),
            scaling: format!("{case}/scaling"),
        }
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        self.workers.iter().chain(&self.runs).chain([&self.scaling])
    }
}

fn per_second(tasks: usize, time: Duration) -> f64 {
    tasks as f64 / time.as_secs_f64() / 1e3
}

/// Spawned by the host.
fn host(bench: &mut Bench, names: &Names, guest: &[u8], call: Call, tasks: usize) {
    type Start = fn(usize, &[u8], Call) -> Box<dyn Ground>;
    const SIDES: [(&str, Start); 5] = [
        ("hart", |workers, guest, call| {
            Box::new(Group::start(workers, guest, call))
        }),
        ("hart, runs", |workers, guest, call| {
            Box::new(Runs::start(workers, guest, call))
        }),
        ("default pool", |workers, guest, call| {
            Box::new(Tokio::with_defaults(workers, guest, call))
        }),
        ("same engine", |workers, guest, call| {
            Box::new(Tokio::with_harts_engine(workers, guest, call))
        }),
        ("bare loop", |workers, guest, call| {
            Box::new(Bare::start(workers, guest, call))
        }),
    ];
    // Only what some row needs.
    let wanted = |side: usize, workers: usize| {
        let of = |names: &[String; 2]| bench.wants(SUITE, &names[workers]);
        let scaling = side == 0 && bench.wants(SUITE, &names.scaling);
        scaling || (side != 1 && of(&names.workers)) || (side != 0 && of(&names.runs))
    };
    let grounds: Vec<[Option<Box<dyn Ground>>; 2]> = SIDES
        .iter()
        .enumerate()
        .map(|(side, (_, start))| {
            [0, 1].map(|workers| {
                wanted(side, workers).then(|| {
                    let ground = start(workers + 1, guest, call);
                    // Pools and caches are warm afterwards.
                    ground.run(tasks);
                    ground
                })
            })
        })
        .collect();
    let rounds = if bench.is_quick() { 5 } else { 11 };
    let (rates, repeated) = bench.repeat(rounds, |_| -> Vec<[f64; 2]> {
        let rate = |ground: &Option<Box<dyn Ground>>| {
            ground
                .as_ref()
                .map_or(f64::NAN, |ground| per_second(tasks, ground.run(tasks)))
        };
        grounds
            .iter()
            .map(|sides| [rate(&sides[0]), rate(&sides[1])])
            .collect()
    });
    let column = |side: usize, workers: usize| -> Vec<f64> {
        rates.iter().map(|round| round[side][workers]).collect()
    };
    let mut record = |case: &String, hart: (usize, usize), peer: (usize, usize), peer_name| {
        if !bench.wants(SUITE, case) {
            return;
        }
        let (harts, peers) = (column(hart.0, hart.1), column(peer.0, peer.1));
        bench.record(Row::of_rates(
            SUITE, case, peer_name, &harts, &peers, repeated,
        ));
    };
    for workers in [0, 1] {
        for side in [2, 3, 4] {
            let name = SIDES[side].0;
            record(&names.workers[workers], (0, workers), (side, workers), name);
        }
        for side in [2, 3, 4] {
            let name = SIDES[side].0;
            record(&names.runs[workers], (1, workers), (side, workers), name);
        }
    }
    record(&names.scaling, (0, 1), (0, 0), "hart, 1 worker");
}

/// A component of 30 MB: 18 MB are what its memory begins with, 12 MB a section as debug information would be.
fn big() -> Vec<u8> {
    let (image, section) = ("i".repeat(18 << 20), "s".repeat(12 << 20));
    format!(
        r#"(component
            (core module $m
                (memory 330)
                (data (i32.const 65536) "{image}")
                (@custom "section" "{section}")
                (func (export "noop") (i32.store8 (i32.const 65536) (i32.const 1))))
            (core instance $i (instantiate $m))
            (func (export "noop") (canon lift (core func $i "noop"))))"#
    )
    .into_bytes()
}

const WORKERS: usize = 2;

/// A guest of [`hart_build`], as a command on a host of its own.
struct Command {
    host: Host,
    component: Component,
}

impl Command {
    fn load(file: &std::path::Path) -> Self {
        let host = Host::builder().workers(WORKERS).cache(Cache::Off).build();
        let host = host.expect("the defaults fit this machine");
        let component = host.load_file(file).expect("the guest was just built");
        Self { host, component }
    }

    /// How long it takes, and what it prints.
    fn run(&self, arguments: &[&str]) -> (Duration, String) {
        let began = Instant::now();
        let run = self
            .host
            .command(&self.component)
            .arg("guest")
            .args(arguments.iter().copied())
            .stdout(Stdio::Capture)
            .start()
            .expect("the command starts");
        let outcome = run.wait().expect("the guest does not fail");
        assert_eq!(outcome.exit_code, 0);
        let output = String::from_utf8(outcome.stdout).expect("it prints text");
        (began.elapsed(), output)
    }
}

/// Spawned by a guest, in windows.
fn guest(bench: &mut Bench) {
    let tasks = if bench.is_quick() { 20_000 } else { 100_000 };
    let hart = Command::load(&hart_build::bench_guest("spawner", Stack::Small));
    let file = hart_build::bench_guest("spawned", Stack::Small);
    let bytes = std::fs::read(file).expect("it was just built");
    let tokio = Tokio::with_harts_engine(WORKERS, &bytes, Call::Noop);
    let rounds = if bench.is_quick() { 3 } else { 7 };
    let (outcomes, repeated) = bench.repeat(rounds, |_| {
        let (time, latencies) = hart.run(&["tasks", &tasks.to_string(), &WINDOW.to_string()]);
        let mut latencies = latencies
            .split_whitespace()
            .map(|nanoseconds| nanoseconds.parse::<f64>().expect("a number") / 1e3);
        let mut latency = || latencies.next().expect("there are two");
        [
            per_second(tasks, time),
            per_second(tasks, tokio.run(tasks)),
            latency(),
            latency(),
        ]
    });
    let column = |at: usize| -> Vec<f64> { outcomes.iter().map(|outcome| outcome[at]).collect() };
    let figure = |name, at| Figure {
        name,
        unit: "us",
        hart: median(&column(at)),
        peer: None,
    };
    let ratios: Vec<f64> = outcomes
        .iter()
        .map(|outcome| outcome[0] / outcome[1])
        .collect();
    bench.record(Row {
        suite: SUITE,
        case: "guest".into(),
        unit: "k/s",
        hart: median(&column(0)),
        peer: median(&column(1)),
        peer_name: "same engine",
        ratio: median(&ratios),
        rounds,
        repeated,
        figures: vec![
            figure("spawn to join, median", 2),
            figure("spawn to join, p99", 3),
        ],
    });
}

/// Spawned by a guest, in windows, once in the instances of tasks that have ended and once in new ones.
fn warm(bench: &mut Bench) {
    let tasks = if bench.is_quick() { 20_000 } else { 100_000 };
    let hart = Command::load(&hart_build::bench_guest("spawner", Stack::Small));
    let (count, window) = (tasks.to_string(), WINDOW.to_string());
    rates(bench, "warm", "new instances", tasks, &mut || {
        let time = |what: &str| hart.run(&[what, &count, &window]).0;
        (time("warm"), time("tasks"))
    });
}

/// Spawned by guests, each of which waits for the two that it spawned.
fn tree(bench: &mut Bench) {
    let depth = if bench.is_quick() { 12 } else { 15 };
    let hart = Command::load(&hart_build::guest("tree"));
    let file = hart_build::bench_guest("spawned", Stack::Small);
    let bytes = std::fs::read(file).expect("it was just built");
    let tokio = TokioTree(Tokio::with_harts_engine(WORKERS, &bytes, Call::Noop));
    rates(bench, "tree", "same engine", (1 << depth) - 1, &mut || {
        let (time, output) = hart.run(&[&depth.to_string()]);
        assert_eq!(output.trim(), ((1 << depth) - 1).to_string());
        (time, tokio.run(depth))
    });
}

/// A guest that yields, against one that tokio makes yield at every epoch check.
fn yields(bench: &mut Bench) {
    const LOOPS: &str = r#"(component
        (core module $m (func (export "loop") (param $count i32)
            (loop $again
                (local.tee $count (i32.sub (local.get $count) (i32.const 1)))
                (br_if $again))))
        (core instance $i (instantiate $m))
        (func (export "loop") (param "count" u32) (canon lift (core func $i "loop"))))"#;
    let count = if bench.is_quick() { 100_000 } else { 1_000_000 };
    let hart = Command::load(&hart_build::bench_guest("spawner", Stack::Small));
    let engine: &Engine = hart.host.engine();
    let component = component::Component::new(engine, LOOPS).expect("it is valid");
    let pre = Linker::<()>::new(engine).instantiate_pre(&component);
    let pre = pre.expect("it imports nothing");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .build()
        .expect("threads can be made");
    rates(bench, "yield", "YieldCustom", count, &mut || {
        let (hart_time, _) = hart.run(&["yield", &count.to_string()]);
        let pre = pre.clone();
        let began = Instant::now();
        let task = runtime.spawn(async move {
            let mut store = Store::new(pre.engine(), ());
            store.set_epoch_deadline(0);
            store.epoch_deadline_callback(|_| {
                Ok(UpdateDeadline::YieldCustom(
                    0,
                    Box::pin(tokio::task::yield_now()),
                ))
            });
            let instance = pre.instantiate_async(&mut store).await?;
            let function = instance.get_typed_func::<(u32,), ()>(&mut store, "loop")?;
            function.call_async(&mut store, (count as u32,)).await
        });
        let result = runtime.block_on(task).expect("the task does not panic");
        result.expect("the guest does not fail");
        (hart_time, began.elapsed())
    });
}

/// A row of two rates.
fn rates(
    bench: &mut Bench,
    case: &str,
    peer_name: &'static str,
    count: usize,
    round: &mut dyn FnMut() -> (Duration, Duration),
) {
    round();
    let rounds = if bench.is_quick() { 3 } else { 7 };
    let (times, repeated) = bench.repeat(rounds, |_| round());
    let harts: Vec<f64> = times.iter().map(|both| per_second(count, both.0)).collect();
    let peers: Vec<f64> = times.iter().map(|both| per_second(count, both.1)).collect();
    bench.record(Row::of_rates(
        SUITE, case, peer_name, &harts, &peers, repeated,
    ));
}
