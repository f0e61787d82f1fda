//! What a run holds, and what one of its calls may take: the options that say so.

use crate::support::{Finished, Scratch, hart, root};
use std::ffi::OsString;

const GUEST: &str = r#"(component
    (import "wasi:random/random@0.2.0" (instance $random
        (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
    (import "hart:exec/tasks@0.1.0" (instance $tasks
        (export "task-options" (type $o (sub resource)))
        (export "[constructor]task-options" (func (result (own $o))))
        (export "[method]task-options.set-name" (func (param "self" (borrow $o)) (param "name" string)))))
    (core module $libc (memory (export "memory") 40)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $memory))
    (alias core export $libc "realloc" (core func $realloc))
    (core func $random (canon lower (func $random "get-random-bytes") (memory $memory) (realloc $realloc)))
    (core func $new (canon lower (func $tasks "[constructor]task-options")))
    (core func $name (canon lower (func $tasks "[method]task-options.set-name") (memory $memory) string-encoding=utf16))
    (core module $m
        (import "libc" "memory" (memory 40))
        (import "" "random" (func $random (param i64 i32)))
        (import "" "new" (func $new (result i32)))
        (import "" "name" (func $name (param i32 i32 i32)))
        (func (export "random") (param i64) (call $random (local.get 0) (i32.const 16)))
        (func (export "name") (param i32) (call $name (call $new) (i32.const 65536) (local.get 0)))
        (func (export "options") (param $count i32)
            (loop $more
                (drop (call $new))
                (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                (br_if $more (local.get $count))))
        (func (export "grow") (param $pages i32) (param $times i32) (result i32) (local $last i32)
            (loop $more
                (local.set $last (memory.grow (local.get $pages)))
                (local.set $times (i32.sub (local.get $times) (i32.const 1)))
                (br_if $more (local.get $times)))
            (local.get $last)))
    (core instance $i (instantiate $m (with "libc" (instance $libc))
        (with "" (instance (export "random" (func $random)) (export "new" (func $new)) (export "name" (func $name))))))
    (func (export "random") (param "count" u64) (canon lift (core func $i "random")))
    (func (export "name") (param "units" u32) (canon lift (core func $i "name")))
    (func (export "options") (param "count" u32) (canon lift (core func $i "options")))
    (func (export "grow") (param "pages" u32) (param "times" u32) (result s32) (canon lift (core func $i "grow"))))"#;

fn call(options: &[&str], wave: &str) -> Finished {
    let scratch = Scratch::new();
    let guest = scratch.write("guest.wat", GUEST);
    let mut line: Vec<OsString> = options.iter().map(OsString::from).collect();
    line.extend(["--invoke".into(), wave.into(), guest.into()]);
    hart(line)
}

#[track_caller]
fn names(ended: Finished, way_out: &str) {
    let ended = ended.exits(1);
    assert!(ended.stderr.contains(way_out), "{way_out}: {ended:#?}");
}

/// Hunts growth that was refused and stays charged: the guest dies of memory that it never had.
#[test]
fn refused_growth_costs_nothing() {
    // A slot of the dense pool has no room for so much, and the run has.
    let options = ["--pool", "dense", "-W", "max-memory=400MiB"];
    let ended = call(&options, "grow(5000, 50)").exits(0);
    assert_eq!(ended.stdout, "-1\n", "{ended:#?}");
}

/// Hunts an option that is taken and does nothing, and a limit whose error does not say how to raise it.
#[test]
pub(crate) fn what_one_call_may_take_is_set_by_options() {
    call(&[], "random(1048576)").exits(0);
    names(call(&[], "random(1048577)"), "-S max-random-size=SIZE");
    call(&["-S", "max-random-size=2MiB"], "random(1048577)").exits(0);
    names(
        call(&["-S", "max-random-size=1KiB"], "random(1025)"),
        "max-random-size of 1KiB",
    );

    call(&[], "name(1000)").exits(0);
    names(
        call(&["-S", "hostcall-fuel=1KiB"], "name(1000)"),
        "-S hostcall-fuel=SIZE",
    );
    call(&["-S", "hostcall-fuel=4KiB"], "name(1000)").exits(0);
}

/// Hunts handles that are counted by nobody, and a limit of them that does nothing.
#[test]
pub(crate) fn handles_are_limited_by_an_option() {
    call(&[], "options(20000)").exits(0);
    let ended = call(&[], "options(1000000)");
    assert!(ended.peak_memory < 256 << 20, "{ended:#?}");
    names(ended, "-W max-handles=N");
    names(
        call(&["-W", "max-handles=100"], "options(200)"),
        "max-handles of 100",
    );
    call(&["-W", "max-handles=100"], "options(100)").exits(0);
    let many = ["-W", "max-handles=1000000", "-W", "max-memory=16MiB"];
    names(call(&many, "options(1000000)"), "-W max-memory=SIZE");
}

/// Hunts files that are counted by nobody, and a limit of them that ends the guest or does nothing.
#[test]
pub(crate) fn files_are_limited_by_an_option() {
    let scratch = Scratch::new();
    scratch.write("file", "");
    let directory = format!("{}::/d", scratch.path().display());
    let opened = |options: &[&str]| {
        let mut line: Vec<OsString> = options.iter().map(OsString::from).collect();
        let fixed = ["--dir", &directory, "--invoke", "open(20)"];
        line.extend(fixed.map(OsString::from));
        line.push(
            root()
                .join("host/runtime/tests/host/files/wasi02.wat")
                .into(),
        );
        hart(line).exits(0).stdout
    };
    // How many it has opened, times 256, and `insufficient-memory`.
    assert_eq!(
        opened(&["-W", "max-files=10"]),
        format!("{}\n", 10 * 256 + 22)
    );
    assert_eq!(opened(&[]), format!("{}\n", 20 * 256));
}
