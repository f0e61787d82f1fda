//! What parked guests take: memory, mappings, and the time until all have ended.
//!
//! The row is memory as the process's share of it (`Pss`): pages of a memory image that no guest has written
//! belong to all of them. `resident` counts such a page once for each guest.
//!
//! Every side has a process of its own. Its guests sleep until the same moment; shortly before, the process is
//! looked at, and page tables with it. It has compiled the guest before: what the compiler leaves resident, some 25 MiB,
//! is not the guests'. The peer is tokio on an engine with wasmtime's pool as it comes, but for its
//! size; it may die of too many mappings, and then has no figure.
//!
//! `cost/*` says what the dense profile costs in speed, beside the other one.

mod cost;
mod suite;

use self::suite::{SUITE, WORKERS};
use crate::{
    child,
    measure::Bench,
    row::{Figure, Row},
    wasi::State,
};
use hart_build::Stack;
use hart_host::{
    Cache, Host, Limits, Profile,
    wasmtime::{
        Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
        component::{Component, Linker, Val},
    },
    wasmtime_wasi::{WasiCtx, p2},
};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsStr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Time for all guests to be started and parked, and for the look.
fn time_to_park(guests: u32) -> Duration {
    Duration::from_secs(2) + Duration::from_micros(300) * guests
}

/// What a side found.
#[derive(Serialize, Deserialize)]
pub(super) struct Found {
    /// Guests that were parked at once.
    pub(super) parked: u64,
    /// Bytes.
    pub(super) memory: f64,
    /// The same, pages that guests share counted for each.
    pub(super) resident: f64,
    /// Bytes of page tables, which no process's memory has in it.
    pub(super) tables: f64,
    mappings: f64,
    /// Seconds from the moment when all wake to when all have ended.
    end: f64,
}

pub(crate) fn run(bench: &mut Bench) {
    parked(bench);
    cost::run(bench);
}

fn parked(bench: &mut Bench) {
    for (case, side, guests) in [
        ("parked/1000", "fast", 1_000),
        ("parked/10000", "fast", 10_000),
        ("parked/dense/10000", "dense", 10_000),
        ("parked/dense/25000", "dense", 25_000),
    ] {
        if !bench.wants(SUITE, case) || (bench.is_quick() && guests > 10_000) {
            continue;
        }
        let hart = ask(side, guests).expect("hart never dies of its guests");
        let peer = ask("default", guests);
        let each = |figure: f64, found: &Found| figure / found.parked as f64;
        let kib = |found: &Found| each(found.memory, found) / 1024.0;
        let of_peer = |figure: &dyn Fn(&Found) -> f64| peer.as_ref().map(figure);
        let figure = |name, unit, of: &dyn Fn(&Found) -> f64| Figure {
            name,
            unit,
            hart: of(&hart),
            peer: of_peer(of),
        };
        let peer_kib = of_peer(&kib).unwrap_or(f64::NAN);
        bench.record(Row {
            suite: SUITE,
            case: case.into(),
            unit: "KiB",
            hart: kib(&hart),
            peer: peer_kib,
            peer_name: "default pool",
            ratio: peer_kib / kib(&hart),
            rounds: 1,
            repeated: 0,
            figures: vec![
                figure("parked at once", "guests", &|found| found.parked as f64),
                figure("resident", "KiB", &|found| {
                    each(found.resident, found) / 1024.0
                }),
                figure("page tables", "KiB", &|found| {
                    each(found.tables, found) / 1024.0
                }),
                figure("mappings of each", "", &|found| each(found.mappings, found)),
                figure("from waking to the end of all", "s", &|found| found.end),
            ],
        });
    }
}

/// Has a process of its own do it; none if that died.
pub(super) fn ask(side: &str, guests: u32) -> Option<Found> {
    let argument = format!("{side}:{guests}");
    let output = child::command("density", OsStr::new(&argument)).output();
    let output = output.expect("this program starts");
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().last().unwrap_or_default();
        eprintln!(
            "hart-bench: {argument} ended with {}: {last}",
            output.status
        );
        return None;
    }
    Some(serde_json::from_slice(&output.stdout).expect("it prints what it found"))
}

/// What this process has now.
pub(super) struct Usage {
    pub(super) memory: f64,
    pub(super) resident: f64,
    pub(super) tables: f64,
    mappings: f64,
}

impl Usage {
    pub(super) fn now() -> Self {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("this is Linux");
        let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
        let bytes = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            let kib = line.and_then(|line| line.split_whitespace().next());
            kib.map_or(f64::NAN, |kib| {
                kib.parse::<f64>().expect("a number") * 1024.0
            })
        };
        let maps = std::fs::read_to_string("/proc/self/maps").expect("this is Linux");
        Self {
            memory: bytes(&rollup, "Pss:"),
            resident: bytes(&rollup, "Rss:"),
            tables: bytes(&status, "VmPTE:"),
            mappings: maps.lines().count() as f64,
        }
    }
}

/// One side: `side:guests`.
pub(crate) fn child(argument: &str) {
    let (side, guests) = argument.split_once(':').expect("`ask` wrote it");
    let guests = guests.parse().expect("`ask` wrote it");
    let guest =
        std::fs::read(hart_build::bench_guest("spawned", Stack::Small)).expect("it was just built");
    let found = match side {
        "fast" => hart(Profile::Fast, guests, &guest),
        "dense" => hart(Profile::Dense, guests, &guest),
        _ => default_pool(guests, &guest),
    };
    println!(
        "{}",
        serde_json::to_string(&found).expect("it is plain data")
    );
}

/// Looks shortly before the guests wake.
fn look(before: &Usage, wake: Instant, parked: impl FnOnce() -> u64) -> Found {
    let early = Duration::from_millis(500);
    thread::sleep((wake - early).saturating_duration_since(Instant::now()));
    let now = Usage::now();
    Found {
        parked: parked(),
        memory: now.memory - before.memory,
        resident: now.resident - before.resident,
        tables: now.tables - before.tables,
        mappings: now.mappings - before.mappings,
        end: 0.0,
    }
}

fn left(wake: Instant) -> u32 {
    let left = wake.saturating_duration_since(Instant::now());
    u32::try_from(left.as_millis()).expect("it is seconds")
}

fn hart(profile: Profile, guests: u32, guest: &[u8]) -> Found {
    let host = |slots| {
        let builder = Host::builder().workers(WORKERS).instances(slots);
        let built = builder.profile(profile).cache(Cache::Off).build();
        built.expect("it is made smaller where it must be")
    };
    let compiled = host(1).precompile(guest).expect("the guest is valid");
    // The pool belongs to the guests.
    let before = Usage::now();
    let host = host(guests);
    // SAFETY: what `precompile` of a host with the same settings has made, which nobody else has seen.
    let component = unsafe { host.load_precompiled(&compiled) };
    let component = component.expect("settings are the same");
    let wake = Instant::now() + time_to_park(guests);
    // Each is a run of its own, which spawns nothing.
    let limits = Limits::new().depth(0);
    let runs: Vec<_> = (0..guests)
        .map(|_| {
            host.call(&component, "park", vec![Val::U32(left(wake))])
                .limits(limits)
                .start()
                .expect("it starts")
        })
        .collect();
    let mut found = look(&before, wake, || host.pool().in_use);
    for run in runs {
        run.wait().expect("the guest does not fail");
    }
    found.end = wake.elapsed().as_secs_f64();
    found
}

fn default_pool(guests: u32, guest: &[u8]) -> Found {
    let mut config = Config::new();
    let compiler = Engine::new(&config).expect("the defaults fit this machine");
    let compiled = compiler
        .precompile_component(guest)
        .expect("the guest is valid");
    drop(compiler);
    let before = Usage::now();
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(guests)
        .total_core_instances(u32::MAX)
        .total_memories(guests)
        .total_tables(8 * guests)
        .total_stacks(guests)
        .total_gc_heaps(guests);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config).expect("there is room for the pool");
    // SAFETY: what an engine with the same settings has made, but for the pool, and nobody else has seen.
    let component = unsafe { Component::deserialize(&engine, &compiled) };
    let component = component.expect("settings are the same");
    let mut linker = Linker::new(&engine);
    p2::add_to_linker_async(&mut linker).expect("names are unique");
    let pre = Arc::new(linker.instantiate_pre(&component).expect("it is complete"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_time()
        .build()
        .expect("threads can be made");
    let wake = Instant::now() + time_to_park(guests);
    let tasks: Vec<_> = (0..guests)
        .map(|_| {
            let pre = pre.clone();
            runtime.spawn(async move {
                let state = State::new(WasiCtx::builder().build());
                let mut store = Store::new(pre.engine(), state);
                let instance = pre.instantiate_async(&mut store).await?;
                let park = instance.get_typed_func::<(u32,), ()>(&mut store, "park")?;
                park.call_async(&mut store, (left(wake),)).await
            })
        })
        .collect();
    let metrics = || engine.pooling_allocator_metrics();
    let mut found = look(&before, wake, || {
        metrics().map_or(0, |metrics| metrics.component_instances())
    });
    runtime.block_on(async {
        for task in tasks {
            let result = task.await.expect("the task does not panic");
            result.expect("there is room for the instance");
        }
    });
    found.end = wake.elapsed().as_secs_f64();
    found
}
