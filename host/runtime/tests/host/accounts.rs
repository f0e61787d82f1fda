//! What the books say is what there is.

use crate::support::*;
use hart_host::{Host, LimitKind, Limits, Outcome, Preemption, Profile, RunError, Tenant};

const PAGE: u64 = 64 << 10;

/// Exports `memory(by, times)`, `table(by, times)`, which grow and return what the last growth did, and
/// `both(fits, too-much)`: a growth, then one that fails.
const GROWS: &str = r#"(component
    (core module $m
        (memory 1 MEMORY)
        (table $t 1 TABLE funcref)
        (func (export "memory") (param $by i32) (param $times i32) (result i32) (local $last i32)
            (loop $again
                (local.set $last (memory.grow (local.get $by)))
                (local.set $times (i32.sub (local.get $times) (i32.const 1)))
                (br_if $again (local.get $times)))
            (local.get $last))
        (func (export "table") (param $by i32) (param $times i32) (result i32) (local $last i32)
            (loop $again
                (local.set $last (table.grow $t (ref.null func) (local.get $by)))
                (local.set $times (i32.sub (local.get $times) (i32.const 1)))
                (br_if $again (local.get $times)))
            (local.get $last))
        (func (export "both") (param $fits i32) (param $fails i32) (result i32)
            (drop (memory.grow (local.get $fits)))
            (memory.grow (local.get $fails))))
    (core instance $i (instantiate $m))
    (func (export "memory") (param "by" u32) (param "times" u32) (result s32) (canon lift (core func $i "memory")))
    (func (export "table") (param "by" u32) (param "times" u32) (result s32) (canon lift (core func $i "table")))
    (func (export "both") (param "fits" u32) (param "fails" u32) (result s32) (canon lift (core func $i "both"))))"#;

fn small(profile: Profile) -> Host {
    builder().profile(profile).build().unwrap()
}

fn call(
    host: &Host,
    text: &str,
    wave: &str,
    limits: Limits,
    tenant: Option<&Tenant>,
) -> Result<Outcome, RunError> {
    let component = host.load(text.as_bytes()).unwrap();
    let mut run = host
        .invoke(&component, wave)
        .unwrap()
        .limits(limits.or(&Limits::new().timeout(HANG)));
    if let Some(tenant) = tenant {
        run = run.tenant(tenant);
    }
    run.start().unwrap().wait()
}

/// Fault: growth that fails after the limiter agreed and stays charged, so that a small guest dies of its memory or its
/// tenant's; and a peak that never was.
#[test]
fn refused_growth_is_not_charged() {
    // Beyond what the type allows, the pool has room for, and the limiter is asked about.
    let bounded = GROWS.replace("MEMORY", "4").replace("TABLE", "4");
    let free = GROWS.replace("MEMORY", "").replace("TABLE", "");
    for profile in [Profile::Fast, Profile::Dense] {
        let host = small(profile);
        let tenant = host
            .tenant()
            .limits(Limits::new().memory(1000 * PAGE))
            .build()
            .unwrap();
        let limits = Limits::new().memory(500 * PAGE);
        let cases = [
            (&bounded, "memory(9, 1000)"),
            (&bounded, "table(9, 1000)"),
            (&free, "memory(65536, 1000)"),
            (&free, "table(4000000000, 1000)"),
        ];
        for (text, wave) in cases {
            let outcome = call(&host, text, wave, limits, Some(&tenant)).unwrap();
            assert_eq!(outcome.to_wave().unwrap(), "-1", "{profile:?} {wave}");
            let peak = outcome.stats.peak_memory;
            assert!(peak < 20 * PAGE, "{profile:?} {wave}: {peak}");
            assert_eq!(tenant.stats().memory, 0, "{profile:?} {wave}");
        }
    }
    // More than a slot has, in each of a few sizes, while the run may have much more.
    let host = small(Profile::Dense);
    for pages in [1100, 5000, 60_000] {
        let limits = Limits::new().memory(8 << 30);
        let outcome = call(
            &host,
            &free,
            &format!("memory({pages}, 1000)"),
            limits,
            None,
        )
        .unwrap();
        assert_eq!(outcome.to_wave().unwrap(), "-1", "{pages}");
        assert!(outcome.stats.peak_memory < 20 * PAGE, "{pages}");
    }
}

/// Fault: growth that went well and is taken back because a later one failed of which the limiter was not asked.
#[test]
fn growth_that_went_well_stays_charged() {
    let free = GROWS.replace("MEMORY", "").replace("TABLE", "");
    let bounded = GROWS.replace("MEMORY", "300").replace("TABLE", "4");
    for profile in [Profile::Fast, Profile::Dense] {
        let host = small(profile);
        // The type has at most 65,536 pages; or 300.
        for (text, fails) in [(&free, 65_536), (&free, u32::MAX), (&bounded, 250)] {
            let wave = format!("both(100, {fails})");
            let outcome = call(&host, text, &wave, Limits::new(), None).unwrap();
            assert_eq!(outcome.to_wave().unwrap(), "-1", "{profile:?} {fails}");
            let peak = outcome.stats.peak_memory;
            assert!(
                (101 * PAGE..120 * PAGE).contains(&peak),
                "{profile:?} {fails}: {peak}"
            );
        }
    }
}

/// Fault: a spawn that is refused for one reason and is seen by another task as the other.
#[test]
fn a_refused_spawn_leaves_no_trace() {
    // The input does not fit, so no spawn of it may use up the rate, the tasks or the memory.
    let limits = Limits::new().memory(8 << 20).tasks(3);
    let (host, lab) = limited(Preemption::default(), limits);
    let large = Script::default().times(2000, &say(b'x'));
    let script = Script::default()
        .times(20, &spawn(&spin()))
        .times(20, &spawn(&large))
        .cancel(0)
        .cancel(1);
    let run = run(&host, &lab, &script).start().unwrap();
    let canceller = run.canceller();
    let _ = run.wait();
    let stats = canceller.stats();
    assert_eq!(
        (stats.peak_tasks, stats.tasks, stats.spawns),
        (3, 3, 2),
        "{stats:?}"
    );
    assert_eq!((stats.live_tasks, stats.memory), (0, 0), "{stats:?}");
    assert_nothing_left(&host);
}

/// Fault: a limit that has no kind, so that nobody can tell it from a fault of the guest's.
#[test]
fn limits_of_host_calls_have_a_kind() {
    const COPIES: &str = r#"(component
        (import "wasi:random/random@0.2.0" (instance $random
            (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
        (import "hart:exec/tasks@0.1.0" (instance $tasks
            (export "task-options" (type $o (sub resource)))
            (export "[constructor]task-options" (func (result (own $o))))
            (export "[method]task-options.set-name" (func (param "self" (borrow $o)) (param "name" string)))))
        (core module $libc (memory (export "memory") 400)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
        (core instance $libc (instantiate $libc))
        (alias core export $libc "memory" (core memory $memory))
        (alias core export $libc "realloc" (core func $realloc))
        (core func $random (canon lower (func $random "get-random-bytes") (memory $memory) (realloc $realloc)))
        (core func $new (canon lower (func $tasks "[constructor]task-options")))
        (core func $name (canon lower (func $tasks "[method]task-options.set-name") (memory $memory) string-encoding=ENCODING))
        (core module $m
            (import "libc" "memory" (memory 400))
            (import "" "random" (func $random (param i64 i32)))
            (import "" "new" (func $new (result i32)))
            (import "" "name" (func $name (param i32 i32 i32)))
            (func (export "random") (param i64) (call $random (local.get 0) (i32.const 16)))
            (func (export "name") (param i32) (call $name (call $new) (i32.const 1024) (local.get 0)))
            (func (export "list") (param i32) (result i32)
                (i32.store (i32.const 16) (i32.const 1024))
                (i32.store (i32.const 20) (local.get 0))
                (i32.const 16)))
        (core instance $i (instantiate $m (with "libc" (instance $libc))
            (with "" (instance (export "random" (func $random)) (export "new" (func $new)) (export "name" (func $name))))))
        (func (export "random") (param "count" u64) (canon lift (core func $i "random")))
        (func (export "name") (param "units" u32) (canon lift (core func $i "name")))
        (func (export "list") (param "count" u32) (result (list u8)) (canon lift (core func $i "list") (memory $memory))))"#;
    for encoding in ["utf8", "utf16", "latin1+utf16"] {
        let host = host();
        let text = COPIES.replace("ENCODING", encoding);
        let reaches = |wave: &str, limits: Limits| {
            let ended = call(&host, &text, wave, limits, None);
            ended.err().map(|error| {
                error
                    .limit()
                    .unwrap_or_else(|| panic!("{wave}: {error}"))
                    .limit
            })
        };
        let limits = Limits::new();
        let fuel = Some(LimitKind::HostcallFuel);
        assert_eq!(reaches("random(1048576)", limits), None);
        assert_eq!(
            reaches("random(1048577)", limits),
            Some(LimitKind::RandomBytes)
        );
        assert_eq!(
            reaches("random(99)", limits.random_bytes(98)),
            Some(LimitKind::RandomBytes)
        );
        assert_eq!(reaches("name(40)", limits), None);
        assert_eq!(reaches("name(100)", limits.hostcall_fuel(50)), fuel);
        assert_eq!(reaches("name(65536)", limits), None);
        let long = call(&host, &text, "name(65537)", limits, None).unwrap_err();
        assert!(long.to_string().contains("65537 code units"), "{long}");
        assert_eq!(reaches("list(1000)", limits), None);
        assert_eq!(reaches("list(1000)", limits.hostcall_fuel(900)), fuel);
        assert_nothing_left(&host);
    }
}

/// Fault: instances and handles of tasks that are counted nowhere, or for ever.
#[test]
fn what_a_run_holds_is_given_back() {
    let (host, lab) = limited(Preemption::default(), Limits::new());
    let script = Script::default()
        .times(5, &spawn(&yield_forever()))
        .yield_forever();
    let run = run(&host, &lab, &script).start().unwrap();
    let canceller = run.canceller();
    let least = 6 * (48 << 10) + 5 * 1024;
    eventually("all of them have an instance", || host.pool().in_use == 6);
    eventually("and count", || canceller.stats().memory >= least);
    run.cancel();
    let _ = run.wait();
    assert_eq!(canceller.stats().memory, 0);
    assert_nothing_left(&host);
}

/// Fault: time on the clock that counts as CPU time while a poll goes on, and ends whoever waits in one.
#[test]
fn a_poll_that_waits_uses_no_cpu_time() {
    let runtime = hart_host::Runtime::builder().workers(2).build().unwrap();
    let limits = Limits::new().cpu_time(std::time::Duration::from_millis(100));
    let group = runtime.group().limits(limits).build().unwrap();
    let (started, has_started) = std::sync::mpsc::channel();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let waits = group.spawn(async move |_| {
        started.send(()).unwrap();
        // As a host function does that blocks.
        let _ = goes_on.recv();
    });
    has_started.recv().unwrap();
    let since = std::time::Instant::now();
    eventually("it has waited for long enough", || {
        since.elapsed() >= std::time::Duration::from_millis(300)
    });
    let used = group.stats().cpu_time;
    assert!(used < std::time::Duration::from_millis(100), "{used:?}");
    drop(go_on);
    waits.wait().unwrap();

    // And one that computes has it counted before it ends.
    let group = runtime.group().build().unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let computes = group.spawn(async move |_| {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            std::hint::black_box(());
        }
    });
    eventually("what it uses is seen", || {
        group.stats().cpu_time >= std::time::Duration::from_millis(20)
    });
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    computes.wait().unwrap();
}

/// Fault: a table that names tests which are not there, or no more.
#[test]
fn the_table_of_what_is_held_names_tests_that_exist() {
    let table = include_str!("../../src/held.md");
    let here = std::path::Path::new("tests/host");
    let mut named = 0;
    for name in table
        .split('`')
        .filter(|text| text.contains("::") && !text.contains('['))
    {
        let (module, test) = name.split_once("::").unwrap();
        if module.starts_with(char::is_uppercase) {
            continue;
        }
        let source = std::fs::read_to_string(here.join(format!("{module}.rs"))).unwrap();
        assert!(source.contains(&format!("fn {test}()")), "{name}");
        named += 1;
    }
    assert!(named > 15, "{named}");
}
