//! `hart:exec` for guests: spawn, join, wait, yield, close.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::bindings::{JoinError, Rights, SpawnError, tasks, tasks_poll};
use super::guest::{Blocked, Cap, Guest, Traits};
use super::outcome::{Ended, for_joiner};
use super::start::Start;
use super::state::GuestState;
use crate::clock::Expire;
use crate::task::{Control, Kill, TaskLimits, yield_once};
use crate::{LimitKind, LimitReached, text};

/// A guest's handle of a task that it spawned.
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export it inside this crate"
)]
pub struct TaskHandle {
    guest: Arc<Guest>,
}

impl Drop for TaskHandle {
    /// Dropped by the guest or with its store: the task is detached.
    fn drop(&mut self) {
        self.guest.detach();
    }
}

/// What a guest wants for its spawns.
#[derive(Clone, Default)]
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export it inside this crate"
)]
pub struct Options {
    name: String,
    fuel: Option<u64>,
    cpu_time: Option<Duration>,
    memory: Option<u64>,
    timeout: Option<Duration>,
    max_tasks: Option<u32>,
    denied: Rights,
}

/// The smaller of what is asked for and what the parent may use.
fn cut<T: Ord>(asked: Option<T>, parent: Option<T>) -> Option<T> {
    match (asked, parent) {
        (Some(asked), Some(parent)) => Some(asked.min(parent)),
        (asked, parent) => asked.or(parent),
    }
}

fn limit(reached: LimitReached) -> SpawnError {
    SpawnError::Limit(reached.to_string())
}

/// Spawns a task of the same component below `parent`.
fn spawn(
    parent: &Arc<Guest>,
    entry: String,
    input: Vec<u8>,
    options: Options,
) -> Result<Arc<Guest>, SpawnError> {
    let run = &parent.run;
    let limits = &run.account.limits;
    if run.host.is_closed() || parent.scope_is_closed() {
        return Err(SpawnError::Closed);
    }
    if parent.denied.contains(Rights::SPAWN) {
        return Err(SpawnError::Denied(
            "this task was denied the right `spawn`".into(),
        ));
    }
    if run.component.entry().is_none() {
        return Err(SpawnError::NoEntry);
    }
    let most = limits.input_bytes_or_default();
    if input.len() as u64 > most {
        return Err(limit(LimitReached::new(LimitKind::InputBytes, most)));
    }
    if parent.depth >= run.depth {
        return Err(limit(LimitReached::new(
            LimitKind::Depth,
            u64::from(run.depth),
        )));
    }
    let most = limits.queued_or_default();
    if run.host.admission.waiting_of(run.id) >= most {
        return Err(limit(LimitReached::new(LimitKind::Queued, most)));
    }

    let caps = parent.child_caps().clone();
    Cap::enter(&caps).map_err(limit)?;
    if let Err(reached) = run.account.task_starts() {
        Cap::leave(&caps);
        return Err(limit(reached));
    }
    let own = TaskLimits {
        memory: cut(options.memory, parent.control.limits.memory),
        cpu_time: cut(options.cpu_time, parent.control.limits.cpu_time),
        fuel: cut(options.fuel, parent.control.limits.fuel),
    };
    let control = Control::new(run.host.runtime.clone(), run.account.clone(), own);
    let held = control.hold(entry.len() as u64 + input.len() as u64);
    let traits = Traits {
        name: if options.name.is_empty() {
            text::name(&entry)
        } else {
            text::name(&options.name)
        },
        depth: parent.depth + 1,
        denied: parent.denied | options.denied,
        timeout: options
            .timeout
            .map(|timeout| LimitReached::time(LimitKind::TaskTimeout, timeout)),
        parent: Arc::downgrade(parent),
        child_caps: options
            .max_tasks
            .map_or_else(|| caps.clone(), |max| Some(Cap::new(max, caps.clone()))),
        caps,
    };
    // From here on `finish` undoes everything.
    let guest = Guest::new(run.clone(), control, traits);
    if let Err(reached) = held {
        guest.finish(Ended::Limit(reached));
        return Err(limit(reached));
    }
    if !parent.adopt(&guest) {
        guest.finish(Ended::Killed(Kill::Closed));
        return Err(SpawnError::Closed);
    }
    if let Some(timeout) = options.timeout
        && let Some(deadline) = run.host.runtime.clock.now().checked_add(timeout)
    {
        let target: Arc<dyn Expire> = guest.clone();
        guest.control.set_timer(deadline, Arc::downgrade(&target));
    }
    if !run
        .host
        .admission
        .submit(guest.clone(), Start::Entry { entry, input })
    {
        guest.finish(Ended::Killed(Kill::Closed));
        return Err(SpawnError::Closed);
    }
    run.account.spawns.fetch_add(1, Ordering::Relaxed);
    run.host.runtime.count(|worker| &worker.spawns);
    Ok(guest)
}

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

impl tasks::Host for GuestState {
    fn spawn(
        &mut self,
        entry: String,
        input: Vec<u8>,
        options: Option<Resource<Options>>,
    ) -> wasmtime::Result<Result<Resource<TaskHandle>, SpawnError>> {
        let options = match options {
            Some(options) => self.table().get(&options)?.clone(),
            None => Options::default(),
        };
        let parent = self.guest().clone();
        match spawn(&parent, entry, input, options) {
            Ok(guest) => Ok(Ok(self.table().push(TaskHandle { guest })?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn yield_(&mut self) -> wasmtime::Result<()> {
        self.guest().control.yielded.store(true, Ordering::Relaxed);
        yield_once().await;
        Ok(())
    }

    fn close(&mut self) -> wasmtime::Result<()> {
        self.guest().kill_children(Kill::Closed);
        Ok(())
    }

    fn parallelism(&mut self) -> wasmtime::Result<u32> {
        Ok(u32::try_from(self.guest().run.host.runtime.workers()).unwrap_or(u32::MAX))
    }

    async fn wait_any(&mut self, tasks: Vec<Resource<TaskHandle>>) -> wasmtime::Result<u32> {
        if tasks.is_empty() {
            return Err(wasmtime::format_err!(
                "wait-any of no tasks would wait for ever"
            ));
        }
        let guests = tasks
            .iter()
            .map(|task| Ok(self.table().get(task)?.guest.clone()))
            .collect::<wasmtime::Result<Vec<_>>>()?;
        let index = wait_any(self.guest(), &guests).await;
        Ok(u32::try_from(index)?)
    }
}

impl tasks::HostTask for GuestState {
    fn id(&mut self, task: Resource<TaskHandle>) -> wasmtime::Result<u64> {
        Ok(self.table().get(&task)?.guest.id)
    }

    fn is_finished(&mut self, task: Resource<TaskHandle>) -> wasmtime::Result<bool> {
        Ok(self.table().get(&task)?.guest.is_finished())
    }

    async fn join(
        &mut self,
        task: Resource<TaskHandle>,
    ) -> wasmtime::Result<Result<Vec<u8>, JoinError>> {
        let guest = self.table().get(&task)?.guest.clone();
        guest.wait(self.guest()).await;
        let Some(ended) = guest.take_outcome() else {
            return Ok(Err(JoinError::AlreadyJoined));
        };
        guest.run.account.joins.fetch_add(1, Ordering::Relaxed);
        guest.run.host.runtime.count(|worker| &worker.joins);
        Ok(for_joiner(ended))
    }

    fn cancel(&mut self, task: Resource<TaskHandle>) -> wasmtime::Result<()> {
        let guest = self.table().get(&task)?.guest.clone();
        if !guest.is_finished() {
            guest.kill(Kill::Cancelled);
        }
        Ok(())
    }

    fn drop(&mut self, task: Resource<TaskHandle>) -> wasmtime::Result<()> {
        self.table().delete(task)?;
        Ok(())
    }
}

impl tasks::HostTaskOptions for GuestState {
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

    fn deny(&mut self, options: Resource<Options>, rights: Rights) -> wasmtime::Result<()> {
        self.table().get_mut(&options)?.denied |= rights;
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

impl tasks_poll::Host for GuestState {
    fn subscribe(&mut self, task: Resource<TaskHandle>) -> wasmtime::Result<Resource<DynPollable>> {
        let guest = self.table().get(&task)?.guest.clone();
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
