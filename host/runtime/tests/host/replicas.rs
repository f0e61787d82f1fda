//! Several instances of one component.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::channel::oneshot;
use futures::executor::block_on;
use hart_host::{Call, Component, Host, InstanceError, Replicas, Restart, RunError};

use crate::live::{PLUGIN, ask};
use crate::support::*;

fn plugin(host: &Host) -> Component {
    host.load(PLUGIN.as_bytes()).unwrap()
}

fn call(replicas: &Replicas, export: &'static str) -> Call<(), u32> {
    replicas.call(move |store, inner| ask(store, inner, export))
}

/// A call that waits until it is told to go on, on a thread of its own; returns once it has begun.
fn begun(replicas: &Replicas) -> (std::thread::JoinHandle<u32>, oneshot::Sender<()>) {
    let (go_on, told) = oneshot::channel();
    let has_begun = Arc::new(AtomicBool::new(false));
    let begins = has_begun.clone();
    let call = replicas.call(move |store, inner| {
        Box::pin(async move {
            begins.store(true, Ordering::SeqCst);
            let _ = told.await;
            ask(store, inner, "next").await
        })
    });
    let thread = std::thread::spawn(move || call.wait().unwrap());
    eventually("it begins", || has_begun.load(Ordering::SeqCst));
    (thread, go_on)
}

/// Hunts calls that wait though an instance could be made for them, more instances than allowed, and ones that stay.
#[test]
pub fn more_are_made_where_they_have_calls_to_do() {
    let host = host();
    let builder = host.replicas(&plugin(&host), 1..=3);
    let short = |each: hart_host::InstanceBuilder| each.idle_after(Duration::from_millis(20));
    let replicas = block_on(builder.instance(short).start()).unwrap();
    assert_eq!(host.live_guests(), 1);
    // One that does nothing is enough.
    for count in 1..=5 {
        assert_eq!(call(&replicas, "next").wait().unwrap(), count);
    }
    assert_eq!(host.live_guests(), 1);

    let held: Vec<_> = (0..3).map(|_| begun(&replicas)).collect();
    assert_eq!(host.live_guests(), 3);
    let waits = std::thread::spawn({
        let call = call(&replicas, "next");
        move || call.wait().unwrap()
    });
    let waiting = || {
        replicas
            .stats()
            .iter()
            .map(|stats| stats.waiting)
            .sum::<usize>()
    };
    eventually("it waits", || waiting() == 1);
    let mut counts: Vec<u32> = { held.into_iter() }
        .map(|(thread, go_on)| {
            go_on.send(()).unwrap();
            thread.join().unwrap()
        })
        .collect();
    counts.sort_unstable();
    // The first instance has done five before.
    assert_eq!(counts, [1, 1, 6]);
    waits.join().unwrap();
    // The first one stays, with what it knows.
    eventually("the others go", || host.live_guests() == 1);
    let started: Vec<u64> = replicas.stats().iter().map(|stats| stats.started).collect();
    assert_eq!(started, [1, 1, 1]);
    assert!(call(&replicas, "next").wait().unwrap() > 6);
    drop(replicas);
    eventually("all are gone", || host.live_guests() == 0);
}

/// Hunts a key that finds another instance.
#[test]
fn a_key_has_its_instance() {
    let host = host();
    let replicas = block_on(host.replicas(&plugin(&host), 0..=4).start()).unwrap();
    assert_eq!(host.live_guests(), 0);
    for round in 1..=3 {
        for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            let count = replicas.call_keyed(key, |store, inner| ask(store, inner, "next"));
            // Keys may share one, and then it is more.
            assert!(count.wait().unwrap() >= round);
        }
    }
    let calls: Vec<u64> = replicas.stats().iter().map(|stats| stats.calls).collect();
    assert_eq!(calls.iter().sum::<u64>(), 24);
    // All calls of a key are in one, so each has a multiple of three.
    assert!(calls.iter().all(|calls| calls % 3 == 0), "{calls:?}");
}

/// Hunts a call that fails because of a new version, and a broken version that takes over.
#[test]
fn a_new_version_takes_over() {
    let host = host();
    let version = |number: u32| {
        let text = format!(
            r#"(component (core module $m (func (export "f") (result i32) (i32.const {number})))
                (core instance $i (instantiate $m))
                (func (export "version") (result u32) (canon lift (core func $i "f"))))"#
        );
        host.load(text.as_bytes()).unwrap()
    };
    let builder = host.replicas(&version(0), 1..=2);
    let replicas = builder.instance(|each| each.restart(Restart::always()));
    let replicas = block_on(replicas.start()).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut last = 0;
                    while !over.load(Ordering::SeqCst) {
                        let found = call(&replicas, "version").wait().unwrap();
                        assert!(found >= last, "a version does not come back");
                        last = found;
                    }
                })
            })
            .collect();
        for number in 1..=20 {
            block_on(replicas.replace(&version(number))).unwrap();
            assert_eq!(call(&replicas, "version").wait().unwrap(), number);
        }
        over.store(true, Ordering::SeqCst);
        for caller in callers {
            caller.join().unwrap();
        }
    });
    let broken = host
        .load(br#"(component (core module $m (func $f unreachable) (start $f)) (core instance (instantiate $m)))"#)
        .unwrap();
    let error = block_on(replicas.replace(&broken)).unwrap_err();
    assert!(
        matches!(&error, InstanceError::Ended(reason) if matches!(**reason, RunError::Trapped { .. })),
        "{error:?}"
    );
    assert_eq!(call(&replicas, "version").wait().unwrap(), 20);
}
