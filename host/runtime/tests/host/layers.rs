//! The first and second layer without the third.

use crate::support::{HANG, eventually};
use hart_host::{
    BuildError, LimitKind, Limited, Limits, Preemption, Runtime, TaskError, configure, wasmtime,
};
use std::time::Duration;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store, StoreLimits, StoreLimitsBuilder};

const GUEST: &str = r#"(component
    (import "bump" (func $bump (result u32)))
    (core func $bump-core (canon lower (func $bump)))
    (core module $m
        (import "" "bump" (func $bump (result i32)))
        (memory 1)
        (func (export "bump") (result i32) call $bump)
        (func (export "spin") (loop $ever (br $ever)))
        (func (export "grow") (loop $ever (drop (memory.grow (i32.const 1))) (br $ever))))
    (core instance $i (instantiate $m (with "" (instance (export "bump" (func $bump-core))))))
    (func (export "bump") (result u32) (canon lift (core func $i "bump")))
    (func (export "spin") (canon lift (core func $i "spin")))
    (func (export "grow") (canon lift (core func $i "grow"))))"#;

/// What the embedder keeps in its store.
struct State {
    count: u32,
    limiter: Limited<StoreLimits>,
}

#[derive(Clone)]
struct Own {
    runtime: Runtime,
    engine: Engine,
    linker: Linker<State>,
    component: Component,
}

fn own(mode: Preemption) -> Own {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let mut config = Config::new();
    configure(&mut config, mode);
    let engine = Engine::new(&config).unwrap();
    runtime.attach(&engine, mode).unwrap();
    let mut linker = Linker::<State>::new(&engine);
    linker
        .root()
        .func_wrap_async("bump", |mut store, ()| {
            Box::new(async move {
                hart_host::executor::yield_now().await;
                store.data_mut().count += 1;
                Ok((store.data().count,))
            })
        })
        .unwrap();
    let component = Component::new(&engine, GUEST).unwrap();
    Own {
        runtime,
        engine,
        linker,
        component,
    }
}

impl Own {
    /// Calls one function of the guest in a task of its own.
    fn call(
        &self,
        limits: Limits,
        function: &'static str,
        own_limit: usize,
    ) -> hart_host::Task<wasmtime::Result<u32>> {
        let group = self
            .runtime
            .group()
            .name("own")
            .limits(limits)
            .build()
            .unwrap();
        let Own {
            engine,
            linker,
            component,
            ..
        } = self.clone();
        group.spawn(async move |cx| {
            let own = StoreLimitsBuilder::new()
                .memory_size(own_limit)
                .trap_on_grow_failure(true)
                .build();
            let mut store = Store::new(
                &engine,
                State {
                    count: 41,
                    limiter: Limited::new(own),
                },
            );
            cx.arm_with(&mut store, |state| &mut state.limiter)?;
            let instance = linker.instantiate_async(&mut store, &component).await?;
            if function == "bump" {
                let bump = instance.get_typed_func::<(), (u32,)>(&mut store, function)?;
                return Ok(bump.call_async(&mut store, ()).await?.0);
            }
            let call = instance.get_typed_func::<(), ()>(&mut store, function)?;
            call.call_async(&mut store, ()).await?;
            Ok(0)
        })
    }
}

/// Fault: a layer that works only under the one above.
#[test]
fn an_embedders_own_store_linker_and_imports() {
    for mode in crate::support::MODES {
        let own = own(mode);
        assert_eq!(
            own.call(Limits::new(), "bump", usize::MAX)
                .wait()
                .unwrap()
                .unwrap(),
            42
        );
        // Any future in a group, on the same workers.
        let group = own.runtime.group().build().unwrap();
        let task = own
            .runtime
            .executor()
            .build_task()
            .group(group.executor_group())
            .spawn(async { 7 });
        assert_eq!(futures::executor::block_on(task).unwrap(), 7);
        eventually("its poll is counted", || group.stats().polls == 1);
    }
}

/// Fault: stores of the embedder's own that are armed in name only.
#[test]
pub fn armed_stores_are_preempted_killed_and_limited() {
    for mode in crate::support::MODES {
        let own = own(mode);
        let spinner = own.call(Limits::new(), "spin", usize::MAX);
        // The only worker spins: the next task shows that it gives way.
        assert_eq!(
            own.call(Limits::new(), "bump", usize::MAX)
                .wait()
                .unwrap()
                .unwrap(),
            42
        );
        assert!(own.runtime.worker_stats()[0].preemptions > 0);
        spinner.cancel();
        assert_eq!(spinner.wait().unwrap_err(), TaskError::Cancelled);

        let limit = |error: TaskError| match error {
            TaskError::Limit(limit) => limit.limit,
            other => panic!("{other}"),
        };
        let short = Duration::from_millis(20);
        let timed = own.call(Limits::new().timeout(short), "spin", usize::MAX);
        assert_eq!(limit(timed.wait().unwrap_err()), LimitKind::Timeout);
        let cpu = own.call(Limits::new().cpu_time(short), "spin", usize::MAX);
        assert_eq!(limit(cpu.wait().unwrap_err()), LimitKind::CpuTime);

        // Memory in the same way, though the embedder's own code called the guest and got an error.
        let memory = own.call(Limits::new().memory(1 << 20), "grow", usize::MAX);
        assert_eq!(limit(memory.wait().unwrap_err()), LimitKind::Memory);
        let memory = own.call(Limits::new().task_memory(1 << 20), "grow", usize::MAX);
        assert_eq!(limit(memory.wait().unwrap_err()), LimitKind::TaskMemory);
        // The embedder's own limiter has its say too.
        let error = own
            .call(Limits::new(), "grow", 1 << 20)
            .wait()
            .unwrap()
            .unwrap_err();
        assert!(
            error.downcast_ref::<hart_host::LimitReached>().is_none(),
            "{error:?}"
        );
    }
}

/// Fault: an engine that is not set up for preemption and hangs the machine silently.
#[test]
fn engines_that_do_not_fit_are_refused() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let plain = Engine::default();
    for mode in crate::support::MODES {
        assert!(matches!(
            runtime.attach(&plain, mode),
            Err(BuildError::Attach(_))
        ));
    }
    let group = runtime.group().build().unwrap();
    let task = group.spawn(async move |cx| cx.arm(&mut Store::new(&plain, ())));
    assert!(
        task.wait()
            .unwrap()
            .unwrap_err()
            .to_string()
            .contains("attach")
    );
    assert!(runtime.group().weight(0).build().is_err());
}

/// Fault: a runtime's end that leaves joiners waiting, or a panic that reaches anybody but the joiner.
#[test]
fn every_task_has_an_end() {
    let own = own(Preemption::epoch());
    let group = own
        .runtime
        .group()
        .limits(Limits::new().tasks(2).timeout(HANG))
        .build()
        .unwrap();
    let panics = group.spawn(async |_| -> u32 { panic!("on purpose") });
    assert_eq!(
        panics.wait().unwrap_err(),
        TaskError::Panicked("on purpose".into())
    );
    let waits = group.spawn(async |_| std::future::pending::<()>().await);
    let spins = own.call(Limits::new(), "spin", usize::MAX);
    let second = group.spawn(async |cx| cx.yield_now().await);
    let third = group.spawn(async |_| ());
    assert!(
        matches!(third.wait(), Err(TaskError::Limit(limit)) if limit.limit == LimitKind::Tasks)
    );
    second.wait().unwrap();
    own.runtime.close();
    assert_eq!(waits.wait().unwrap_err(), TaskError::Closed);
    assert_eq!(spins.wait().unwrap_err(), TaskError::Closed);
    assert_eq!(
        group.spawn(async |_| ()).wait().unwrap_err(),
        TaskError::Closed
    );
    eventually("nothing is counted as live", || {
        group.stats().live_tasks == 0
    });
}

/// Fault: a tokio runtime that lacks what guests need, taken, and a panic in the first guest that sleeps.
#[test]
fn a_tokio_runtime_without_drivers_is_refused() {
    let with = |timers: bool, io: bool| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1);
        if timers {
            builder.enable_time();
        }
        if io {
            builder.enable_io();
        }
        builder.build().unwrap()
    };
    for (timers, io, missing) in [
        (false, false, Some("timers")),
        (false, true, Some("timers")),
        (true, false, Some("I/O")),
        (true, true, None),
    ] {
        let tokio = with(timers, io);
        let handle = tokio.handle().clone();
        let runtime = Runtime::builder().workers(1).tokio(handle.clone()).build();
        let host = crate::support::builder().tokio(handle).build();
        for refused in [runtime.map(drop).err(), host.map(drop).err()] {
            match (missing, refused) {
                (None, None) => {}
                (Some(missing), Some(BuildError::Setting(said))) => {
                    assert!(
                        said.contains(missing) && said.contains("enable_all"),
                        "{said}"
                    );
                }
                (_, other) => panic!("timers {timers}, I/O {io}: {other:?}"),
            }
        }
    }
    let gone = with(true, true);
    let handle = gone.handle().clone();
    drop(gone);
    let refused = Runtime::builder().workers(1).tokio(handle).build();
    assert!(
        matches!(refused, Err(BuildError::Setting(_))),
        "{refused:?}"
    );
}

/// Fault: a store that leaves its task, whose guest then runs on for ever and stops for nobody.
#[test]
fn a_store_that_leaves_its_task_is_refused() {
    let own = own(Preemption::epoch());
    let group = own.runtime.group().build().unwrap();
    // Another task that waits, so that there are epochs.
    let (away, comes) = futures::channel::oneshot::channel();
    let (engine, linker, component) = (
        own.engine.clone(),
        own.linker.clone(),
        own.component.clone(),
    );
    let first = group.spawn(async move |cx| {
        let limiter = Limited::new(StoreLimits::default());
        let mut store = Store::new(&engine, State { count: 0, limiter });
        cx.arm(&mut store)?;
        let instance = linker.instantiate_async(&mut store, &component).await?;
        let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
        let _ = away.send((store, spin, cx));
        Ok::<(), wasmtime::Error>(())
    });
    first.wait().unwrap().unwrap();
    let second = group.spawn(async move |own| {
        let (mut store, spin, foreign) = comes.await.expect("it was sent");
        // What belongs to another task cannot be armed with.
        let foreign = foreign.arm(&mut store).expect_err("its task has ended");
        let left = spin.call_async(&mut store, ()).await.expect_err("it spins");
        let _ = own;
        (foreign.to_string(), format!("{left:?}"))
    });
    let beside = group.spawn(async move |cx| {
        for _ in 0..10_000 {
            cx.yield_now().await;
        }
    });
    let (foreign, left) = second.wait().unwrap();
    assert!(foreign.contains("Cx::arm"), "{foreign}");
    assert!(left.contains("outside of that task"), "{left}");
    beside.wait().unwrap();
}

/// Fault: one that was armed again in its new task, refused all the same.
#[test]
fn a_store_that_is_armed_again_may_go_to_another_task() {
    for mode in crate::support::MODES {
        let own = own(mode);
        let group = own.runtime.group().build().unwrap();
        let (away, comes) = futures::channel::oneshot::channel();
        let (engine, linker, component) = (
            own.engine.clone(),
            own.linker.clone(),
            own.component.clone(),
        );
        let first = group.spawn(async move |cx| {
            let limiter = Limited::new(StoreLimits::default());
            let mut store = Store::new(&engine, State { count: 0, limiter });
            cx.arm(&mut store)?;
            let instance = linker.instantiate_async(&mut store, &component).await?;
            let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
            let _ = away.send((store, spin));
            Ok::<(), wasmtime::Error>(())
        });
        first.wait().unwrap().unwrap();
        let second = group.spawn(async move |cx| {
            let (mut store, spin) = comes.await.expect("it was sent");
            cx.arm(&mut store)?;
            spin.call_async(&mut store, ()).await
        });
        let beside = group.spawn(async move |cx| {
            for _ in 0..100 {
                cx.yield_now().await;
            }
        });
        beside.wait().unwrap();
        second.cancel();
        assert_eq!(second.wait().unwrap_err(), TaskError::Cancelled);
    }
}
