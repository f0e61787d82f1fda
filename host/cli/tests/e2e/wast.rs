//! The scripts below `tests/wast`, and the runner that runs them.

use crate::support::{Scratch, hart, root};
use std::path::PathBuf;

fn scripts(directory: &str) -> Vec<PathBuf> {
    let directory = root().join(directory);
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(&directory)
        .expect("the directory of the scripts")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wast")
        })
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "{}", directory.display());
    scripts
}

/// Runs every script under `options`; each line of output is about one of them.
fn all_pass(options: &[&str]) {
    let scripts = scripts("tests/wast");
    let mut arguments: Vec<String> = vec![String::from("wast")];
    arguments.extend(options.iter().map(ToString::to_string));
    arguments.extend(scripts.iter().map(|path| path.display().to_string()));
    let ended = hart(&arguments).exits(0);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), scripts.len() + 1, "{ended:#?}");
    assert!(
        lines
            .iter()
            .take(scripts.len())
            .all(|line| line.contains(": ok, "))
    );
    assert_eq!(
        lines[scripts.len()],
        format!("{} passed, 0 failed", scripts.len())
    );
    assert_eq!(ended.stderr, "");
}

/// Hunts behaviour that depends on the preemption mode or on the number of workers. With one worker
/// a spinner that is not preempted hangs the script; with two, results race for their joiners.
#[test]
fn scripts_pass_with_epochs_on_one_worker() {
    all_pass(&["--workers", "1"]);
}

/// As above.
#[test]
fn scripts_pass_with_epochs_on_two_workers() {
    all_pass(&["--workers", "2"]);
}

/// As above.
#[test]
fn scripts_pass_with_fuel_on_one_worker() {
    all_pass(&["--workers", "1", "--preempt", "fuel", "--slice", "10000"]);
}

/// As above.
#[test]
fn scripts_pass_with_fuel_on_two_workers() {
    all_pass(&["--workers", "2", "--preempt", "fuel"]);
}

/// Hunts a runner that passes everything, one that stops at the first failure, and failures that
/// nobody can find in the file.
#[test]
fn failures_are_counted_and_located() {
    let script = root().join("tests/wast/failing/wrong.wast");
    let ended = hart(["wast".as_ref(), script.as_os_str()]).exits(1);
    assert!(
        ended
            .stdout
            .ends_with("FAILED, 13 of 15 directives\n0 passed, 1 failed\n"),
        "{ended:#?}"
    );
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 13, "{ended:#?}");
    for (line, (place, says)) in lines.iter().zip([
        ("10:2", "expected U32(2), got U32(1)"),
        ("11:4", "expected S32(1), got U32(1)"),
        ("12:2", "expected nothing, got U32(1)"),
        ("13:2", "expected a trap (`unreachable`), got U32(1)"),
        ("14:2", "nothing named `two` is exported"),
        ("15:2", "no instance $nobody"),
        ("16:2", "expected an invalid one"),
        ("17:2", "unreachable"),
        ("19:2", "got [I32(1)]"),
        ("20:2", "write `i32.const`"),
        ("21:2", "no global `one` is exported"),
        ("22:2", "unknown import"),
        ("23:2", "expected an exception"),
    ]) {
        let prefix = format!("{}:{place}: ", script.display());
        assert!(
            line.starts_with(&prefix) && line.contains(says),
            "{place} {says}: {line}"
        );
    }

    let script = root().join("tests/wast/failing/unparsed.wast");
    let ended = hart(["wast".as_ref(), script.as_os_str()]).exits(1);
    let prefix = format!("{}:3:1: ", script.display());
    assert!(ended.stderr.starts_with(&prefix), "{ended:#?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
}

/// Hunts a missing script that counts as passed, or that keeps the others from being run.
#[test]
fn a_script_that_cannot_be_read_is_bad_input() {
    let good = root().join("tests/wast/instances.wast");
    let ended = hart(["wast".as_ref(), "no/such.wast".as_ref(), good.as_os_str()]).exits(2);
    assert!(ended.stdout.ends_with("1 passed, 1 failed\n"), "{ended:#?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
    assert!(ended.stderr.contains("no such file"), "{ended:#?}");
}

/// Hunts scripts that pass only in the order of events that real workers happen to have.
#[test]
fn scripts_pass_on_simulated_machines() {
    let faults = "stall,slow,late,spurious,offline,jump";
    for options in [
        &["--sim", "--seeds", "0..3"][..],
        &["--sim", "--seeds", "3..6", "--faults", faults],
    ] {
        all_pass(options);
    }
}

fn racing() -> PathBuf {
    root().join("tests/wast/racing/first.wast")
}

/// Hunts a seed that is not told, and a replay that does something else.
#[test]
pub(crate) fn a_script_that_fails_under_a_seed_is_replayed() {
    let racing = racing();
    let line = ["wast".as_ref(), "--sim".as_ref(), "--seeds".as_ref()];
    let found = hart(
        line.into_iter()
            .chain(["0..200".as_ref(), racing.as_os_str()]),
    )
    .exits(1);
    let replay = found
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("replay: hart "))
        .unwrap_or_else(|| panic!("{found:#?}"));
    let again = hart(replay.split(' ')).exits(1);
    assert_eq!(
        (&again.stdout, &again.stderr),
        (&found.stdout, &found.stderr)
    );
    // It is the order that fails: under some seed it passes.
    let passes = (0..200).any(|seed| {
        let range = format!("{seed}..{}", seed + 1);
        let one = line.into_iter().chain([range.as_ref(), racing.as_os_str()]);
        hart(one).code() == 0
    });
    assert!(passes);
}

/// Hunts options that are taken and do nothing.
#[test]
fn options_of_simulated_scripts_are_checked() {
    let script = root().join("tests/wast/instances.wast");
    for (options, says) in [
        (&["--seeds", "0..3"][..], "--sim"),
        (&["--sim", "--seeds", "3..3"], "3..3"),
        (&["--sim", "--workers", "2"], "--workers"),
        (&["--sim", "--faults", "trap"], "stall,slow"),
        (&["--sim", "--slice", "1ms"], "units of fuel"),
    ] {
        let mut line = vec!["wast"];
        line.extend(options);
        line.push(script.to_str().unwrap());
        let refused = hart(line).exits(2);
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:#?}");
        assert!(refused.stderr.contains(says), "{refused:#?}");
    }
}

/// Fault: messages that wasmtime's own runner takes and this one does not: its words about what is missing, and traps
/// about which it is not particular.
#[test]
pub(crate) fn messages_are_taken_as_wasmtime_takes_them() {
    let scratch = Scratch::new();
    let stream = r#"(component
        (core module $libc (memory (export "m") 1))
        (core instance $libc (instantiate $libc))
        (type $s (stream u8))
        (core func $new (canon stream.new $s))
        (core func $drop (canon stream.drop-readable $s))
        (core func $write (canon stream.write $s async (memory (core memory $libc "m"))))
        (core module $m
            (import "" "new" (func $new (result i64)))
            (import "" "drop" (func $drop (param i32)))
            (import "" "write" (func $write (param i32 i32 i32) (result i32)))
            (func $again (param i32)
                (drop (call $write (local.get 0) (i32.const 0) (i32.const 1))))
            (func (export "f") (local $p i64) (local $w i32)
                (local.set $p (call $new))
                (local.set $w (i32.wrap_i64 (i64.shr_u (local.get $p) (i64.const 32))))
                (call $drop (i32.wrap_i64 (local.get $p)))
                (call $again (local.get $w))
                (call $again (local.get $w))))
        (core instance $i (instantiate $m (with "" (instance
            (export "new" (func $new)) (export "drop" (func $drop)) (export "write" (func $write))))))
        (func (export "f") (canon lift (core func $i "f"))))"#;
    let good = format!(
        r#"(assert_unlinkable (component (import "nobody" (func))) "component imports function `nobody`")
        (assert_unlinkable (component (import "nobody" (func))) "was not found in the linker")
        {stream}
        (assert_trap (invoke "f") "cannot write, in words of another")"#
    );
    let path = scratch.write("good.wast", good);
    hart(["wast".as_ref(), path.as_os_str()]).exits(0);
    let other = format!(r#"{stream} (assert_trap (invoke "f") "cannot read")"#);
    let path = scratch.write("wrong.wast", other);
    hart(["wast".as_ref(), path.as_os_str()]).exits(1);
    // A trap is a result; why a module is invalid is told in every runtime's own words.
    let path = path.to_string_lossy();
    hart(["wast", "--ignore-error-messages", &path]).exits(1);
    let other = "(assert_invalid (module (func (result i32))) \"in words of another\")";
    let path = scratch.write("words.wast", other);
    hart(["wast", &path.to_string_lossy()]).exits(1);
    hart(["wast", "--ignore-error-messages", &path.to_string_lossy()]).exits(0);
}

/// As above; and memories there that cannot grow to what a script expects.
#[test]
fn scripts_pass_in_the_dense_pool() {
    all_pass(&["--pool", "dense"]);
}
