//! Calls that go on at once in one instance.

use std::future::IntoFuture as _;
use std::task::{Context, Waker};
use std::time::Duration;

use futures::executor::block_on;
use futures::future::{BoxFuture, join, join_all};
use hart_host::wasmtime;
use hart_host::wasmtime::component::{self, Accessor};
use hart_host::{
    Call, Component, GuestState, Host, Instance, InstanceError, LimitKind, Restart, RunError,
};

use crate::live::PLUGIN;
use crate::support::*;

/// `meet` returns once as many calls of it go on as it is told, and how many there were at most; until then it gives way.
/// `wait` gives way for ever, `spin` computes for ever.
const MEETING: &str = r#"(component
    (core func $return (canon task.return (result u32)))
    (core module $m
        (import "" "return" (func $return (param i32)))
        (global $wanted (mut i32) (i32.const 0))
        (global $here (mut i32) (i32.const 0))
        (global $met (mut i32) (i32.const 0))
        (func (export "meet") (param i32) (result i32)
            (global.set $wanted (local.get 0))
            (global.set $here (i32.add (global.get $here) (i32.const 1)))
            (if (i32.gt_u (global.get $here) (global.get $met))
                (then (global.set $met (global.get $here))))
            (i32.const 1))
        (func (export "meet-callback") (param i32 i32 i32) (result i32)
            (if (i32.lt_u (global.get $met) (global.get $wanted)) (then (return (i32.const 1))))
            (global.set $here (i32.sub (global.get $here) (i32.const 1)))
            (call $return (global.get $met))
            (i32.const 0))
        (func (export "wait") (param i32) (result i32) (i32.const 1))
        (func (export "wait-callback") (param i32 i32 i32) (result i32) (i32.const 1))
        (func (export "spin") (param i32) (result i32) (loop (br 0)) (i32.const 0))
        (func (export "trap") (param i32) (result i32) unreachable))
    (core instance $i (instantiate $m (with "" (instance (export "return" (func $return))))))
    (func (export "meet") async (param "calls" u32) (result u32)
        (canon lift (core func $i "meet") async (callback (core func $i "meet-callback"))))
    (func (export "wait") async (param "calls" u32) (result u32)
        (canon lift (core func $i "wait") async (callback (core func $i "wait-callback"))))
    (func (export "spin") async (param "calls" u32) (result u32)
        (canon lift (core func $i "spin") async (callback (core func $i "wait-callback"))))
    (func (export "trap") async (param "calls" u32) (result u32)
        (canon lift (core func $i "trap") async (callback (core func $i "wait-callback")))))"#;

fn meeting(host: &Host) -> Component {
    host.load(MEETING.as_bytes()).unwrap()
}

fn started(host: &Host, concurrency: usize) -> Instance {
    let instance = host.instance(&meeting(host)).concurrency(concurrency);
    block_on(instance.restart(Restart::always()).start()).unwrap()
}

fn ask<'a>(
    store: &'a Accessor<GuestState>,
    instance: component::Instance,
    export: &'static str,
    calls: u32,
) -> BoxFuture<'a, wasmtime::Result<u32>> {
    Box::pin(async move {
        let function =
            store.with(|store| instance.get_typed_func::<(u32,), (u32,)>(store, export))?;
        Ok(function.call_concurrent(store, (calls,)).await?.0)
    })
}

fn call(instance: &Instance, export: &'static str, calls: u32) -> Call<(), u32> {
    instance.call_concurrent(move |store, inner| ask(store, inner, export, calls))
}

/// Hunts calls that wait for each other, and more of them at once than may go on.
#[test]
pub fn calls_go_on_at_once_up_to_a_limit() {
    for mode in MODES {
        let host = builder().preemption(mode).build().unwrap();
        let instance = started(&host, 3);
        let calls = (0..9).map(|_| call(&instance, "meet", 3).into_future());
        let met = block_on(join_all(calls));
        let met: Vec<_> = met.into_iter().map(Result::unwrap).collect();
        assert_eq!(met, [3; 9]);
        let stats = instance.stats();
        assert_eq!((stats.calls, stats.started, stats.waiting), (9, 1, 0));
        // One that has the store for itself comes in its turn, and those after it go on.
        let alone = instance.call(|_, _| Box::pin(async { Ok(7) }));
        let three = (0..3).map(|_| call(&instance, "meet", 3).into_future());
        let (alone, three) = block_on(join(alone.into_future(), join_all(three)));
        assert_eq!(alone.unwrap(), 7);
        assert!(three.into_iter().all(|met| matches!(met, Ok(3))));
        drop(instance);
        eventually("it is gone", || host.stats().live_runs == 0);
        assert_nothing_left(&host);
    }
}

/// Hunts a call that goes on after its budget, its time or its caller, and others that are not told.
#[test]
fn each_of_them_has_an_end_and_all_have_it() {
    let host = host();
    let instance = started(&host, 8);
    let ends: [(&str, Call<(), u32>, Option<LimitKind>); 3] = [
        (
            "its budget",
            call(&instance, "spin", 0).cpu(Duration::from_millis(20)),
            Some(LimitKind::TaskCpuTime),
        ),
        (
            "its time",
            // It begins before its turn: long enough for a machine that is busy.
            call(&instance, "wait", 0).wall(Duration::from_secs(2)),
            Some(LimitKind::TaskTimeout),
        ),
        ("a trap", call(&instance, "trap", 0), None),
    ];
    for (what, ends, limit) in ends {
        let other = call(&instance, "wait", 0).into_future();
        let (other, ended) = block_on(join(other, ends.into_future()));
        for error in [other.unwrap_err(), ended.unwrap_err()] {
            assert!(matches!(error, InstanceError::Failed(_)), "{what}: {error}");
            assert_eq!(error.limit().map(|limit| limit.limit), limit, "{what}");
        }
    }
    // A budget that is not used up ends nobody, however long the others take.
    let budget = call(&instance, "meet", 2).cpu(Duration::from_secs(10));
    let other = call(&instance, "meet", 2);
    let (budget, other) = block_on(join(budget.into_future(), other.into_future()));
    assert_eq!((budget.unwrap(), other.unwrap()), (2, 2));
    // A caller that goes away.
    let other = call(&instance, "wait", 0).into_future();
    let other = std::thread::spawn(move || block_on(other));
    let mut dropped = call(&instance, "wait", 0).into_future();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(dropped.as_mut().poll(&mut cx).is_pending());
    let started = instance.stats().started;
    eventually("both go on", || instance.stats().waiting == 0);
    drop(dropped);
    let error = other.join().unwrap().unwrap_err();
    assert!(
        matches!(error.reason(), Some(RunError::Cancelled)),
        "{error}"
    );
    let next = join(
        call(&instance, "meet", 2).into_future(),
        call(&instance, "meet", 2).into_future(),
    );
    assert!(block_on(next).0.is_ok());
    assert_eq!(instance.stats().started, started + 1);
}

#[test]
fn a_component_without_async_is_told() {
    let host = host();
    let component = host.load(PLUGIN.as_bytes()).unwrap();
    let instance = block_on(host.instance(&component).start()).unwrap();
    let error = call(&instance, "next", 0).wait().unwrap_err();
    assert!(
        error.to_string().contains("component-model async"),
        "{error}"
    );
}
