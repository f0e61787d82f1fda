//! How long `hart run` of a small program takes, from starting the process to its end.
//!
//! The peer is `wasmtime run`, or, where there is no `wasmtime`, this program doing what it does: see [`peer`]. The row
//! `startup/pool` says what is saved by a pool of few slots, which `hart run` makes for a component that cannot spawn.

use crate::{
    child,
    measure::{Bench, Case, time},
    wasi::State,
};
use hart_host::{
    Host, HostBuilder,
    wasmtime::{
        Cache, CacheConfig, Config, Engine, Store,
        component::{Component, Linker},
    },
    wasmtime_wasi::{
        WasiCtx,
        p2::{self, bindings::Command as WasiCommand},
    },
};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

const SUITE: &str = "startup";

pub(crate) fn run(bench: &mut Bench) {
    pool(bench);
    if !["cold", "cached"]
        .iter()
        .any(|case| bench.wants(SUITE, case))
    {
        return;
    }
    let guest = hart_build::guest("hello");
    let directory = std::env::temp_dir().join(format!("hart-bench-{}", std::process::id()));
    let hart = std::env::current_exe()
        .expect("this program has a path")
        .with_file_name("hart");
    if !hart.exists() {
        eprintln!(
            "hart-bench: {} is not built: no row of `startup`",
            hart.display()
        );
        return;
    }
    let has_wasmtime = Command::new("wasmtime")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let peer_name = if has_wasmtime {
        "wasmtime run"
    } else {
        "wasmtime library"
    };
    let sides: [&dyn Fn() -> Command; 2] = [
        &|| {
            let mut command = Command::new(&hart);
            command.arg("run").arg(&guest);
            command
        },
        &|| {
            if has_wasmtime {
                let mut command = Command::new("wasmtime");
                command.args(["run", "-C", "cache=y"]).arg(&guest);
                command
            } else {
                child::command("startup", guest.as_os_str())
            }
        },
    ];
    for name in ["cold", "cached"] {
        let mut turn = 0;
        let mut once = |side: usize| {
            turn += 1;
            // A new directory is a cold cache.
            let cache = match name {
                "cold" => directory.join(turn.to_string()),
                _ => directory.join(format!("cached-{side}")),
            };
            let repeats = if name == "cold" { 1 } else { 10 };
            let total: Duration = (0..repeats)
                .map(|_| start(&mut sides[side](), &cache))
                .sum();
            total / repeats
        };
        let case = Case {
            suite: SUITE,
            name,
            peer_name,
        };
        let once = std::cell::RefCell::new(&mut once);
        bench.compare(&case, &mut || once.borrow_mut()(0), &mut || {
            once.borrow_mut()(1)
        });
    }
    // What is left of a temporary directory is nobody's loss.
    let _ = std::fs::remove_dir_all(&directory);
}

/// How long a host takes to be built: of few slots, and of as many as by default.
fn pool(bench: &mut Bench) {
    let build = |instances: u32| {
        let builder = Host::builder().workers(1).cache(hart_host::Cache::Off);
        let mut host = None;
        let time = time(|| host = builder.instances(instances).build().ok());
        host.expect("the defaults fit this machine");
        time
    };
    let case = Case {
        suite: SUITE,
        name: "pool",
        peer_name: "all slots",
    };
    let few = hart_host::instances_for(
        &std::fs::read(hart_build::guest("hello")).expect("it was just built"),
    );
    bench.compare(&case, &mut || build(few), &mut || {
        build(HostBuilder::DEFAULT_INSTANCES)
    });
}

fn start(command: &mut Command, cache: &Path) -> Duration {
    std::fs::create_dir_all(cache).expect("the directory for temporary files can be written");
    command.env("XDG_CACHE_HOME", cache);
    time(|| {
        let output = command.output().expect("the program starts");
        assert!(output.status.success(), "{output:?}");
    })
}

/// What `wasmtime run` does with a component, with its cache.
pub(crate) fn peer(file: &str) {
    let mut config = Config::new();
    let mut cache = CacheConfig::new();
    let directory = std::env::var_os("XDG_CACHE_HOME").expect("it was set");
    cache.with_directory(PathBuf::from(directory).join("wasmtime"));
    config.cache(Some(Cache::new(cache).expect("the directory is there")));
    let engine = Engine::new(&config).expect("the defaults fit this machine");
    let component = Component::from_file(&engine, file).expect("the guest was just built");
    let mut linker = Linker::new(&engine);
    p2::add_to_linker_async(&mut linker).expect("names are unique");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .enable_io()
        .build()
        .expect("threads can be made");
    let state = State::new(WasiCtx::builder().arg(file).inherit_stdio().build());
    let result = runtime.block_on(async {
        let mut store = Store::new(&engine, state);
        let command = WasiCommand::instantiate_async(&mut store, &component, &linker).await?;
        command.wasi_cli_run().call_run(&mut store).await
    });
    result
        .expect("the guest does not trap")
        .expect("the guest does not fail");
}
