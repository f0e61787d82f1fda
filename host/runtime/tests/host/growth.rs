//! A pool that begins small.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::*;
use hart_host::{Host, HostBuilder, Run, RunError, wasmtime};
use rustix::process::Resource;

/// Places from the start, and in all.
const SMALL: u64 = 16;
const ALL: u64 = 300;

const SEVEN: &[u8] = br#"
    (component
        (core module $m (func (export "f") (result i32) (i32.const 7)))
        (core instance $i (instantiate $m))
        (func (export "f") (result u32) (canon lift (core func $i "f"))))
"#;

fn growing() -> HostBuilder {
    builder().instances(ALL as u32).grows(true)
}

fn sleepers(host: &Host, lab: &hart_host::Component, count: usize) -> Vec<Run> {
    (0..count)
        .map(|_| run(host, lab, &sleep(50).repeat()).start().unwrap())
        .collect()
}

fn cancel(runs: Vec<Run>) {
    for run in &runs {
        run.cancel();
    }
    for run in runs {
        assert!(matches!(run.wait(), Err(RunError::Cancelled)));
    }
}

/// Fault: tasks that wait for ever, or are refused, once the small pool is full; a task in the second pool that is called
/// by the index which its export has in the first, and one of the first by that of the second; places that are not given
/// back to the pool that they are in.
#[test]
fn a_pool_grows_when_its_first_places_are_taken() {
    let child = spawn(&say(b'x')).join(0);
    for mode in MODES {
        let host = growing().preemption(mode).build().unwrap();
        let lab = lab(&host);
        assert_eq!(output(&host, &lab, &child), "k(x)");
        assert_eq!((host.pool().ready, host.pool().instances), (SMALL, ALL));
        for _ in 0..3 {
            let some = sleepers(&host, &lab, SMALL as usize);
            // Not all of them: a place may still be on its way back.
            eventually("places of the small pool are used again", || {
                let small = host.engine().pooling_allocator_metrics().unwrap();
                host.pool().in_use == SMALL && small.component_instances() > SMALL / 2
            });
            let others = sleepers(&host, &lab, 50);
            eventually("the others have places too", || {
                host.pool().component_instances == SMALL + 50
            });
            assert_eq!(host.pool().ready, ALL);
            assert_eq!(output(&host, &lab, &child), "k(x)");
            cancel(some);
            assert_eq!(output(&host, &lab, &child), "k(x)");
            cancel(others);
            assert_nothing_left(&host);
        }
    }
}

/// Fault: a component that was loaded while the second pool was made, and is not in it.
#[test]
fn what_is_loaded_meanwhile_is_in_both_pools() {
    for _ in 0..10 {
        let host = growing().build().unwrap();
        let first = lab(&host);
        let full = sleepers(&host, &first, SMALL as usize);
        let (loaded, more) = std::thread::scope(|scope| {
            let loading = scope.spawn(|| [(); 10].map(|()| host.load(SEVEN).unwrap()));
            let more = sleepers(&host, &first, 1);
            (loading.join().unwrap(), more)
        });
        eventually("it has grown", || host.pool().ready == ALL);
        for component in loaded {
            let outcome = host.invoke(&component, "f()").unwrap().start().unwrap();
            assert_eq!(outcome.wait().unwrap().to_wave().unwrap(), "7");
        }
        cancel(full);
        cancel(more);
        assert_nothing_left(&host);
    }
}

/// Fault: an import of the embedder's that half of the tasks do not have.
#[test]
fn imports_of_the_embedders_own_are_in_all_places() {
    let host = growing().build().unwrap();
    let text = br#"
        (component
            (import "answer" (func $answer (result u32)))
            (core func $lowered (canon lower (func $answer)))
            (core module $m
                (import "" "answer" (func $answer (result i32)))
                (func (export "ask") (result i32) (call $answer)))
            (core instance $i (instantiate $m
                (with "" (instance (export "answer" (func $lowered))))))
            (func (export "ask") (result u32) (canon lift (core func $i "ask"))))
    "#;
    let own = host.load_with(text, |linker| {
        linker.root().func_wrap("answer", |_, ()| Ok((42_u32,)))
    });
    let own = own.unwrap();
    assert_eq!(host.pool().ready, ALL);
    let ask = || {
        let run = host.invoke(&own, "ask()").unwrap().start().unwrap();
        run.wait().unwrap().to_wave().unwrap()
    };
    assert_eq!(ask(), "42");
    let lab = lab(&host);
    let full = sleepers(&host, &lab, SMALL as usize + 10);
    assert_eq!(ask(), "42");
    cancel(full);
    assert_nothing_left(&host);
}

/// Fault: a place that stands for fewer memories than its guest takes: the pool refuses it, and never grows.
#[test]
fn guests_with_a_heap_take_a_place_for_it() {
    let host = growing().imports(|linker| {
        let mut root = linker.root();
        root.func_wrap_async("wait", |_, ()| {
            Box::new(std::future::pending::<wasmtime::Result<()>>())
        })
    });
    let host = host.build().unwrap();
    let waits = host.load(
        br#"(component
            (import "wait" (func $wait))
            (core func $lowered (canon lower (func $wait)))
            (core module $m
                (import "" "wait" (func $wait))
                (type $cell (struct (field i32)))
                (memory 1)
                (func (export "f") (drop (struct.new $cell (i32.const 1))) (call $wait)))
            (core instance $i (instantiate $m
                (with "" (instance (export "wait" (func $lowered))))))
            (func (export "f") (canon lift (core func $i "f"))))"#,
    );
    let waits = waits.unwrap();
    let start = |_| host.call(&waits, "f", Vec::new()).start().unwrap();
    let runs: Vec<Run> = (0..20).map(start).collect();
    eventually("all of them run", || host.pool().component_instances == 20);
    assert_eq!((host.pool().in_use, host.pool().ready), (40, ALL));
    cancel(runs);
    assert_nothing_left(&host);
}

/// Fault: a panic of the embedder's while the pool grows, after which everybody waits for ever.
#[test]
fn a_hook_that_panics_is_told_to_those_who_wait() {
    let calls = AtomicUsize::new(0);
    let host = growing().imports(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        1 => panic!("once is enough"),
        _ => Ok(()),
    });
    let host = host.build().unwrap();
    let lab = lab(&host);
    let full = sleepers(&host, &lab, SMALL as usize);
    let refused = sleepers(&host, &lab, 1).remove(0).wait().unwrap_err();
    assert!(refused.to_string().contains("panicked"), "{refused}");
    // It is tried again.
    let more = sleepers(&host, &lab, 1);
    eventually("it has grown", || host.pool().ready == ALL);
    cancel(more);
    cancel(full);
    assert_nothing_left(&host);
}

/// Fault: a host that cannot be closed while it grows, or a run that nobody ends then; an engine that stays, because
/// what made it keeps the host.
#[test]
fn a_host_can_go_while_it_grows() {
    let kept = Arc::new(());
    for _ in 0..20 {
        let hook = kept.clone();
        let host = growing().imports(move |_| {
            let _ = &hook;
            Ok(())
        });
        let host = host.build().unwrap();
        let lab = lab(&host);
        let runs = sleepers(&host, &lab, SMALL as usize + 1);
        drop((host, lab));
        for run in runs {
            assert!(matches!(run.wait(), Err(RunError::Closed)));
        }
    }
    eventually("all of them are gone", || Arc::strong_count(&kept) == 1);
}

/// Fault: spawns that wait for ever for places that the system does not grant.
#[test]
fn who_waits_for_a_pool_that_cannot_be_made_is_told_so() {
    passes_alone("growth::a_pool_beyond_the_address_space");
}

#[test]
#[ignore = "limits its process; started by another test"]
fn a_pool_beyond_the_address_space() {
    let host = growing().build().unwrap();
    let lab = lab(&host);
    // More than is mapped now, and less than 300 memories of 4 GiB take.
    limit(Resource::As, Some(800 << 30));
    let full = sleepers(&host, &lab, SMALL as usize);
    let refused = sleepers(&host, &lab, 1).remove(0).wait().unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("pool of instances cannot grow"),
        "{refused}"
    );
    assert_eq!(host.pool().in_use, SMALL);
    limit(Resource::As, None);
    let more = sleepers(&host, &lab, 1);
    eventually("it has grown", || host.pool().ready == ALL);
    cancel(more);
    cancel(full);
    assert_nothing_left(&host);
}
