//! `--tier`: which code a guest runs, and what a short run leaves to be compiled.

use crate::support::{Finished, GUARD, Running, Scratch, command};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A program with so much code that baseline code is worth it.
fn large(scratch: &Scratch) -> PathBuf {
    let body = "(drop (i32.add (i32.const 123456789) (i32.const 987654321)))".repeat(1_000);
    let functions = format!("(func {body})").repeat(100);
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
