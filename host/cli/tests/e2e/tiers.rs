//! `--tier`: which code a guest runs, and what a short run leaves to be compiled.

use crate::serve::Server;
use crate::support::{Finished, GUARD, Running, Scratch, command};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// So much code that baseline code is worth it.
fn functions() -> String {
    let body = "(drop (i32.add (i32.const 123456789) (i32.const 987654321)))".repeat(1_000);
    format!("(func {body})").repeat(100)
}

/// A service with it, in a module of which it makes no instance.
fn large_service(scratch: &Scratch) -> PathBuf {
    let mut service = std::fs::read(hart_build::guest("hello-http")).unwrap();
    let module = wat::parse_str(format!("(module {})", functions())).unwrap();
    // A component may have another section at its end. The number of a core module's is 1.
    service.push(1);
    let mut length = module.len();
    while length >= 0x80 {
        service.push(length as u8 | 0x80);
        length >>= 7;
    }
    service.push(length as u8);
    service.extend(module);
    scratch.write("service.wasm", service)
}

/// The names of what is in the cache.
fn cached(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory.join("hart"));
    let names = entries.into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    // Those of locks, and of what is being written, begin otherwise.
    names.filter(|name| name.len() == 64).collect()
}

/// A program with so much code that baseline code is worth it.
fn large(scratch: &Scratch) -> PathBuf {
    let functions = functions();
    let text = format!(
        r#"(component
            (core module $m {functions} (func (export "run") (result i32) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $run (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $run)))"#
    );
    scratch.write("large.wasm", wat::parse_str(text).unwrap())
}

fn run(scratch: &Scratch, options: &[&str], file: &Path) -> Finished {
    let mut run = command();
    run.env("XDG_CACHE_HOME", scratch.path())
        .arg("--stats=json")
        .args(options)
        .arg(file);
    Running::start(&mut run, &[]).wait().exits(0)
}

fn tier(finished: &Finished) -> (String, u64) {
    let stats = finished.stats();
    let tier = stats["tier"].as_str().unwrap().to_owned();
    (tier, stats["baseline_instances"].as_u64().unwrap())
}

/// Hunts an option that is taken and not handed on, and code of the wrong tier in a file.
#[test]
pub(crate) fn the_tier_is_the_one_that_was_asked_for() {
    let scratch = Scratch::new();
    let file = large(&scratch);
    for (options, expected) in [
        (["--no-cache", "--tier=baseline"], ("baseline", 1)),
        (["--no-cache", "--tier=optimized"], ("optimized", 0)),
        (["--no-cache", "-Ccompiler=winch"], ("baseline", 1)),
        (["--preempt=fuel", "--no-cache"], ("optimized", 0)),
    ] {
        let (found, instances) = tier(&run(&scratch, &options, &file));
        assert_eq!((&*found, instances), expected, "{options:?}");
    }
    let code = scratch.path().join("large.cwasm");
    let mut compile = command();
    compile.args(["compile", "--tier=baseline", "-o"]);
    compile.arg(&code).arg(&file);
    Running::start(&mut compile, &[]).wait().exits(0);
    let found = tier(&run(&scratch, &["--allow-precompiled"], &code));
    assert_eq!(found, ("baseline".to_owned(), 1));
}

/// Hunts a program that ends sooner than it is compiled, and so runs baseline code for ever.
#[test]
pub(crate) fn a_short_run_leaves_optimized_code_for_the_next_one() {
    let scratch = Scratch::new();
    let file = large(&scratch);
    run(&scratch, &[], &file);
    let started = Instant::now();
    // Whether the run itself was fast enough, or what it has started: it comes.
    while tier(&run(&scratch, &[], &file)).0 == "baseline" {
        assert!(started.elapsed() < GUARD, "it is never optimized");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Hunts a request that fails while better code takes the place of that which its service began with, and instances that
/// are used again across that.
#[test]
pub(crate) fn a_service_answers_while_it_is_optimized() {
    let scratch = Scratch::new();
    let file = large_service(&scratch);
    let mut serve = command();
    serve
        .env("XDG_CACHE_HOME", scratch.path())
        .args(["serve", "--addr", "127.0.0.1:0"])
        .args(["--max-instance-reuse-count", "3"])
        .arg(&file);
    let server = Server::run(&mut serve);
    let started = Instant::now();
    // The baseline code was kept before it served.
    while cached(scratch.path()).len() < 2 {
        assert_eq!(server.text("/"), "Hello from hart");
        assert!(started.elapsed() < GUARD, "it is never optimized");
    }
    for _ in 0..20 {
        assert_eq!(server.text("/"), "Hello from hart");
    }
    server.signal(libc::SIGTERM);
    let (code, _, said) = server.wait();
    assert_eq!((code, &*said), (Some(0), ""));
}

/// Hunts a key of the file that is read and not handed on.
#[test]
fn each_app_has_the_tier_that_its_file_says() {
    let scratch = Scratch::new();
    large_service(&scratch);
    let served = |name: &str, tiers: &[&str]| {
        let mut config = String::new();
        for tier in tiers {
            config += &format!(
                "[[app]]\nname = \"{tier}\"\ncomponent = \"service.wasm\"\npath = \"/{tier}\"\ntier = \"{tier}\"\n"
            );
        }
        let file = scratch.write(&format!("{name}.toml"), config);
        let cache = scratch.path().join(name);
        std::fs::create_dir(&cache).unwrap();
        let mut serve = command();
        serve
            .env("XDG_CACHE_HOME", &cache)
            .args(["serve", "--addr", "127.0.0.1:0"])
            .arg(file);
        let server = Server::run(&mut serve);
        for tier in tiers {
            assert_eq!(server.text(&format!("/{tier}")), "Hello from hart");
        }
        drop(server);
        cached(&cache)
    };
    let baseline = served("first", &["baseline"]);
    let optimized = served("second", &["optimized"]);
    assert_eq!((baseline.len(), optimized.len()), (1, 1));
    assert_ne!(baseline, optimized);
    let both = served("third", &["baseline", "optimized"]);
    assert_eq!(both, &baseline | &optimized);
}
