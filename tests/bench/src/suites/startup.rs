//! How long `hart run` of a small program takes, from starting the process to its end.
//!
//! The peer is `wasmtime run`, or, where there is no `wasmtime`, this program doing what it does: see [`peer`]. The row
//! `startup/pool` says what is saved by a pool of few slots, which `hart run` makes for a component that cannot spawn.
//!
//! Of each `--guest` two more rows say how long its first line takes, `startup/NAME/cold` where nothing is cached, and
//! `startup/NAME/cached` where a first run has been long enough to leave optimized code.

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
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

const SUITE: &str = "startup";

pub(crate) fn run(bench: &mut Bench, wasmtime: Option<&Path>, guests: &[PathBuf]) {
    pool(bench);
    let wasmtime = wasmtime.unwrap_or(Path::new("wasmtime"));
    for guest in guests {
        first_line(bench, wasmtime, guest);
    }
    if !["cold", "cached"]
        .iter()
        .any(|case| bench.wants(SUITE, case))
    {
        return;
    }
    let guest = hart_build::guest("hello");
    let directory = scratch();
    let Some(hart) = hart() else { return };
    let has_wasmtime = is_there(wasmtime);
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
                let mut command = Command::new(wasmtime);
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

fn scratch() -> PathBuf {
    std::env::temp_dir().join(format!("hart-bench-{}", std::process::id()))
}

/// The binary, if it is built.
fn hart() -> Option<PathBuf> {
    let hart = std::env::current_exe()
        .expect("this program has a path")
        .with_file_name("hart");
    if !hart.exists() {
        eprintln!(
            "hart-bench: {} is not built: no row of `startup`",
            hart.display()
        );
        return None;
    }
    Some(hart)
}

fn is_there(wasmtime: &Path) -> bool {
    let version = Command::new(wasmtime)
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

/// The rows of a large guest.
fn first_line(bench: &mut Bench, wasmtime: &Path, guest: &Path) {
    let name = guest.file_stem().unwrap_or_default().to_string_lossy();
    let Some(hart) = hart() else { return };
    if !is_there(wasmtime) {
        eprintln!("hart-bench: no wasmtime to compare with: give one with --wasmtime PATH");
        return;
    }
    let directory = scratch();
    let sides: [&dyn Fn() -> Command; 2] = [
        &|| {
            let mut command = Command::new(&hart);
            command.arg("run").arg(guest);
            command
        },
        &|| {
            let mut command = Command::new(wasmtime);
            command
                .args(["run", "-C", "cache=y", "-S", "http"])
                .arg(guest);
            command
        },
    ];
    let cached = [0, 1].map(|side| directory.join(format!("{name}-{side}")));
    if bench.wants(SUITE, &format!("{name}/cached")) {
        for (side, cache) in sides.iter().zip(&cached) {
            std::fs::create_dir_all(cache)
                .expect("the directory for temporary files can be written");
            let mut command = side();
            // What makes it wait for optimized code.
            if Path::new(command.get_program()) == hart {
                command = Command::new(&hart);
                command.args(["run", "--tier=optimized"]).arg(guest);
            }
            command.env("XDG_CACHE_HOME", cache).stdout(Stdio::null());
            let status = command.status().expect("the program starts");
            assert!(status.success(), "{command:?}");
        }
    }
    for kind in ["cold", "cached"] {
        let mut turn = 0;
        let mut once = |side: usize| {
            turn += 1;
            let cache = match kind {
                "cold" => directory.join(format!("{name}-cold-{turn}")),
                _ => cached[side].clone(),
            };
            let took = until_a_line(&mut sides[side](), &cache);
            if kind == "cold" {
                let _ = std::fs::remove_dir_all(cache);
            }
            took
        };
        let case_name = format!("{name}/{kind}");
        let case = Case {
            suite: SUITE,
            name: &case_name,
            peer_name: "wasmtime run",
        };
        let once = std::cell::RefCell::new(&mut once);
        bench.compare(&case, &mut || once.borrow_mut()(0), &mut || {
            once.borrow_mut()(1)
        });
    }
    let _ = std::fs::remove_dir_all(&directory);
}

/// How long the first line of a program takes. The rest is of no interest, and neither is what it would do after it.
fn until_a_line(command: &mut Command, cache: &Path) -> Duration {
    std::fs::create_dir_all(cache).expect("the directory for temporary files can be written");
    command
        .env("XDG_CACHE_HOME", cache)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut line = String::new();
    let mut child = None;
    let took = time(|| {
        let started = child.insert(command.spawn().expect("the program starts"));
        let mut stdout = BufReader::new(started.stdout.take().expect("it is piped"));
        stdout.read_line(&mut line).expect("it writes text");
    });
    assert!(line.ends_with('\n'), "{command:?} says nothing");
    let mut child = child.expect("it was started");
    let _ = child.kill();
    let _ = child.wait();
    took
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
