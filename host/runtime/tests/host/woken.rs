//! Tasks that are woken while their guest runs.

use crate::support::*;
use futures::FutureExt as _;
use futures::future::{Either, select};
use hart_host::{Limits, Preemption, Runtime, configure, wasmtime};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

/// A guest that never ends: in a loop of its own (`spin`), or in one of host calls (`work`).
const GUEST: &str = r#"(component
    (import "work" (func $work))
    (core func $work (canon lower (func $work)))
    (core module $m
        (import "" "work" (func $work))
        (func (export "spin") (loop $l (br $l)))
        (func (export "work") (loop $l (call $work) (br $l))))
    (core instance $i (instantiate $m (with "" (instance (export "work" (func $work))))))
    (func (export "spin") (canon lift (core func $i "spin")))
    (func (export "work") (canon lift (core func $i "work"))))"#;

const MODES: [Preemption; 3] = [
    Preemption::Epoch {
        slice: Duration::from_millis(1),
    },
    Preemption::Fuel { slice: 100_000 },
    // Of these the guest in host calls never uses one up.
    Preemption::Fuel { slice: 1 << 40 },
];

/// What ends the wait for the guest, made in its task.
type Ends = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

fn sleeps() -> Ends {
    Box::new(|| Box::pin(tokio::time::sleep(Duration::from_millis(20))))
}

/// Woken by a thread that has nothing to do with hart.
fn is_sent() -> Ends {
    Box::new(|| {
        let (send, sent) = futures::channel::oneshot::channel();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            let _ = send.send(());
        });
        Box::pin(sent.map(|_| ()))
    })
}

/// Wakes itself at each poll, and is woken by nobody else.
fn looks_again() -> Ends {
    Box::new(|| {
        let done = Arc::new(AtomicBool::new(false));
        let set = done.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            set.store(true, Ordering::Release);
        });
        Box::pin(futures::future::poll_fn(move |cx| {
            if done.load(Ordering::Acquire) {
                return std::task::Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        }))
    })
}

/// Its name, and what makes it.
type Named = (&'static str, fn() -> Ends);

fn all() -> [Named; 3] {
    [
        ("sleeps", sleeps),
        ("is sent", is_sent),
        ("looks again", looks_again),
    ]
}

/// Whether `ends` was seen while `guest` ran. As in a timeout of tokio's, the guest's call may be polled first.
async fn first<T>(ends: Ends, guest: impl Future<Output = T>, call_first: bool) -> bool {
    let (ends, guest) = (ends(), pin!(guest));
    if call_first {
        matches!(select(guest, ends).await, Either::Right(_))
    } else {
        matches!(select(ends, guest).await, Either::Left(_))
    }
}

/// Fault: the timer of a timeout around a guest's call wakes the task, and is seen only when somebody else wants the
/// worker: never, where nobody does.
#[test]
fn what_waits_beside_a_guest_is_seen_while_it_runs() {
    for mode in MODES {
        for function in ["spin", "work"] {
            if function == "spin" && mode == MODES[2] {
                continue;
            }
            for ((what, ends), call_first) in all()
                .into_iter()
                .flat_map(|ends| [(ends, false), (ends, true)])
            {
                let runtime = Runtime::builder().workers(2).build().unwrap();
                let mut config = Config::new();
                configure(&mut config, mode);
                let engine = Engine::new(&config).unwrap();
                runtime.attach(&engine, mode).unwrap();
                let component = Component::new(&engine, GUEST).unwrap();
                let calls = Arc::new(AtomicU32::new(0));
                let counted = calls.clone();
                let mut linker = Linker::<()>::new(&engine);
                let work = move |_: wasmtime::StoreContextMut<'_, ()>, ()| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    let began = Instant::now();
                    while began.elapsed() < Duration::from_micros(200) {}
                    Ok(())
                };
                linker.root().func_wrap("work", work).unwrap();
                let limits = Limits::new().timeout(HANG);
                let group = runtime.group().limits(limits).build().unwrap();
                let ends = ends();
                let task = group.spawn(async move |cx| {
                    let mut store = Store::new(&engine, ());
                    cx.arm(&mut store)?;
                    let instance = linker.instantiate_async(&mut store, &component).await?;
                    let call = instance.get_typed_func::<(), ()>(&mut store, function)?;
                    Ok::<_, wasmtime::Error>(
                        first(ends, call.call_async(&mut store, ()), call_first).await,
                    )
                });
                assert!(
                    task.wait().unwrap().unwrap(),
                    "{mode}: {function}, {what}, {call_first}"
                );
                assert_eq!(calls.load(Ordering::Relaxed) > 0, function == "work");
            }
        }
    }
}

/// Fault: as above, in a body of the embedder's own.
#[test]
fn a_timeout_in_a_driven_run_is_seen() {
    for mode in crate::support::MODES {
        let host = builder().preemption(mode).build().unwrap();
        let guest = host
            .load(
                br#"(component
                (core module $m (func (export "f") (loop $l (br $l))))
                (core instance $i (instantiate $m))
                (func (export "f") (canon lift (core func $i "f"))))"#,
            )
            .unwrap();
        let run = host.drive(&guest, |store, instance| {
            Box::pin(async move {
                let f = instance.get_typed_func::<(), ()>(&mut *store, "f")?;
                let call = f.call_async(&mut *store, ());
                let late = tokio::time::timeout(Duration::from_millis(20), call).await;
                Ok(vec![wasmtime::component::Val::Bool(late.is_err())])
            })
        });
        let outcome = run.start().unwrap().wait().unwrap();
        assert_eq!(outcome.to_wave().unwrap(), "true", "{mode}");
    }
}
