//! Guests that spend their time in host calls, where no compiled code looks whether they must stop.

use crate::support::*;
use hart_host::{Component, Host, LimitKind, Limits, Preemption, RunBuilder, RunError};
use std::fmt::Write as _;
use std::time::Duration;

/// A slice of fuel that no guest here uses up.
const ENDLESS: Preemption = Preemption::Fuel { slice: 1 << 60 };

/// What a guest does again and again.
struct Calls {
    name: &'static str,
    /// Imports, and core functions made of them.
    imports: &'static str,
    /// What the core module imports.
    core: &'static str,
    /// The core functions that it is given.
    given: &'static str,
    body: &'static str,
}

const CALLS: [Calls; 5] = [
    Calls {
        name: "a lot of random bytes",
        imports: r#"
            (import "wasi:random/random@0.2.0" (instance $r
                (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
            (core func $call (canon lower (func $r "get-random-bytes") (memory $memory) (realloc $realloc)))"#,
        core: r#"(import "" "call" (func $call (param i64 i32)))"#,
        given: r#"(export "call" (func $call))"#,
        body: "(call $call (i64.const 1048576) (i32.const 0))",
    },
    Calls {
        name: "the time",
        imports: r#"
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $c (export "now" (func (result u64)))))
            (core func $call (canon lower (func $c "now")))"#,
        core: r#"(import "" "call" (func $call (result i64)))"#,
        given: r#"(export "call" (func $call))"#,
        body: "(drop (call $call))",
    },
    Calls {
        name: "pollables that are ready",
        imports: r#"
            (import "wasi:io/poll@0.2.0" (instance $poll
                (export "pollable" (type $p (sub resource)))
                (export "[method]pollable.block" (func (param "self" (borrow $p))))))
            (alias export $poll "pollable" (type $pollable))
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
                (alias outer 1 $pollable (type $q))
                (export "pollable" (type $own (eq $q)))
                (export "subscribe-duration" (func (param "when" u64) (result (own $own))))))
            (core func $subscribe (canon lower (func $clock "subscribe-duration")))
            (core func $block (canon lower (func $poll "[method]pollable.block")))
            (core func $drop (canon resource.drop $pollable))"#,
        core: r#"
            (import "" "subscribe" (func $subscribe (param i64) (result i32)))
            (import "" "block" (func $block (param i32)))
            (import "" "drop" (func $drop (param i32)))"#,
        given: r#"
            (export "subscribe" (func $subscribe))
            (export "block" (func $block))
            (export "drop" (func $drop))"#,
        body: "(local.set $x (call $subscribe (i64.const 0)))
            (call $block (local.get $x))
            (call $drop (local.get $x))",
    },
    Calls {
        name: "hart's own functions",
        imports: r#"
            (import "hart:exec/tasks@0.1.0" (instance $t (export "parallelism" (func (result u32)))))
            (core func $call (canon lower (func $t "parallelism")))"#,
        core: r#"(import "" "call" (func $call (result i32)))"#,
        given: r#"(export "call" (func $call))"#,
        body: "(drop (call $call))",
    },
    Calls {
        name: "waits of WASI 0.3 that are over",
        imports: r#"
            (import "wasi:clocks/monotonic-clock@0.3.0" (instance $c
                (export "wait-for" (func async (param "how-long" u64)))))
            (core func $call (canon lower (func $c "wait-for")))
            (core func $return (canon task.return))"#,
        core: r#"(import "" "call" (func $call (param i64))) (import "" "return" (func $return))"#,
        given: r#"(export "call" (func $call)) (export "return" (func $return))"#,
        body: "(call $call (i64.const 0))",
    },
];

impl Calls {
    /// `ever` makes the calls in a loop, `some` as often as it is told, `straight` without any loop, as often as
    /// given here.
    fn load(&self, host: &Host, straight: usize) -> Component {
        let (imports, core, given, body) = (self.imports, self.core, self.given, self.body);
        let mut lines = String::new();
        for _ in 0..straight {
            writeln!(lines, "{body}").unwrap();
        }
        let of_async = self.imports.contains("task.return");
        let lift = |name: &str, parameter: &str| match of_async {
            true => format!(
                r#"(func (export "{name}") async {parameter}
                    (canon lift (core func $i "{name}") async (callback (core func $i "callback"))))"#
            ),
            false => format!(
                r#"(func (export "{name}") {parameter} (canon lift (core func $i "{name}")))"#
            ),
        };
        let (result, end) = match of_async {
            true => ("(result i32)", "(call $return) (i32.const 0)"),
            false => ("", ""),
        };
        let text = format!(
            r#"(component
            (core module $libc (memory (export "memory") 33)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $memory))
            (alias core export $libc "realloc" (core func $realloc))
            {imports}
            (core module $m {core}
                (func (export "ever") {result} (local $x i32)
                    (loop $l {body} (br $l)) unreachable)
                (func (export "some") (param $n i32) {result} (local $x i32)
                    (loop $l {body}
                        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                        (br_if $l (local.get $n)))
                    {end})
                (func (export "straight") {result} (local $x i32) {lines} {end})
                (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
            (core instance $i (instantiate $m (with "" (instance {given}))))
            {ever} {some} {straight})"#,
            ever = lift("ever", ""),
            some = lift("some", r#"(param "n" u32)"#),
            straight = lift("straight", ""),
        );
        let loaded = host.load(text.as_bytes());
        loaded.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// How the run ends, which has to end in a while.
#[track_caller]
fn ends(host: &Host, run: RunBuilder, then: impl FnOnce(&hart_host::Run)) -> RunError {
    let run = run.start().unwrap();
    then(&run);
    eventually("it ends", || host.stats().live_runs == 0);
    run.wait().unwrap_err()
}

/// Fault: a guest that uses no fuel and passes no loop head outlives its cancel and its limits.
#[test]
fn guests_in_host_calls_are_ended() {
    for calls in CALLS {
        let name = calls.name;
        for mode in [ENDLESS, Preemption::epoch()] {
            let host = builder().workers(1).preemption(mode).build().unwrap();
            let guest = calls.load(&host, 0);
            let run = || host.invoke(&guest, "ever()").unwrap();
            let cancelled = ends(&host, run(), |run| {
                eventually("it runs", || host.pool().stacks >= 1);
                run.cancel();
            });
            assert!(
                matches!(cancelled, RunError::Cancelled),
                "{name}: {cancelled}"
            );
            let short = Duration::from_millis(50);
            for (limits, kind) in [
                (Limits::new().timeout(short), LimitKind::Timeout),
                (Limits::new().cpu_time(short), LimitKind::CpuTime),
                (Limits::new().task_cpu_time(short), LimitKind::TaskCpuTime),
            ] {
                let ended = ends(&host, run().limits(limits), |_| ());
                assert_eq!(
                    ended.limit().map(|limit| limit.limit),
                    Some(kind),
                    "{name}: {ended}"
                );
            }
            assert_nothing_left(&host);
        }
    }
}

/// Fault: as above for host calls in a straight line, where epochs are not looked at either.
#[test]
fn host_calls_in_a_straight_line_are_preempted() {
    // Some milliseconds each: filling the random bytes takes most.
    let calls = &CALLS[0];
    for mode in [ENDLESS, Preemption::epoch()] {
        let host = builder().workers(1).preemption(mode).build().unwrap();
        let guest = calls.load(&host, 4_000);
        let run = host.invoke(&guest, "straight()").unwrap();
        let limits = Limits::new().timeout(Duration::from_millis(50));
        let run = ends(&host, run.limits(limits), |_| ());
        assert_eq!(
            run.limit().map(|limit| limit.limit),
            Some(LimitKind::Timeout),
            "{run}"
        );
    }
}

/// Fault: neighbours that wait for a guest in host calls, or are served by a thread that takes the place of its
/// worker after a while.
#[test]
fn guests_in_host_calls_share_the_worker() {
    for calls in CALLS {
        let host = builder().workers(1).preemption(ENDLESS).build().unwrap();
        let (guest, lab) = (calls.load(&host, 0), lab(&host));
        let hog = host.invoke(&guest, "ever()").unwrap().start().unwrap();
        eventually("it runs", || host.pool().stacks >= 1);
        let script = Script::default().times(20, &say(b'x').yield_now());
        assert_eq!(
            output(&host, &lab, &script),
            "x".repeat(20),
            "{}",
            calls.name
        );
        assert!(hog.stats().preemptions > 0, "{}", calls.name);
        assert_eq!(
            host.stats().workers.len(),
            1,
            "{}: another thread took over",
            calls.name
        );
        hog.cancel();
        eventually("it ends", || host.stats().live_runs == 0);
    }
}

/// Fault: a lone guest that pays for preemption points which nobody asked for.
#[test]
fn lone_guests_in_host_calls_take_no_epochs() {
    for mode in [Preemption::epoch(), Preemption::fuel()] {
        let host = builder().preemption(mode).build().unwrap();
        // Those that no timer wakes.
        for calls in [&CALLS[0], &CALLS[1], &CALLS[3]] {
            let guest = calls.load(&host, 0);
            let run = host.invoke(&guest, "some(200)").unwrap().start().unwrap();
            run.wait().unwrap();
            assert_eq!(host.stats().epochs, 0, "{}", calls.name);
        }
        let lab = lab(&host);
        output(&host, &lab, &Script::default().times(200, &yield_now()));
        assert_eq!(host.stats().epochs, 0);
    }
}
