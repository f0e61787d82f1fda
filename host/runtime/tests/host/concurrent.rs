//! Components that use component-model async: on an engine of their own, under the same promises.

use crate::support::*;
use hart_host::{
    Component, Host, LimitKind, Limits, LoadError, Outcome, Preemption, Profile, RunError, Stdio,
};
use std::fmt::Write as _;
use std::time::Duration;
use wasmtime::component::Val;

/// A command of WASI 0.3, with two functions to invoke.
const COMMAND: &[u8] = include_bytes!("concurrent/command.wat");

/// Everything that can be done to component-model async, each in an export.
pub const ADVERSARY: &[u8] = include_bytes!("concurrent/adversary.wat");

const ADD: &[u8] = br#"(component
    (core module $m (func (export "f") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
    (core instance $i (instantiate $m))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "f"))))"#;

fn invoke(host: &Host, component: &Component, wave: &str) -> Result<Outcome, RunError> {
    host.invoke(component, wave)
        .unwrap()
        .start()
        .unwrap()
        .wait()
}

/// Fault: a host that runs only one kind of component, or slows the others down by running them on the engine
/// for async ones.
#[test]
fn both_kinds_run_in_one_host() {
    for mode in MODES {
        let host = builder().preemption(mode).build().unwrap();
        let setting = |name: &str| {
            let found = host
                .settings()
                .into_iter()
                .find(|setting| setting.name == name);
            found.map(|setting| setting.value)
        };
        let add = host.load(ADD).unwrap();
        assert_eq!(setting("component-model-async").as_deref(), Some("off"));
        assert_eq!(setting("async-instances"), None);
        assert_eq!(host.pool().instances, 100);

        let command = host.load(COMMAND).unwrap();
        assert_eq!(setting("component-model-async").as_deref(), Some("on"));
        assert_eq!(setting("async-instances").as_deref(), Some("100"));
        assert_eq!(host.pool().instances, 200);
        let engine = |component: &Component| component.as_wasmtime().engine().clone();
        assert!(wasmtime::Engine::same(&engine(&add), host.engine()));
        assert!(!wasmtime::Engine::same(&engine(&command), host.engine()));
        let again = host.load(COMMAND).unwrap();
        assert!(wasmtime::Engine::same(&engine(&command), &engine(&again)));
        let later = host.load(ADD).unwrap();
        assert!(wasmtime::Engine::same(&engine(&later), host.engine()));

        assert!(command.is_command() && !add.is_command());
        for _ in 0..20 {
            let ended = host.command(&command).start().unwrap().wait().unwrap();
            assert_eq!(ended.exit_code, 0);
            let three = invoke(&host, &add, "add(1, 2)").unwrap();
            assert_eq!(three.results, [Val::U32(3)]);
            let later = invoke(&host, &command, "later(21)").unwrap();
            assert_eq!(later.results, [Val::U32(42)]);
            let now = invoke(&host, &command, "now(4)").unwrap();
            assert_eq!(now.results, [Val::U32(8)]);
        }
        assert_nothing_left(&host);
    }
}

/// Fault: compiled code of an async component that is taken for that of another kind, and refused.
#[test]
fn compiled_code_finds_its_engine() {
    let host = host();
    let compiled = host.precompile(COMMAND).unwrap();
    let plain = host.precompile(ADD).unwrap();
    let other = builder().build().unwrap();
    // SAFETY: both were compiled by `precompile` just now.
    let command = unsafe { other.load_precompiled(&compiled) }.unwrap();
    // SAFETY: as before.
    let add = unsafe { other.load_precompiled(&plain) }.unwrap();
    assert_eq!(
        invoke(&other, &command, "later(2)").unwrap().results,
        [Val::U32(4)]
    );
    assert_eq!(
        invoke(&other, &add, "add(1, 1)").unwrap().results,
        [Val::U32(2)]
    );
    let fuel = builder().preemption(Preemption::fuel()).build().unwrap();
    // SAFETY: as before.
    let refused = unsafe { fuel.load_precompiled(&compiled) }.unwrap_err();
    assert!(
        matches!(refused, LoadError::PreemptionMismatch { .. }),
        "{refused:?}"
    );
}

/// Race: a close against the load that makes the second engine, whose queue would then never be closed.
#[test]
fn a_closed_host_makes_no_second_engine() {
    for _ in 0..20 {
        let host = host();
        std::thread::scope(|scope| {
            let loading = scope.spawn(|| {
                let command = host.load(COMMAND)?;
                let run = host.command(&command).start();
                Ok(run.map(|run| run.wait()))
            });
            host.close();
            match loading.join().unwrap() {
                Err(LoadError::Closed)
                | Ok(Err(RunError::Closed) | Ok(Err(RunError::Closed) | Ok(_))) => {}
                other => panic!("{other:?}"),
            }
        });
        assert!(matches!(host.load(COMMAND), Err(LoadError::Closed)));
        assert_nothing_left(&host);
    }
}

/// A host with few slots, and its adversary.
fn adversary(preemption: Preemption, limits: Limits) -> (Host, Component) {
    let host = builder()
        .preemption(preemption)
        .limits(limits.or(&Limits::new().timeout(HANG)))
        .build()
        .unwrap();
    let adversary = host.load(ADVERSARY).unwrap();
    (host, adversary)
}

#[track_caller]
fn returns(host: &Host, component: &Component, wave: &str, number: u32) {
    let ended = invoke(host, component, wave).unwrap_or_else(|error| panic!("{wave}: {error}"));
    assert_eq!(ended.results, [Val::U32(number)], "{wave}");
    assert_nothing_left(host);
}

/// Fault: a join that holds the whole store, so that nothing else in it goes on; a join that is lost when very many
/// are pending, or when tasks end that have no slot yet.
#[test]
fn a_thousand_pending_joins_leave_the_store_to_others() {
    for mode in MODES {
        let (host, adversary) = adversary(mode, Limits::new());
        for count in [1, 40, 1000] {
            let wave = format!("fan({count})");
            returns(&host, &adversary, &wave, 10 * 100_000 + count);
        }
    }
}

/// Fault: a join that goes on after the guest has cancelled it, and takes the result or wakes a store that is gone.
#[test]
fn a_pending_join_can_be_cancelled() {
    let (host, adversary) = adversary(Preemption::default(), Limits::new());
    for count in [0, 1, 500] {
        returns(&host, &adversary, &format!("cancel({count})"), 1);
    }
}

/// Fault: a stream that keeps its task, or the memory of its result, when it is dropped; one that takes the result
/// without having been read.
#[test]
fn streams_can_be_dropped_half_read() {
    let (host, adversary) = adversary(Preemption::default(), Limits::new());
    for size in [100, 101, 100_000] {
        returns(&host, &adversary, &format!("half({size})"), 100);
        returns(&host, &adversary, &format!("unread({size})"), size);
    }
    returns(&host, &adversary, "half(7)", 7);
    returns(&host, &adversary, "half(0)", 0);
}

/// Fault: misuse that hangs, takes the host down, or ends with an error that says nothing.
#[test]
fn misuse_ends_with_a_word_about_it() {
    for mode in MODES {
        let (host, adversary) = adversary(mode, Limits::new().handles(1000));
        let traps = [
            ("block(0)", "cannot block a synchronous task"),
            ("never(0)", "deadlock detected"),
            ("twice(1)", "task"),
        ];
        for (wave, word) in traps {
            match invoke(&host, &adversary, wave) {
                Err(RunError::Trapped { trap, .. }) => {
                    assert!(trap.contains(word), "{wave}: {trap}");
                }
                other => panic!("{wave}: {other:?}"),
            }
            assert_nothing_left(&host);
        }
        let error = invoke(&host, &adversary, "leak(2000)").unwrap_err();
        let limit = error.limit().map(|limit| limit.limit);
        assert_eq!(limit, Some(LimitKind::Handles), "{error}");
        assert_nothing_left(&host);
        // What is left when the call has returned goes with its store.
        returns(&host, &adversary, "leak(900)", 900);
        returns(&host, &adversary, "early(7)", 7);
    }
}

/// Race: a cancel, a timeout or a close at any moment of an event loop: while it waits, while it spins, between the
/// callbacks of a task that only yields.
#[test]
fn event_loops_end_from_outside() {
    for mode in MODES {
        let (host, adversary) = adversary(mode, Limits::new());
        for wave in ["hour(0)", "spin(0)", "yields(0)", "fan(20)", "cancel(200)"] {
            for round in 0..20_u64 {
                let run = host.invoke(&adversary, wave).unwrap().start().unwrap();
                std::thread::sleep(Duration::from_micros(round * 100));
                run.cancel();
                match run.wait() {
                    Err(RunError::Cancelled) => {}
                    Ok(_) if wave.starts_with("cancel") || wave.starts_with("fan") => {}
                    other => panic!("{wave}: {other:?}"),
                }
            }
            assert_nothing_left(&host);
        }
        for wave in ["hour(0)", "spin(0)", "yields(0)"] {
            let limits = Limits::new().timeout(Duration::from_millis(20));
            let run = host.invoke(&adversary, wave).unwrap().limits(limits);
            let ended = run.start().unwrap().wait();
            assert!(matches!(ended, Err(RunError::TimedOut(_))), "{ended:?}");
        }
        for wave in ["spin(0)", "yields(0)"] {
            let limits = Limits::new().cpu_time(Duration::from_millis(20));
            let run = host.invoke(&adversary, wave).unwrap().limits(limits);
            let ended = run.start().unwrap().wait();
            assert!(matches!(ended, Err(RunError::TimedOut(_))), "{ended:?}");
        }
        assert_nothing_left(&host);
        let runs: Vec<_> = ["hour(0)", "spin(0)", "yields(0)", "fan(500)"]
            .map(|wave| host.invoke(&adversary, wave).unwrap().start().unwrap())
            .into_iter()
            .collect();
        host.close();
        for run in runs {
            assert!(matches!(run.wait(), Err(RunError::Closed)));
        }
        assert_nothing_left(&host);
    }
}

/// Fault: an event loop that hides its CPU use from its group, or keeps the core, so that its neighbours starve: one
/// that spins in a callback, and one that goes round for ever.
#[test]
fn a_spinning_event_loop_has_its_share_and_no_more() {
    for mode in MODES {
        for wave in ["spin(0)", "yields(0)"] {
            let host = builder().workers(1).preemption(mode).build().unwrap();
            let adversary = host.load(ADVERSARY).unwrap();
            let lab = lab(&host);
            let spinner = host.invoke(&adversary, wave).unwrap().start().unwrap();
            let plain = run(&host, &lab, &spin()).start().unwrap();
            let enough = Duration::from_millis(200);
            eventually("both have run for long", || {
                spinner.stats().cpu_time + plain.stats().cpu_time > 2 * enough
            });
            let (loops, spins) = (spinner.stats().cpu_time, plain.stats().cpu_time);
            for (one, other) in [(loops, spins), (spins, loops)] {
                assert!(
                    2 * one > other,
                    "{wave} under {mode}: the event loop {loops:?}, its neighbour {spins:?}"
                );
            }
            spinner.cancel();
            plain.cancel();
            assert!(matches!(spinner.wait(), Err(RunError::Cancelled)));
            assert!(matches!(plain.wait(), Err(RunError::Cancelled)));
            assert_nothing_left(&host);
        }
    }
}

/// Fault: an event loop with a pending join that counts as blocked while it computes. Where only that is in the way,
/// all of its run would seem to be blocked, and its queued child would get a slot that is kept for others.
#[test]
fn one_that_computes_beside_a_pending_join_is_not_blocked() {
    for mode in MODES {
        let host = builder()
            .instances(3)
            .preemption(mode)
            .limits(Limits::new().depth(2).timeout(HANG))
            .build()
            .unwrap();
        let adversary = host.load(ADVERSARY).unwrap();
        let start = |wave: &str| host.invoke(&adversary, wave).unwrap().start().unwrap();
        // Others who want the cores: its polls end in the middle of what it computes.
        let others = [(); 3].map(|()| {
            let group = host.runtime().group().build().unwrap();
            group.spawn(async |cx| {
                loop {
                    std::hint::black_box((0..10_000).sum::<u64>());
                    cx.yield_now().await;
                }
            })
        });
        // It and its child have two of three slots, and the child's child would take the last one.
        let computes = start("compute(1)");
        eventually("both joins are pending", || host.queued_spawns() == 1);
        let before = computes.stats().preemptions;
        eventually("it has computed beside them", || {
            computes.stats().preemptions > before + 20
        });
        assert_eq!(host.queued_spawns(), 1, "{mode}");
        for other in others {
            other.cancel();
        }
        computes.cancel();
        assert!(matches!(computes.wait(), Err(RunError::Cancelled)));
        assert_nothing_left(&host);

        // One that waits is in nobody's way.
        let waits = start("compute(0)");
        eventually("all three run", || {
            waits.stats().spawns == 2 && host.queued_spawns() == 0 && host.pool().in_use == 3
        });
        waits.cancel();
        assert!(matches!(waits.wait(), Err(RunError::Cancelled)));
        assert_nothing_left(&host);
    }
}

/// Fault: a blocking thread that is gone for good because only WASI 0.2 is kept from opening named pipes.
#[test]
fn pipes_that_nobody_writes_are_refused() {
    use hart_host::DirAccess;

    let directory = with_a_pipe("hart-async-pipes");
    let host = builder()
        .limits(Limits::new().blocking_threads(1).timeout(HANG))
        .build()
        .unwrap();
    let opener = host.load(include_bytes!("concurrent/opener.wat")).unwrap();
    let open = |which: &str| {
        let run = host.invoke(&opener, which).unwrap();
        let run = run.dir(&directory, "/d", DirAccess::ReadOnly);
        run.start().unwrap().wait().unwrap().results
    };
    for _ in 0..3 {
        // `unsupported`.
        assert_eq!(open("open(0)"), [Val::U32(27)]);
    }
    assert_eq!(open("open(1)"), [Val::U32(0)]);
    assert_nothing_left(&host);
    std::fs::remove_dir_all(&directory).unwrap();
}

/// A composition: `instances` instances, each of which waits in the middle of `calls` calls for so many
/// nanoseconds, all at the same time.
fn composition(instances: usize, calls: usize, nanoseconds: u64) -> String {
    let mut made = String::new();
    let mut lowered = String::new();
    let mut imports = String::new();
    let mut given = String::new();
    let (mut taken, mut passed) = (String::new(), String::new());
    let mut called = String::new();
    for index in 0..instances {
        writeln!(
            made,
            r#"(instance $b{index} (instantiate $blocks (with "wait" (func $clock "wait-for"))))
            (alias export $b{index} "f" (func $f{index}))"#
        )
        .unwrap();
        writeln!(
            lowered,
            r#"(core func $f{index} (canon lower (func $f{index}) async))"#
        )
        .unwrap();
        writeln!(
            imports,
            r#"(import "" "f{index}" (func $f{index} (result i32)))"#
        )
        .unwrap();
        writeln!(given, r#"(export "f{index}" (func $f{index}))"#).unwrap();
        writeln!(taken, r#"(import "f{index}" (func $f{index} async))"#).unwrap();
        writeln!(passed, r#"(with "f{index}" (func $f{index}))"#).unwrap();
        for _ in 0..calls {
            writeln!(called, "(call $called (call $f{index}))").unwrap();
        }
    }
    let all = instances * calls;
    format!(
        r#"(component
        (import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock
            (export "wait-for" (func async (param "how-long" u64)))))
        (component $blocks
            (import "wait" (func $wait async (param "how-long" u64)))
            (core func $wait (canon lower (func $wait)))
            (core func $return (canon task.return))
            (core module $m
                (import "" "wait" (func $wait (param i64)))
                (import "" "return" (func $return))
                (func (export "f") (result i32)
                    (call $wait (i64.const {nanoseconds})) (call $return) (i32.const 0))
                (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
            (core instance $i (instantiate $m (with "" (instance
                (export "wait" (func $wait)) (export "return" (func $return))))))
            (func (export "f") async
                (canon lift (core func $i "f") async (callback (core func $i "callback")))))
        {made}
        (component $calls
        {taken} {lowered}
        (core func $return (canon task.return))
        (core func $set-new (canon waitable-set.new))
        (core func $join (canon waitable.join))
        (core func $drop (canon subtask.drop))
        (core module $m
            (import "" "return" (func $return))
            (import "" "set-new" (func $set-new (result i32)))
            (import "" "join" (func $join (param i32 i32)))
            (import "" "drop" (func $drop (param i32)))
            {imports}
            (global $set (mut i32) (i32.const 0))
            (global $left (mut i32) (i32.const {all}))
            (func $wait (result i32) (i32.or (i32.const 2) (i32.shl (global.get $set) (i32.const 4))))
            ;; A call may have returned by now.
            (func $called (param $status i32)
                (if (i32.eq (local.get $status) (i32.const 2))
                    (then (global.set $left (i32.sub (global.get $left) (i32.const 1))))
                    (else (call $join
                        (i32.shr_u (local.get $status) (i32.const 4)) (global.get $set)))))
            (func $go-on (result i32)
                (if (i32.eqz (global.get $left)) (then (call $return) (return (i32.const 0))))
                (call $wait))
            (func (export "go") (result i32)
                (global.set $set (call $set-new))
                {called}
                (call $go-on))
            (func (export "callback") (param i32 i32 i32) (result i32)
                ;; That one has begun is an event as well.
                (if (i32.ne (local.get 2) (i32.const 2)) (then (return (call $wait))))
                (call $drop (local.get 1))
                (global.set $left (i32.sub (global.get $left) (i32.const 1)))
                (call $go-on)))
        (core instance $i (instantiate $m (with "" (instance
            (export "return" (func $return)) (export "set-new" (func $set-new))
            (export "join" (func $join)) (export "drop" (func $drop))
            {given}))))
        (func (export "go") async
            (canon lift (core func $i "go") async (callback (core func $i "callback")))))
        (instance $calls (instantiate $calls {passed}))
        (export "go" (func $calls "go")))"#
    )
}

/// Fault: a composition whose instances all wait in the middle of calls holds more stacks than its slots stand for,
/// and others find the pool exhausted.
#[test]
fn compositions_take_slots_for_their_stacks() {
    for profile in [Profile::Fast, Profile::Dense] {
        take_slots(&builder().instances(100).profile(profile).build().unwrap());
    }
}

fn take_slots(host: &Host) {
    for (instances, calls) in [(1, 30), (20, 1), (7, 7)] {
        let text = composition(instances, calls, 1_000_000);
        let component = host.load(text.as_bytes()).unwrap();
        let runs: Vec<_> = (0..60)
            .map(|_| host.call(&component, "go", Vec::new()).start().unwrap())
            .collect();
        for run in runs {
            run.wait().unwrap();
        }
        assert_nothing_left(host);
    }
    // How many stacks that is: one for each instance that waits, and one for the rest.
    let component = host
        .load(composition(9, 4, 3_600_000_000_000).as_bytes())
        .unwrap();
    let run = host.call(&component, "go", Vec::new()).start().unwrap();
    eventually("all nine wait", || host.pool().stacks >= 9);
    std::thread::sleep(Duration::from_millis(20));
    assert!(host.pool().stacks <= 10, "{:?}", host.pool());
    assert_eq!(
        host.pool().in_use,
        6,
        "ten instances and one stack more, and two stacks are a slot"
    );
    run.cancel();
    assert!(matches!(run.wait(), Err(RunError::Cancelled)));

    let many = host.load(composition(300, 1, 1).as_bytes()).unwrap();
    let refused = host.call(&many, "go", Vec::new()).start().unwrap_err();
    assert!(
        refused.to_string().contains("slots of the pool"),
        "{refused}"
    );
}

/// Fault: output that WASI 0.3 lets a guest write past its limit, one stream after the other.
#[test]
fn output_is_limited_for_streams_as_well() {
    let text = include_str!("concurrent/flood.wat");
    for mode in MODES {
        let host = builder().preemption(mode).build().unwrap();
        let component = host.load(text.as_bytes()).unwrap();
        let flood = |wave: &str| {
            let run = host.invoke(&component, wave).unwrap();
            let run = run
                .stdout(Stdio::Capture)
                .limits(Limits::new().output_bytes(5500));
            run.start().unwrap().wait()
        };
        let within = flood("flood(5)").unwrap();
        assert_eq!(within.results, [Val::U32(5000)]);
        assert_eq!(within.stdout.len(), 5000);
        let beyond = flood("flood(50)").unwrap_err();
        let limit = beyond.limit().unwrap_or_else(|| panic!("{beyond}"));
        assert_eq!(limit.limit, LimitKind::OutputBytes);
        assert_nothing_left(&host);
    }
}
