//! One component instance that holds many tasks: `event_loop.wat`, and what the host notes about it.
//!
//! | type | meaning |
//! | --- | --- |
//! | [`Plan`] | how many tasks, and what each of them does |
//! | [`Noted`] | what has come of it so far; outlives the instance |
//! | [`State`] | what the instance's store holds |

use crate::guest::{Crowd, Member};
use futures::stream::{FuturesUnordered, StreamExt as _};
use hart_host::{
    Host,
    wasmtime::{
        self, Engine, Store, StoreContextMut,
        component::{Component, InstancePre, Linker},
    },
};
use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

const GUEST: &str = include_str!("event_loop.wat");

/// It has room for as many tasks.
pub(crate) const TASKS_MAX: u32 = 8 * 65536 / 32;

/// Tasks of one instance, each of which rests and works in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) tasks: u32,
    pub(crate) rounds: u32,
    pub(crate) rest: Duration,
    pub(crate) iterations: u64,
    /// Whether the first rests end one after the other, evenly over the time of one, in place of all at once.
    pub(crate) spread: bool,
}

/// What has come of a plan so far.
#[derive(Default)]
pub(crate) struct Noted {
    /// Tasks that have begun their first rest.
    resting: AtomicU32,
    late: Mutex<Vec<Duration>>,
    /// From when the first task was called to when the last one had ended.
    elapsed: OnceLock<Duration>,
}

impl Noted {
    /// Waits until so many tasks rest.
    pub(crate) fn wait_for(&self, tasks: u32) {
        while self.resting.load(Relaxed) < tasks {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How long after their due time tasks were done, since the last time that this was asked.
    pub(crate) fn take_late(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From when the first task was called to when the last one had ended.
    pub(crate) fn elapsed(&self) -> Duration {
        *self.elapsed.get().expect("all tasks have ended")
    }
}

/// What the instance's store holds.
pub(crate) struct State {
    _member: Member,
    plan: Plan,
    noted: Arc<Noted>,
    /// The time that `done` counts from, for each task.
    due: Vec<Option<Instant>>,
}

impl State {
    pub(crate) fn new(crowd: &Arc<Crowd>, plan: Plan, noted: &Arc<Noted>) -> Self {
        assert!(plan.tasks <= TASKS_MAX, "the guest's memory has no room");
        Self {
            _member: crowd.join(),
            plan,
            noted: noted.clone(),
            due: vec![None; plan.tasks as usize],
        }
    }

    fn rest(&mut self, task: u32, nanoseconds: u64) -> Instant {
        let due = &mut self.due[task as usize];
        let mut rest = Duration::from_nanos(nanoseconds);
        if due.is_none() {
            self.noted.resting.fetch_add(1, Relaxed);
            if self.plan.spread {
                rest = rest * task / self.plan.tasks;
            }
        }
        *due.insert(Instant::now() + rest)
    }

    fn done(&mut self, task: u32) {
        let due = self.due[task as usize].expect("a task rests before it is done");
        let mut late = self
            .noted
            .late
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        late.push(due.elapsed());
    }
}

/// The engine on which `host` runs components that use component-model async.
fn engine(host: &Host) -> Engine {
    let any = b"(component (core func (canon waitable-set.new)))";
    let any = host.load(any).expect("the component is valid");
    any.as_wasmtime().engine().clone()
}

/// The guest on a host's engine, ready to be instantiated; its waits are on tokio's timers.
pub(crate) fn prepare(host: &Host) -> wasmtime::Result<InstancePre<State>> {
    let engine = engine(host);
    let mut linker = Linker::<State>::new(&engine);
    let mut root = linker.root();
    root.func_wrap_concurrent("rest", |accessor, (task, nanoseconds): (u32, u64)| {
        Box::pin(async move {
            let due = accessor.with(|mut access| access.get().rest(task, nanoseconds));
            tokio::time::sleep_until(due.into()).await;
            Ok(())
        })
    })?;
    root.func_wrap(
        "done",
        |mut store: StoreContextMut<'_, State>, (task,): (u32,)| {
            store.data_mut().done(task);
            Ok(())
        },
    )?;
    linker.instantiate_pre(&Component::new(&engine, GUEST)?)
}

/// Runs all tasks of the plan, at once.
pub(crate) async fn drive(
    pre: &InstancePre<State>,
    store: &mut Store<State>,
) -> wasmtime::Result<()> {
    let plan = store.data().plan;
    let noted = store.data().noted.clone();
    let instance = pre.instantiate_async(&mut *store).await?;
    let serve = instance.get_typed_func::<(u32, u32, u64, u64), ()>(&mut *store, "serve")?;
    let rest = u64::try_from(plan.rest.as_nanos()).expect("no rest is 500 years long");
    let begun = Instant::now();
    store
        .run_concurrent(async |accessor| {
            let mut calls: FuturesUnordered<_> = (0..plan.tasks)
                .map(|task| {
                    serve.call_concurrent(accessor, (task, plan.rounds, rest, plan.iterations))
                })
                .collect();
            while let Some(ended) = calls.next().await {
                ended?;
            }
            Ok::<(), wasmtime::Error>(())
        })
        .await??;
    let _ = noted.elapsed.set(begun.elapsed());
    Ok(())
}
