//! Runs that a guest's host call starts, and waits for with the guest's slot.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::support::*;
use hart_host::{
    Component, Host, HostBuilder, LimitKind, Run, RunBuilder, RunError, wasmtime,
    wasmtime::component::Val,
};

/// What the import needs, once it is there.
#[derive(Default)]
struct Ground {
    host: Mutex<Option<(Host, Component)>>,
    refused: AtomicU64,
}

/// Calls itself through the host, so many times.
const NESTED: &str = r#"(component
    (import "inner" (func $inner (param "depth" u32) (result u32)))
    (core func $lowered (canon lower (func $inner)))
    (core module $m
        (import "" "inner" (func $inner (param i32) (result i32)))
        (memory 1)
        (func (export "f") (param $depth i32) (result i32)
            (if (result i32) (local.get $depth)
                (then (i32.add (i32.const 1)
                    (call $inner (i32.sub (local.get $depth) (i32.const 1)))))
                (else (i32.const 0)))))
    (core instance $i (instantiate $m (with "" (instance (export "inner" (func $lowered))))))
    (func (export "f") (param "depth" u32) (result u32) (canon lift (core func $i "f"))))"#;

impl Ground {
    fn call(&self, depth: u32) -> RunBuilder {
        let host = self.host.lock().unwrap();
        let (host, component) = host.as_ref().unwrap();
        host.call(component, "f", vec![Val::U32(depth)])
    }

    /// All is over: the host, whose import refers to this.
    fn end(&self) {
        let (host, _) = self.host.lock().unwrap().take().unwrap();
        assert_nothing_left(&host);
    }
}

/// A host whose guests can call each other; what is refused is counted, and the call returns 100.
fn ground(builder: HostBuilder) -> Arc<Ground> {
    let ground = Arc::new(Ground::default());
    let inner = ground.clone();
    let host = builder
        .imports(move |linker| {
            let ground = inner.clone();
            linker
                .root()
                .func_wrap_async("inner", move |_, (depth,): (u32,)| {
                    let ground = ground.clone();
                    Box::new(async move {
                        let run = match ground.call(depth).start() {
                            Ok(run) => run,
                            Err(RunError::Limit(reached)) => {
                                assert_eq!(reached.limit, LimitKind::InnerInstances);
                                let said = reached.to_string();
                                assert!(said.contains("HostBuilder::instances"), "{said}");
                                ground.refused.fetch_add(1, Relaxed);
                                return Ok((100,));
                            }
                            Err(other) => return Err(other.into()),
                        };
                        match run.await?.results[..] {
                            [Val::U32(below)] => wasmtime::Result::Ok((below,)),
                            ref other => panic!("{other:?}"),
                        }
                    })
                })
        })
        .build()
        .unwrap();
    let component = host.load(NESTED.as_bytes()).unwrap();
    *ground.host.lock().unwrap() = Some((host, component));
    ground
}

fn result(run: Run) -> u32 {
    match run.wait().unwrap().results[..] {
        [Val::U32(result)] => result,
        ref other => panic!("{other:?}"),
    }
}

/// Fault: guests that hold all slots and wait for runs which wait for one, for ever.
#[test]
fn runs_inside_runs_do_not_wait_for_each_other_for_ever() {
    for (slots, calls, depth) in [(100, 40, 4), (3, 10, 2), (1, 5, 1), (100, 300, 9)] {
        let ground = ground(builder().instances(slots));
        let runs: Vec<Run> = (0..calls)
            .map(|_| ground.call(depth).start().unwrap())
            .collect();
        let mut refused = 0;
        for run in runs {
            // All the way down, or until somebody was refused.
            let result = result(run);
            refused += u64::from(result >= 100);
            assert!(result == depth || (101..100 + depth + 1).contains(&result));
        }
        assert_eq!(ground.refused.load(Relaxed), refused);
        ground.end();
    }
}

/// Fault: such a run refused where there is room for it.
#[test]
fn a_run_inside_a_run_has_a_place_where_there_is_one() {
    let ground = ground(builder().instances(20));
    for _ in 0..10 {
        assert_eq!(result(ground.call(10).start().unwrap()), 10);
    }
    assert_eq!(ground.refused.load(Relaxed), 0);
    ground.end();
}

/// Fault: a run that says that it does not wait, and waits; or its tasks.
#[test]
pub fn what_may_not_wait_is_refused() {
    let host = builder().instances(2).build().unwrap();
    let lab = lab(&host);
    let holds = run(&host, &lab, &spin()).waits(false).start().unwrap();
    eventually("it has a slot", || host.pool().in_use == 1);
    // A root of this depth needs both slots.
    let refused = run(&host, &lab, &say(b'x')).waits(false).start();
    let Err(RunError::Limit(reached)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(reached.limit, LimitKind::InnerInstances);
    holds.cancel();
    assert!(matches!(holds.wait(), Err(RunError::Cancelled)));
    // The first child has the slot that is left, the second one would wait.
    let two = spawn(&sleep(200)).spawn(&say(b'y')).explain();
    let outcome = run(&host, &lab, &two).waits(false).start().unwrap().wait();
    let said = said(outcome).unwrap();
    assert!(
        said.starts_with('L') && said.contains("`instances`"),
        "{said}"
    );
    assert_nothing_left(&host);
}
