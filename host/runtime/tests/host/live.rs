//! Instances that stay: calls, budgets, ends, and what follows.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use futures::channel::oneshot;
use futures::executor::block_on;
use futures::future::{BoxFuture, join_all};
use hart_host::wasmtime::{self, Store, component};
use hart_host::{
    Call, Component, GuestState, Host, HostBuilder, Instance, InstanceError, LimitKind, Limits,
    Restart, RunError,
};

use crate::support::*;

/// Counts its calls, traps, spins, and computes for a while.
pub const PLUGIN: &str = r#"(component
    (core module $m
        (memory 16)
        (global $count (mut i32) (i32.const 0))
        (func (export "next") (result i32)
            (global.set $count (i32.add (global.get $count) (i32.const 1)))
            (global.get $count))
        (func (export "trap") (result i32) unreachable)
        (func (export "spin") (result i32) (loop (br 0)) (i32.const 0))
        (func (export "work") (result i32) (local $n i32)
            (local.set $n (i32.const 100000))
            (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (i32.const 0)))
    (core instance $i (instantiate $m))
    (func (export "next") (result u32) (canon lift (core func $i "next")))
    (func (export "trap") (result u32) (canon lift (core func $i "trap")))
    (func (export "spin") (result u32) (canon lift (core func $i "spin")))
    (func (export "work") (result u32) (canon lift (core func $i "work"))))"#;

const MS: Duration = Duration::from_millis(1);

fn plugin<T: Send + 'static>(host: &Host<T>) -> Component<T> {
    host.load(PLUGIN.as_bytes()).unwrap()
}

fn started(host: &Host, restart: Restart) -> Instance {
    let builder = host.instance(&plugin(host)).restart(restart);
    block_on(builder.start()).unwrap()
}

pub fn ask<'a, T: Send + 'static>(
    store: &'a mut Store<GuestState<T>>,
    instance: component::Instance,
    export: &'static str,
) -> BoxFuture<'a, wasmtime::Result<u32>> {
    Box::pin(async move {
        let function = instance.get_typed_func::<(), (u32,)>(&mut *store, export)?;
        Ok(function.call_async(&mut *store, ()).await?.0)
    })
}

fn call<T: Send + 'static>(instance: &Instance<T>, export: &'static str) -> Call<T, u32> {
    instance.call(move |store, inner| ask(store, inner, export))
}

/// A call that waits until it is told to go on, and whether it has begun.
fn held(instance: &Instance) -> (Call<(), u32>, oneshot::Sender<()>, Arc<AtomicBool>) {
    let (go_on, told) = oneshot::channel();
    let begun = Arc::new(AtomicBool::new(false));
    let begins = begun.clone();
    let call = instance.call(move |store, inner| {
        Box::pin(async move {
            begins.store(true, Ordering::SeqCst);
            let _ = told.await;
            ask(store, inner, "next").await
        })
    });
    (call, go_on, begun)
}

/// Awaits a call on a thread of its own.
fn apart<R: Send + 'static>(
    call: Call<(), R>,
) -> std::thread::JoinHandle<Result<R, InstanceError>> {
    std::thread::spawn(move || call.wait())
}

/// Queues a call, which is not ready at once.
fn begun_to_wait<R: Send + 'static>(
    call: Call<(), R>,
) -> BoxFuture<'static, Result<R, InstanceError>> {
    let mut future = call.into_future();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_pending());
    future
}

/// The last handle lets the instance go, and waits for nothing.
fn nothing_is_left(host: &Host) {
    eventually("it is gone", || host.stats().live_runs == 0);
    assert_nothing_left(host);
}

fn limit_of(error: &InstanceError) -> Option<LimitKind> {
    error.limit().map(|reached| reached.limit)
}

/// Hunts calls that overtake each other, that another instance does, or that are counted twice.
#[test]
pub fn calls_are_done_one_after_the_other_in_one_instance() {
    for mode in MODES {
        let host = builder().preemption(mode).build().unwrap();
        let named = host.instance(&plugin(&host)).name("my-plugin");
        let instance = block_on(named.start()).unwrap();
        let calls = (0..200).map(|_| async { call(&instance, "next").await.unwrap() });
        let counts = block_on(join_all(calls));
        assert_eq!(counts, (1..=200).collect::<Vec<_>>());
        let stats = instance.stats();
        assert_eq!(
            (stats.calls, stats.failed, stats.started, stats.waiting),
            (200, 0, 1, 0)
        );
        assert_eq!(stats.run.unwrap().name, "my-plugin");
        // What waits is done though no handle is left; then nothing is.
        let last = call(&instance, "next");
        drop(instance);
        assert_eq!(last.wait().unwrap(), 201);
        nothing_is_left(&host);
    }
}

/// Hunts a guest that goes on after a trap, and callers who are not told.
#[test]
fn a_call_that_fails_ends_the_instance() {
    let host = host();
    let instance = started(&host, Restart::never());
    assert_eq!(call(&instance, "next").wait().unwrap(), 1);
    let (first, go_on, begun) = held(&instance);
    let first = apart(first);
    eventually("it begins", || begun.load(Ordering::SeqCst));
    let traps = apart(call(&instance, "trap"));
    eventually("it waits", || instance.stats().waiting == 1);
    let behind = apart(call(&instance, "next"));
    eventually("both wait", || instance.stats().waiting == 2);
    go_on.send(()).unwrap();
    assert_eq!(first.join().unwrap().unwrap(), 2);
    let failed = traps.join().unwrap().unwrap_err();
    assert!(
        matches!(&failed, InstanceError::Failed(reason) if matches!(**reason, RunError::Trapped { .. })),
        "{failed:?}"
    );
    for late in [behind.join().unwrap(), call(&instance, "next").wait()] {
        let late = late.unwrap_err();
        assert!(matches!(late, InstanceError::Ended(_)), "{late:?}");
        assert!(late.to_string().contains("trapped"), "{late}");
    }
    assert_nothing_left(&host);

    // An error of the embedder's, and a panic.
    for fails in [false, true] {
        let instance = started(&host, Restart::always());
        let fails = instance.call(move |_, _| {
            Box::pin(async move {
                assert!(fails, "on purpose");
                Err::<(), _>(wasmtime::Error::msg("on purpose"))
            })
        });
        let failed = fails.wait().unwrap_err();
        assert!(matches!(failed, InstanceError::Failed(_)), "{failed:?}");
        assert!(failed.to_string().contains("on purpose"), "{failed}");
        assert_eq!(call(&instance, "next").wait().unwrap(), 1);
    }
    nothing_is_left(&host);
}

/// Hunts an instance that does not come back, or comes back with what it had.
#[test]
pub fn a_new_instance_follows_where_it_may() {
    let host = host();
    let restart = Restart::always().back_off(20 * MS, 40 * MS);
    let instance = started(&host, restart);
    for started in 1..=4 {
        assert_eq!(call(&instance, "next").wait().unwrap(), 1);
        call(&instance, "trap").wait().unwrap_err();
        assert_eq!(instance.stats().started, started);
    }
    // One that does nothing well waits longer each time, and what is called meanwhile waits with it.
    for _ in 0..3 {
        call(&instance, "trap").wait().unwrap_err();
    }
    assert_eq!(call(&instance, "next").wait().unwrap(), 1);
    instance.kill();
    eventually("it is gone", || host.live_guests() == 0);
    assert_eq!(call(&instance, "next").wait().unwrap(), 1);
    drop(instance);
    nothing_is_left(&host);
}

/// Hunts a spinner that goes on, a budget that counts what was waited for, and one that all calls share.
#[test]
pub fn calls_have_budgets_of_cpu_time() {
    for mode in MODES {
        let host = builder().preemption(mode).build().unwrap();
        let instance = started(&host, Restart::always());
        let error = call(&instance, "spin").cpu(5 * MS).wait().unwrap_err();
        assert_eq!(limit_of(&error), Some(LimitKind::TaskCpuTime), "{error}");
        assert_eq!(error.limit().unwrap().value, 5_000_000);

        let (waits, go_on, begun) = held(&instance);
        let waits = apart(waits.cpu(20 * MS));
        eventually("it begins", || begun.load(Ordering::SeqCst));
        std::thread::sleep(60 * MS);
        go_on.send(()).unwrap();
        assert_eq!(waits.join().unwrap().unwrap(), 1);

        let budget = 200 * MS;
        while instance.stats().run.unwrap().cpu_time < 2 * budget {
            for _ in 0..100 {
                call(&instance, "work").cpu(budget).wait().unwrap();
            }
        }
        assert_eq!(instance.stats().started, 2);
    }
}

/// Hunts a call whose time is over and that goes on, or that takes the instance along though it never began.
#[test]
pub fn calls_have_limits_of_time() {
    let host = host();
    let instance = started(&host, Restart::always());
    let error = call(&instance, "spin").wall(30 * MS).wait().unwrap_err();
    assert!(matches!(error, InstanceError::Failed(_)), "{error:?}");
    assert_eq!(limit_of(&error), Some(LimitKind::TaskTimeout), "{error}");

    let (first, go_on, begun) = held(&instance);
    let first = apart(first);
    eventually("it begins", || begun.load(Ordering::SeqCst));
    let error = call(&instance, "next").wall(10 * MS).wait().unwrap_err();
    assert!(matches!(error, InstanceError::Expired(_)), "{error:?}");
    go_on.send(()).unwrap();
    assert_eq!(first.join().unwrap().unwrap(), 1);
    assert_eq!(call(&instance, "next").wall(HANG).wait().unwrap(), 2);
    assert_eq!(instance.stats().started, 2);
}

/// Hunts a call that goes on without a caller, and one that takes the instance along before its turn.
#[test]
fn a_call_whose_caller_goes_is_given_up() {
    let host = host();
    let instance = started(&host, Restart::always());
    let (first, go_on, begun) = held(&instance);
    let first = apart(first);
    eventually("it begins", || begun.load(Ordering::SeqCst));
    let ran = Arc::new(AtomicBool::new(false));
    let runs = ran.clone();
    let second = instance.call(move |_, _| {
        runs.store(true, Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    });
    drop(begun_to_wait(second));
    go_on.send(()).unwrap();
    assert_eq!(first.join().unwrap().unwrap(), 1);
    assert_eq!(call(&instance, "next").wait().unwrap(), 2);
    assert!(!ran.load(Ordering::SeqCst), "nobody waits for it");

    // One that runs: what it did to the guest nobody knows.
    let (third, _go_on, begun) = held(&instance);
    let third = begun_to_wait(third);
    eventually("it begins", || begun.load(Ordering::SeqCst));
    drop(third);
    assert_eq!(call(&instance, "next").wait().unwrap(), 1);
    assert_eq!(instance.stats().started, 2);
}

/// Hunts a queue without an end, and one that callers who are gone fill up.
#[test]
pub fn a_full_queue_refuses() {
    let host = host();
    let builder = host.instance(&plugin(&host)).queue(1);
    let instance = block_on(builder.start()).unwrap();
    let (first, go_on, begun) = held(&instance);
    let first = apart(first);
    eventually("it begins", || begun.load(Ordering::SeqCst));
    for _ in 0..3 {
        drop(begun_to_wait(call(&instance, "next")));
    }
    let second = apart(call(&instance, "next"));
    eventually("it waits", || instance.stats().waiting == 1);
    let error = call(&instance, "next").wait().unwrap_err();
    assert!(
        matches!(error, InstanceError::Full { limit: 1 }),
        "{error:?}"
    );
    go_on.send(()).unwrap();
    assert_eq!(first.join().unwrap().unwrap(), 1);
    assert_eq!(second.join().unwrap().unwrap(), 2);
}

/// Hunts an instance that keeps its memory though nobody calls it, and a call that finds none.
#[test]
pub fn an_idle_instance_is_let_go_of() {
    let host = host();
    let builder = host.instance(&plugin(&host)).idle_after(20 * MS);
    let instance = block_on(builder.start()).unwrap();
    assert_eq!(call(&instance, "next").wait().unwrap(), 1);
    eventually("it is gone", || host.live_guests() == 0);
    assert!(instance.stats().run.is_none());
    assert_eq!(call(&instance, "next").wait().unwrap(), 1);
    assert_eq!(instance.stats().started, 2);
}

/// Hunts a start that says nothing of why there is no instance.
#[test]
pub fn what_cannot_start_is_told() {
    let host = host();
    let traps = host
        .load(br#"(component (core module $m (func $f unreachable) (start $f)) (core instance (instantiate $m)))"#)
        .unwrap();
    let started = block_on(host.instance(&traps).restart(Restart::always()).start());
    let error = started.map(drop).unwrap_err();
    assert!(
        matches!(error.reason(), Some(RunError::Trapped { .. })),
        "{error:?}"
    );

    let other = crate::support::host();
    let error = block_on(other.instance(&plugin(&host)).start())
        .map(drop)
        .unwrap_err();
    assert!(
        matches!(error.reason(), Some(RunError::Setup(_))),
        "{error:?}"
    );

    // What the run may use holds for the instance.
    let small = |run: hart_host::RunBuilder| run.limits(Limits::new().memory(1 << 19));
    let started = block_on(host.instance(&plugin(&host)).run(small).start());
    let error = started.map(drop).unwrap_err();
    assert_eq!(limit_of(&error), Some(LimitKind::Memory), "{error:?}");
    nothing_is_left(&host);
}

/// Hunts callers who wait for ever where the host is closed.
#[test]
fn a_close_ends_calls() {
    let host = host();
    let instance = started(&host, Restart::always());
    let (first, _go_on, begun) = held(&instance);
    let first = apart(first);
    eventually("it begins", || begun.load(Ordering::SeqCst));
    let second = apart(call(&instance, "next"));
    eventually("it waits", || instance.stats().waiting == 1);
    host.close();
    let failed = first.join().unwrap().unwrap_err();
    assert!(
        matches!(failed.reason(), Some(RunError::Closed)),
        "{failed:?}"
    );
    second.join().unwrap().unwrap_err();
    call(&instance, "next").wait().unwrap_err();
    // No more is made.
    assert!(matches!(
        block_on(host.instance(&plugin_of_a_closed(&host)).start()).map(drop),
        Err(InstanceError::Ended(_))
    ));
}

/// One that was loaded before would do as well.
fn plugin_of_a_closed(host: &Host) -> Component {
    let other = crate::support::host();
    assert!(host.load(PLUGIN.as_bytes()).is_err(), "it is closed");
    plugin(&other)
}

/// Hunts data that an instance takes over from the one before.
#[test]
pub fn each_instance_has_data_of_its_own() {
    let made = Arc::new(AtomicU32::new(0));
    let host: Host<u32> = for_tests(HostBuilder::with_data(|_, parent: &u32| *parent))
        .build()
        .unwrap();
    let makes = made.clone();
    let builder = host
        .instance(&plugin(&host))
        .restart(Restart::always())
        .data(move || makes.fetch_add(1, Ordering::SeqCst));
    let instance = block_on(builder.start()).unwrap();
    let add = || {
        instance.call(|store, _| {
            Box::pin(async move {
                *store.data_mut().data_mut() += 10;
                Ok(*store.data().data())
            })
        })
    };
    assert_eq!((add().wait().unwrap(), add().wait().unwrap()), (10, 20));
    call(&instance, "trap").wait().unwrap_err();
    assert_eq!(add().wait().unwrap(), 11);
    assert_eq!(made.load(Ordering::SeqCst), 2);
    drop(instance);

    // One that cannot be made: callers are told, and the next one may be.
    let made = Arc::new(AtomicU32::new(0));
    let makes = made.clone();
    let builder = host
        .instance(&plugin(&host))
        .restart(Restart::always())
        .data(move || match makes.fetch_add(1, Ordering::SeqCst) {
            1 => panic!("on purpose"),
            number => number,
        });
    let instance = block_on(builder.start()).unwrap();
    call(&instance, "trap").wait().unwrap_err();
    let error = call(&instance, "next").wait().unwrap_err();
    assert!(error.to_string().contains("data panicked"), "{error}");
    assert_eq!(call(&instance, "next").wait().unwrap(), 1);
}

/// Hunts a destructor that blocks or panics where async code drops a handle, in the middle of a call.
#[test]
fn an_instance_can_be_dropped_inside_async_code() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let host = host();
        let instance = host.instance(&plugin(&host)).start().await.unwrap();
        let (call, _go_on, begun) = held(&instance);
        let waits = begun_to_wait(call);
        eventually("it begins", || begun.load(Ordering::SeqCst));
        drop(instance);
        drop(waits);
        nothing_is_left(&host);
        let instance = host.instance(&plugin(&host)).start().await.unwrap();
        let (call, _go_on, _) = held(&instance);
        let waits = begun_to_wait(call);
        drop(host);
        let error = waits.await.unwrap_err();
        assert!(matches!(error.reason(), Some(RunError::Closed)), "{error}");
    });
}
