//! A slot in the pool shows nothing of its last user: memories, tables, globals, heaps and stacks, in every sort of
//! pool.

use crate::support::*;
use hart_host::{
    BuildError, Component, Host, HostBuilder, PoolScan, Profile, RunError, wasmtime::component::Val,
};

/// What guests leave behind, and look for.
const MARK: u64 = 0xa5a5_a5a5_a5a5_a5a5;

/// A guest that leaves what it can in its memory and its table, and one that looks for it. Both grow by some
/// pages first; `$image` is what their memory begins with.
pub fn adversary(image: &str) -> String {
    format!(
        r#"(component
        (core module $m
            (memory 2)
            (data (i32.const 1024) "{image}")
            (table $t 4 100 funcref)
            (memory $other 1 60)
            (global $seen (mut i32) (i32.const 0))
            (global $long (mut i64) (i64.const 0))
            (global $wide (mut v128) (v128.const i64x2 0 0))
            (global $function (mut funcref) (ref.null func))
            (elem declare func $f)
            (func $f)
            (func $mark (param $pages i32)
                (drop (memory.grow (local.get $pages)))
                (memory.fill (i32.const 0) (i32.const 0xa5) (i32.mul (memory.size) (i32.const 65536)))
                (drop (table.grow $t (ref.func $f) (i32.const 60)))
                (table.fill $t (i32.const 0) (ref.func $f) (table.size $t))
                (drop (memory.grow $other (local.get $pages)))
                (memory.fill $other (i32.const 0) (i32.const 0xa5)
                    (i32.mul (memory.size $other) (i32.const 65536)))
                (global.set $seen (i32.const 7))
                (global.set $long (i64.const -1))
                (global.set $wide (v128.const i64x2 -1 -1))
                (global.set $function (ref.func $f)))
            (func (export "mark") (param $pages i32) (call $mark (local.get $pages)))
            (func (export "trap") (param $pages i32) (call $mark (local.get $pages)) unreachable)
            (func (export "spin") (param $pages i32)
                (call $mark (local.get $pages))
                (loop $again (br $again)))
            (func (export "look") (param $pages i32) (result i32)
                (local $at i32) (local $found i32) (local $end i32)
                (drop (memory.grow (local.get $pages)))
                ;; What it begins with is its own.
                (memory.fill (i32.const 1024) (i32.const 0) (i32.const {length}))
                (local.set $end (i32.mul (memory.size) (i32.const 65536)))
                (loop $words
                    (local.set $found (i32.add (local.get $found)
                        (i64.ne (i64.load (local.get $at)) (i64.const 0))))
                    (local.set $at (i32.add (local.get $at) (i32.const 8)))
                    (br_if $words (i32.lt_u (local.get $at) (local.get $end))))
                (drop (table.grow $t (ref.null func) (i32.const 60)))
                (local.set $at (i32.const 0))
                (loop $elements
                    (local.set $found (i32.add (local.get $found)
                        (i32.eqz (ref.is_null (table.get $t (local.get $at))))))
                    (local.set $at (i32.add (local.get $at) (i32.const 1)))
                    (br_if $elements (i32.lt_u (local.get $at) (table.size $t))))
                (drop (memory.grow $other (local.get $pages)))
                (local.set $at (i32.const 0))
                (local.set $end (i32.mul (memory.size $other) (i32.const 65536)))
                (loop $others
                    (local.set $found (i32.add (local.get $found)
                        (i64.ne (i64.load $other (local.get $at)) (i64.const 0))))
                    (local.set $at (i32.add (local.get $at) (i32.const 8)))
                    (br_if $others (i32.lt_u (local.get $at) (local.get $end))))
                (local.get $found)
                (i32.add (global.get $seen))
                (i32.add (i64.ne (global.get $long) (i64.const 0)))
                (i32.add (v128.any_true (global.get $wide)))
                (i32.add (i32.eqz (ref.is_null (global.get $function))))))
        (core instance $i (instantiate $m))
        (func (export "mark") (param "pages" u32) (canon lift (core func $i "mark")))
        (func (export "trap") (param "pages" u32) (canon lift (core func $i "trap")))
        (func (export "spin") (param "pages" u32) (canon lift (core func $i "spin")))
        (func (export "look") (param "pages" u32) (result u32) (canon lift (core func $i "look"))))"#,
        length = image.len(),
    )
}

/// A host of each sort of pool that this machine can have.
fn profiles() -> Vec<(String, Host)> {
    let each = |profile, scan| {
        let builder: HostBuilder = builder().instances(4).profile(profile).pool_scan(scan);
        match builder.build() {
            Ok(host) => Some((format!("{profile:?}, scan {scan:?}"), host)),
            // It is for kernels that can, and systems without swap.
            Err(BuildError::Setting(_) | BuildError::Engine(_)) if scan == PoolScan::On => None,
            Err(error) => panic!("{error}"),
        }
    };
    [
        each(Profile::Fast, PoolScan::Off),
        each(Profile::Fast, PoolScan::On),
        each(Profile::Dense, PoolScan::Off),
        each(Profile::Dense, PoolScan::On),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Fault: a guest that finds in its memories, its table or its globals what the last one in its slot has left there: in what
/// is zeroed by hand, in what is given back to the system, in what was grown, under an image or where another
/// component's was.
#[test]
pub fn a_place_shows_nothing_of_its_last_user() {
    for (name, host) in profiles() {
        let long = "x".repeat(100_000);
        let components = ["image", long.as_str()].map(|image| {
            let text = adversary(image);
            host.load(text.as_bytes()).expect("it is valid")
        });
        // Within what is kept resident, and beyond.
        for pages in [0, 1, 40] {
            for end in ["mark", "trap", "spin"] {
                for marks in &components {
                    // All slots, and the queue of those that are not reset yet.
                    for _ in 0..4 {
                        let run = host
                            .call(marks, end, vec![Val::U32(pages)])
                            .start()
                            .unwrap();
                        if end == "spin" {
                            run.cancel();
                        }
                        match (end, run.wait()) {
                            ("mark", Ok(_))
                            | ("trap", Err(RunError::Trapped { .. }))
                            | ("spin", Err(RunError::Cancelled)) => {}
                            (_, ended) => panic!("{ended:?}"),
                        }
                    }
                    for looks in &components {
                        for _ in 0..4 {
                            let run = host.call(looks, "look", vec![Val::U32(pages)]);
                            let found = run.start().unwrap().wait().unwrap().results;
                            assert_eq!(found, [Val::U32(0)], "{name}, {pages} pages, after {end}");
                        }
                    }
                }
            }
        }
        assert_nothing_left(&host);
    }
}

/// A guest that fills a heap of its garbage collector with marks, and one that looks for them in what it has not
/// written: arrays and structures at their defaults.
const HEAP: &str = r#"(component
    (core module $m
        (type $array (array (mut i64)))
        (type $struct (struct (field (mut i64)) (field (mut (ref null $array))) (field (mut i64))))
        (memory 1)
        (func (export "mark") (param $rounds i32)
            (local $last (ref null $struct))
            (loop $again
                (local.set $last (struct.new $struct (i64.const 0xa5a5a5a5a5a5a5a5)
                    (array.new $array (i64.const 0xa5a5a5a5a5a5a5a5) (i32.const 500))
                    (i64.const 0xa5a5a5a5a5a5a5a5)))
                (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
                (br_if $again (local.get $rounds))))
        (func (export "look") (param $rounds i32) (result i32)
            (local $found i32) (local $at i32)
            (local $array (ref null $array)) (local $struct (ref null $struct))
            (loop $again
                (local.set $struct (struct.new_default $struct))
                (local.set $array (array.new_default $array (i32.const 500)))
                (local.set $found (i32.add (local.get $found) (i32.or
                    (i64.ne (struct.get $struct 0 (local.get $struct)) (i64.const 0))
                    (i64.ne (struct.get $struct 2 (local.get $struct)) (i64.const 0)))))
                (local.set $found (i32.add (local.get $found)
                    (i32.eqz (ref.is_null (struct.get $struct 1 (local.get $struct))))))
                (local.set $at (i32.const 0))
                (loop $each
                    (local.set $found (i32.add (local.get $found)
                        (i64.ne (array.get $array (local.get $array) (local.get $at)) (i64.const 0))))
                    (local.set $at (i32.add (local.get $at) (i32.const 1)))
                    (br_if $each (i32.lt_u (local.get $at) (i32.const 500))))
                (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
                (br_if $again (local.get $rounds)))
            (local.get $found)))
    (core instance $i (instantiate $m))
    (func (export "mark") (param "rounds" u32) (canon lift (core func $i "mark")))
    (func (export "look") (param "rounds" u32) (result u32) (canon lift (core func $i "look"))))"#;

/// Fault: a heap whose objects begin with what the last guest has left there, and not with their defaults.
#[test]
fn a_heap_shows_nothing_of_its_last_user() {
    for (name, host) in profiles() {
        let component = host.load(HEAP.as_bytes()).expect("it is valid");
        // Less than is kept resident, and some megabytes.
        for rounds in [10, 1_000] {
            for _ in 0..8 {
                call(&host, &component, "mark", vec![Val::U32(rounds)]);
            }
            for _ in 0..8 {
                let found = call(&host, &component, "look", vec![Val::U32(rounds)]);
                assert_eq!(found, [Val::U32(0)], "{name}, {rounds} rounds");
            }
        }
        // It would have found some.
        let written = HEAP.replace("array.new_default $array", "array.new $array (i64.const 1)");
        let component = host.load(written.as_bytes()).expect("it is valid");
        let found = call(&host, &component, "look", vec![Val::U32(2)]);
        assert_eq!(found, [Val::U32(1_000)], "{name}");
        assert_nothing_left(&host);
    }
}

fn call(host: &Host, component: &Component, export: &str, args: Vec<Val>) -> Vec<Val> {
    let run = host.call(component, export, args).start().unwrap();
    run.wait().unwrap().results
}

/// A guest that fills its stack with marks, `deep` calls of some hundred bytes each, and one that looks for them in
/// locals it has never written. `$probe` is the host's, which looks below.
///
/// The values of `$fill` come from memory, which may change in the call below, and are used after it: they must be on
/// the stack meanwhile. Those of `$sum` are written on a way that is never taken, so that they cannot be left out.
fn stack_adversary() -> String {
    const LOCALS: usize = 40;
    let locals = |make: &dyn Fn(usize) -> String| (0..LOCALS).map(make).collect::<String>();
    let declare = locals(&|each| format!("(local $l{each} i64)"));
    let set = locals(&|each| {
        let at = 8 * each;
        format!("(local.set $l{each} (i64.load (i32.const {at})))")
    });
    let sum = locals(&|each| format!("(i64.add (local.get $l{each}))"));
    let marks = "\\a5".repeat(8 * LOCALS);
    format!(
        r#"(component
        (import "probe" (func $probe (result u32)))
        (core func $lowered (canon lower (func $probe)))
        (core module $m
            (import "" "probe" (func $probe (result i32)))
            (memory 1)
            (data (i32.const 0) "{marks}")
            (func $fill (param $deep i32) (param $never i32) (result i64) {declare} {set}
                (i64.const 0)
                (if (local.get $deep) (then
                    (drop (call $fill (i32.sub (local.get $deep) (i32.const 1)) (local.get $never)))))
                {sum})
            (func $sum (param $deep i32) (param $never i32) (result i64) (local $below i64) {declare}
                (if (local.get $never) (then {set}))
                (if (local.get $deep) (then (local.set $below
                    (call $sum (i32.sub (local.get $deep) (i32.const 1)) (local.get $never)))))
                (i64.const 0)
                {sum}
                (i64.or (local.get $below)))
            (func (export "mark") (param $deep i32)
                (drop (call $fill (local.get $deep) (i32.const 0))))
            (func (export "trap") (param $deep i32)
                (drop (call $fill (local.get $deep) (i32.const 0))) unreachable)
            (func (export "look") (param $deep i32) (result i32)
                (i64.ne (call $sum (local.get $deep) (i32.const 0)) (i64.const 0)))
            (func (export "probe") (result i32) (call $probe))
            (func (export "fill-and-probe") (param $deep i32) (result i32)
                (drop (call $fill (local.get $deep) (i32.const 0)))
                (call $probe)))
        (core instance $i (instantiate $m (with "" (instance (export "probe" (func $lowered))))))
        (func (export "mark") (param "deep" u32) (canon lift (core func $i "mark")))
        (func (export "trap") (param "deep" u32) (canon lift (core func $i "trap")))
        (func (export "look") (param "deep" u32) (result u32) (canon lift (core func $i "look")))
        (func (export "probe") (result u32) (canon lift (core func $i "probe")))
        (func (export "fill-and-probe") (param "deep" u32) (result u32)
            (canon lift (core func $i "fill-and-probe"))))"#
    )
}

/// How many marks are on this stack, in the 256 KiB below its present end.
#[inline(never)]
fn marks_below() -> u32 {
    let here = 0_u64;
    let here = std::hint::black_box(&raw const here);
    // A guest has at least 1.5 MiB of its stack left to the host, and this function calls none that writes.
    let words = (1..32 << 10).map(|words| here.wrapping_sub(words));
    // SAFETY: all of it is the stack that this thread is on: mapped, and nobody's but this thread's. Read as a
    // debugger does it, whatever it holds: the words are made up from nothing that Rust keeps there.
    let marks = words.filter(|word| unsafe { word.read_volatile() } == MARK);
    u32::try_from(marks.count()).unwrap_or(u32::MAX)
}

fn with_probe(host: &Host) -> Component {
    let component = host.load_with(stack_adversary().as_bytes(), |linker| {
        linker
            .root()
            .func_wrap("probe", |_, ()| Ok((marks_below(),)))
    });
    component.expect("it is valid")
}

/// Fault: compiled code that takes for a local's zero what the last guest has left on its stack; and, where the host
/// has stacks of its own, one that is handed on with bytes in it.
///
/// wasmtime's own pool (`Profile::Fast`) hands stacks on as they are: no guest can read a byte of its stack that it has
/// not written, and resetting them would take a call of the system's for each task.
#[test]
fn a_stack_shows_nothing_of_its_last_user() {
    for (name, host) in profiles() {
        let component = with_probe(&host);
        // Within what is zeroed by hand, and beyond.
        for deep in [40, 200] {
            let deep = vec![Val::U32(deep)];
            for end in ["mark", "trap"] {
                for _ in 0..8 {
                    let run = host.call(&component, end, deep.clone()).start().unwrap();
                    match (end, run.wait()) {
                        ("mark", Ok(_)) | ("trap", Err(RunError::Trapped { .. })) => {}
                        (_, ended) => panic!("{ended:?}"),
                    }
                }
                for _ in 0..8 {
                    let found = call(&host, &component, "look", deep.clone());
                    assert_eq!(found, [Val::U32(0)], "{name}, after {end}");
                    if name.starts_with("Dense") {
                        let found = call(&host, &component, "probe", Vec::new());
                        assert_eq!(found, [Val::U32(0)], "{name}, after {end}");
                    }
                }
            }
            // It would have found some.
            let own = call(&host, &component, "fill-and-probe", deep);
            assert!(
                matches!(own[..], [Val::U32(marks)] if marks > 100),
                "{own:?}"
            );
        }
        assert_nothing_left(&host);
    }
}
