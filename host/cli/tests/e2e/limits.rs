//! Guests that take all they can get.

use crate::support::{Finished, Running, Scratch, hart};
use std::ffi::OsString;

/// No guest may make the process larger than this, whatever it does.
const GIB: u64 = 1 << 30;

fn guest(name: &str, options: &[&str], arguments: &[&str]) -> Finished {
    let mut line: Vec<OsString> = options.iter().map(OsString::from).collect();
    line.push(hart_build::guest(name).into());
    line.extend(arguments.iter().map(OsString::from));
    let ended = hart(line);
    assert!(
        ended.peak_memory < GIB,
        "{} bytes: {ended:#?}",
        ended.peak_memory
    );
    ended
}

/// One of `names` is in what was written.
#[track_caller]
fn names_one_of(ended: &Finished, names: &[&str]) {
    let named = names.iter().any(|name| ended.stderr.contains(name));
    assert!(named, "none of {names:?}: {ended:#?}");
}

/// Hunts tasks that are counted nowhere, and the host's own memory for each of them.
#[test]
pub(crate) fn a_fork_bomb_runs_into_a_limit() {
    let ended = guest("forkbomb", &[], &[]).exits(1);
    names_one_of(&ended, &["`tasks`", "`depth`", "`queued`", "`memory`"]);
    let ended = guest("forkbomb", &["-W", "max-tasks=100"], &[]).exits(1);
    names_one_of(&ended, &["`tasks` of 100"]);
    let ended = guest("forkbomb", &["-W", "max-depth=5"], &[]).exits(1);
    names_one_of(&ended, &["`depth` of 5"]);
}

/// Hunts memory that grows past the limit, or a refusal that nobody can name.
#[test]
pub(crate) fn a_memory_bomb_runs_into_a_limit() {
    let ended = guest("membomb", &[], &[]).exits(1);
    names_one_of(&ended, &["max-memory"]);
    let ended = guest("membomb", &["-W", "max-task-memory=32MiB"], &[]).exits(1);
    names_one_of(&ended, &["max-task-memory"]);
    assert!(ended.peak_memory < GIB / 4, "{ended:#?}");
    let ended = guest("membomb", &["-W", "max-memory=64MiB"], &["child"]).exits(1);
    names_one_of(&ended, &["more memory than it may use", "`memory`"]);
    assert!(ended.peak_memory < GIB / 4, "{ended:#?}");
}

/// Hunts a recursion that overflows the host's stack: that would be a signal, not an exit code.
#[test]
fn a_deep_recursion_runs_into_the_stack_limit() {
    let ended = guest("deeprec", &[], &[]).exits(134);
    names_one_of(&ended, &["call stack exhausted"]);
    let ended = guest("deeprec", &[], &["child"]).exits(1);
    names_one_of(&ended, &["call stack exhausted"]);
    names_one_of(&ended, &["`deeprec::descend`"]);
}

/// Hunts a stack in memory that overflows and is called an access out of bounds, which it also is, and no more. Where
/// the bounds are checked in code nobody knows the address, and it can only be said that it may be so.
#[test]
fn a_full_stack_is_named_with_what_raises_it() {
    for (profile, says) in [
        ("fast", "the stack overflowed"),
        ("dense", "the stack that overflowed"),
    ] {
        for (mode, code) in [("buffers", 134), ("child-buffers", 1)] {
            let ended = guest("deeprec", &["--pool", profile], &[mode]).exits(code);
            names_one_of(&ended, &[says]);
            names_one_of(&ended, &["-zstack-size"]);
        }
    }
    // Another address out of bounds is no stack.
    let scratch = Scratch::new();
    let text = r#"(component
        (core module $m (memory 1) (func (export "f") (drop (i32.load (i32.const 0x200000)))))
        (core instance $i (instantiate $m))
        (func (export "f") (canon lift (core func $i "f"))))"#;
    let file = scratch.write("wild.wat", text);
    let ended = hart(["--invoke".as_ref(), "f()".as_ref(), file.as_os_str()]).exits(134);
    assert!(ended.stderr.contains("out of bounds"), "{ended:#?}");
    assert!(!ended.stderr.contains("stack"), "{ended:#?}");
}

/// Hunts output that is buffered without bound, or not counted.
#[test]
pub(crate) fn a_flood_of_output_runs_into_a_limit() {
    let ended = guest("flood", &["-W", "max-output=1MiB"], &[]).exits(1);
    names_one_of(&ended, &["max-output"]);
    let written = ended.stdout.len() + ended.stderr.len();
    assert!(written < 2 << 20, "{written} bytes");
    assert!(ended.stdout.len() > 1 << 19, "{written} bytes");
}

/// Hunts an admission that deadlocks: parents hold all the slots in the pool and wait for children
/// that wait for a slot.
#[test]
fn a_tree_of_tasks_needs_fewer_slots_than_tasks() {
    for workers in ["1", "2"] {
        let ended = guest("tree", &["--workers", workers, "--stats=json"], &["15"]).exits(0);
        assert_eq!(ended.stdout, "32767\n");
        let stats = ended.stats();
        assert_eq!(stats["tasks"], 32_768, "{stats:#}");
        assert_eq!(stats["live_tasks"], 0, "{stats:#}");
    }
}

/// Hunts a number of threads that is only parsed. A run has a quarter of them, and at least one.
#[test]
pub(crate) fn operations_on_files_have_so_many_threads() {
    let scratch = Scratch::new();
    let granted = format!("{}::/d::ro", scratch.path().display());
    for (limit, threads) in [("1", 1), ("12", 3)] {
        let limit = format!("max-blocking-threads={limit}");
        let mut line: Vec<OsString> = ["-W", &limit, "--dir", &granted].map(Into::into).into();
        line.push(hart_build::guest("probe").into());
        line.extend(["list", "/d", "40"].map(OsString::from));
        let running = Running::hart(line);
        let most = running.most_threads("hart-files", threads);
        running.signal(libc::SIGTERM);
        running.wait().exits(143);
        assert_eq!(most, threads, "{limit}");
    }
}
