//! `hart:exec` for guests: spawn, join, wait, yield, close.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::{Linker, Resource, WasmList};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{I32Exit, async_trait};

use crate::base::text;
use crate::instance::ending::kill_children;
use crate::instance::exec::bindings::{self, JoinError, SpawnError, tasks, tasks_poll};
use crate::instance::exec::join_error::join;
use crate::instance::exec::names::Name;
use crate::instance::exec::resources::{Options, TaskHandle};
use crate::instance::exec::spawn::{limit, spawn};
use crate::instance::guest::{Blocked, Guest};
use crate::instance::store::GuestState;
use crate::quota::kill::Kill;
use crate::sched::task::driven::yield_once;

/// Waits until one of `tasks` has ended, as `waiter`; returns which.
async fn wait_any(waiter: &Arc<Guest>, tasks: &[Arc<Guest>]) -> usize {
    /// Takes the wakers out again.
    struct Registered<'a> {
        tasks: &'a [Arc<Guest>],
        keys: Vec<Option<u64>>,
    }
    impl Drop for Registered<'_> {
        fn drop(&mut self) {
            for (task, key) in self.tasks.iter().zip(&self.keys) {
                task.signal().remove(*key);
            }
        }
    }

    let ended = || tasks.iter().position(|task| task.is_finished());
    if let Some(index) = ended() {
        return index;
    }
    let _blocked = Blocked::new(waiter);
    let mut registered = Registered {
        tasks,
        keys: vec![None; tasks.len()],
    };
    poll_fn(|cx| {
        if let Some(index) = ended() {
            return Poll::Ready(index);
        }
        for (task, key) in tasks.iter().zip(&mut registered.keys) {
            task.signal().register(key, cx.waker());
        }
        // Registered first, then looked at again: see `Signal`.
        ended().map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

// === impl hart:exec/tasks ===

type Spawned = Result<Resource<TaskHandle>, SpawnError>;

/// Replaces the calls that take strings and lists by such as look at their lengths first. The linker must allow
/// shadowing.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<GuestState<T>>,
) -> wasmtime::Result<()> {
    let mut tasks = linker.instance("hart:exec/tasks@0.1.0")?;
    tasks.func_wrap(
        "spawn",
        |mut store, (entry, input, options): (Name, WasmList<u8>, Option<Resource<Options>>)| {
            // A task whose handle has no room would be lost.
            if let Err(reached) = store.data_mut().room_for_a_handle() {
                return Ok((Err(limit(store.data().guest(), reached)),));
            }
            let options = store.data_mut().options(options)?;
            let bytes = || input.as_le_slice(&store).to_vec();
            match spawn(store.data(), entry.0, input.len(), bytes, options) {
                Ok(handle) => Ok((Ok(store.data_mut().table().push(handle)?),)),
                Err(error) => Ok((Err(error),)),
            }
        },
    )?;
    tasks.func_wrap(
        "[method]task-options.set-name",
        |mut store, (options, name): (Resource<Options>, Name)| {
            tasks::HostTaskOptions::set_name(store.data_mut(), options, name.0)
        },
    )
}

impl<T: 'static> GuestState<T> {
    /// What the options say, or that there are none.
    fn options(&mut self, options: Option<Resource<Options>>) -> wasmtime::Result<Options> {
        Ok(match options {
            Some(options) => self.table().get(&options)?.clone(),
            None => Options::default(),
        })
    }
}

impl<T: Send + 'static> tasks::Host for GuestState<T> {
    fn spawn(
        &mut self,
        entry: String,
        input: Vec<u8>,
        options: Option<Resource<Options>>,
    ) -> wasmtime::Result<Spawned> {
        // A task whose handle has no room would be lost.
        if let Err(reached) = self.room_for_a_handle() {
            return Ok(Err(limit(self.guest(), reached)));
        }
        let options = self.options(options)?;
        match spawn(self, entry, input.len(), || input, options) {
            Ok(handle) => Ok(Ok(self.table().push(handle)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn yield_(&mut self) -> wasmtime::Result<()> {
        self.guest().control.yields();
        yield_once().await;
        Ok(())
    }

    fn close(&mut self) -> wasmtime::Result<()> {
        kill_children(self.guest(), Kill::Closed);
        Ok(())
    }

    fn parallelism(&mut self) -> wasmtime::Result<u32> {
        Ok(u32::try_from(self.guest().run.runtime.workers()).unwrap_or(u32::MAX))
    }

    fn exit(&mut self, code: u8) -> wasmtime::Result<()> {
        Err(I32Exit(code.into()).into())
    }

    fn explain_trap(&mut self, text: String) -> wasmtime::Result<()> {
        self.guest().explain_trap(&text);
        Ok(())
    }

    async fn wait_any(&mut self, tasks: Vec<Resource<TaskHandle>>) -> wasmtime::Result<u32> {
        if tasks.is_empty() {
            return Err(wasmtime::format_err!(
                "wait-any of no tasks would wait for ever"
            ));
        }
        let guests = tasks
            .iter()
            .map(|task| Ok(self.table().get(task)?.guest().clone()))
            .collect::<wasmtime::Result<Vec<_>>>()?;
        let index = wait_any(self.guest(), &guests).await;
        Ok(u32::try_from(index)?)
    }
}

impl<T: Send + 'static> tasks::HostTask for GuestState<T> {
    fn id(&mut self, task: Resource<TaskHandle>) -> wasmtime::Result<u64> {
        Ok(self.table().get(&task)?.guest().id)
    }

    fn is_finished(&mut self, task: Resource<TaskHandle>) -> wasmtime::Result<bool> {
        Ok(self.table().get(&task)?.guest().is_finished())
    }

    async fn join(
        &mut self,
        task: Resource<TaskHandle>,
    ) -> wasmtime::Result<Result<Vec<u8>, JoinError>> {
        let handle = self.table().get(&task)?.clone();
        Ok(join(&handle, self.guest()).await)
    }

    fn cancel(&mut self, task: Resource<TaskHandle>) -> wasmtime::Result<()> {
        self.table().get(&task)?.cancel();
        Ok(())
    }

    fn drop(&mut self, task: Resource<TaskHandle>) -> wasmtime::Result<()> {
        self.table().delete(task)?;
        Ok(())
    }
}

impl<T: Send + 'static> tasks::HostTaskOptions for GuestState<T> {
    fn new(&mut self) -> wasmtime::Result<Resource<Options>> {
        Ok(self.table().push(Options::default())?)
    }

    fn set_name(&mut self, options: Resource<Options>, name: String) -> wasmtime::Result<()> {
        self.table().get_mut(&options)?.name = text::name(&name);
        Ok(())
    }

    fn set_fuel(&mut self, options: Resource<Options>, units: u64) -> wasmtime::Result<()> {
        self.table().get_mut(&options)?.fuel = Some(units);
        Ok(())
    }

    fn set_cpu_time(
        &mut self,
        options: Resource<Options>,
        nanoseconds: u64,
    ) -> wasmtime::Result<()> {
        self.table().get_mut(&options)?.cpu_time = Some(Duration::from_nanos(nanoseconds));
        Ok(())
    }

    fn set_memory(&mut self, options: Resource<Options>, bytes: u64) -> wasmtime::Result<()> {
        self.table().get_mut(&options)?.memory = Some(bytes);
        Ok(())
    }

    fn set_timeout(
        &mut self,
        options: Resource<Options>,
        nanoseconds: u64,
    ) -> wasmtime::Result<()> {
        self.table().get_mut(&options)?.timeout = Some(Duration::from_nanos(nanoseconds));
        Ok(())
    }

    fn set_max_tasks(&mut self, options: Resource<Options>, count: u32) -> wasmtime::Result<()> {
        self.table().get_mut(&options)?.max_tasks = Some(count);
        Ok(())
    }

    fn deny(
        &mut self,
        options: Resource<Options>,
        rights: bindings::Rights,
    ) -> wasmtime::Result<()> {
        self.table().get_mut(&options)?.denied |= rights.into();
        Ok(())
    }

    fn reuse(&mut self, options: Resource<Options>) -> wasmtime::Result<()> {
        self.table().get_mut(&options)?.reuse = true;
        Ok(())
    }

    fn anywhere(&mut self, options: Resource<Options>) -> wasmtime::Result<()> {
        self.table().get_mut(&options)?.anywhere = true;
        Ok(())
    }

    fn drop(&mut self, options: Resource<Options>) -> wasmtime::Result<()> {
        self.table().delete(options)?;
        Ok(())
    }
}

// === impl hart:exec/tasks-poll ===

/// Ready when the task has ended. An entry of its own, so that it may outlive the task's handle: a
/// child of that entry would make dropping the handle first a trap.
struct TaskEnd {
    guest: Arc<Guest>,
    waiter: Arc<Guest>,
}

#[async_trait]
impl Pollable for TaskEnd {
    async fn ready(&mut self) {
        self.guest.wait(&self.waiter).await;
    }
}

impl<T: Send + 'static> tasks_poll::Host for GuestState<T> {
    fn subscribe(&mut self, task: Resource<TaskHandle>) -> wasmtime::Result<Resource<DynPollable>> {
        let guest = self.table().get(&task)?.guest().clone();
        let waiter = self.guest().clone();
        let end = self.table().push(TaskEnd { guest, waiter })?;
        subscribe(self.table(), end)
    }
}

#[expect(
    dead_code,
    reason = "asserted at compile time: waits may move between workers"
)]
fn waits_are_send(waiter: &Arc<Guest>, tasks: &[Arc<Guest>]) -> impl Future<Output = usize> + Send {
    wait_any(waiter, tasks)
}
