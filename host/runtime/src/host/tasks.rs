//! `hart:exec` for guests: spawn, join, wait, yield, close.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use hart_executor::Platform;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::bindings::{JoinError, Rights, SpawnError, tasks, tasks_poll};
use super::guest::{Blocked, Cap, Guest, Traits};
use super::outcome::{Ended, for_joiner};
use super::start::Start;
use super::state::GuestState;
use crate::task::{Control, Kill, TaskLimits, yield_once};
use crate::{LimitKind, LimitReached, text};

/// A guest's handle of a task that it spawned.
#[derive(Clone)]
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export it inside this crate"
)]
pub struct TaskHandle {
    attached: Arc<Attached>,
}

/// Somebody may still join the task.
struct Attached {
    guest: Arc<Guest>,
}

/// What is counted as memory for a handle of a task: about what the host keeps for a task that has ended.
/// A guess on the safe side, or handles would be memory without a limit.
const HANDLE_BYTES: u64 = 1024;

impl TaskHandle {
    fn new(guest: Arc<Guest>) -> Result<Self, LimitReached> {
        guest.run.hold(HANDLE_BYTES)?;
        Ok(Self {
            attached: Arc::new(Attached { guest }),
        })
    }

    pub(super) fn guest(&self) -> &Arc<Guest> {
        &self.attached.guest
    }

    /// Ends the task and everything below it.
    pub(super) fn cancel(&self) {
        let guest = self.guest();
        if guest.is_finished() {
            // What it left behind.
            guest.kill_children(Kill::Cancelled);
        } else {
            guest.kill(Kill::Cancelled);
        }
    }

    /// Waits until the task has ended, as `waiter`, and takes its result.
    pub(super) async fn join(&self, waiter: &Arc<Guest>) -> Result<Vec<u8>, JoinError> {
        self.guest().wait(waiter).await;
        self.take()
    }

    /// Takes the result of the task, which has ended.
    pub(super) fn take(&self) -> Result<Vec<u8>, JoinError> {
        let guest = self.guest();
        let ended = guest.take_outcome().ok_or(JoinError::AlreadyJoined)?;
        guest.run.account.joins.fetch_add(1, Ordering::Relaxed);
        guest.run.host.runtime.count(|worker| &worker.joins);
        for_joiner(ended)
    }
}

impl Drop for Attached {
    /// Dropped by the guest or with its store: the task is detached.
    fn drop(&mut self) {
        self.guest.run.account.release(HANDLE_BYTES);
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
    reuse: bool,
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
    if run.site.admission.is_full(run, parent.depth + 1, most) {
        return Err(limit(LimitReached::new(LimitKind::Queued, most)));
    }
    run.account
        .spawns_at(run.host.runtime.platform.now())
        .map_err(limit)?;

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
        ..parent.control.limits
    };
    let control = Control::new(run.host.runtime.clone(), run.account.clone(), own);
    let held = control.hold(entry.len() as u64 + input.len() as u64);
    let (timeout, deadline) = parent.timeout_below(options.timeout);
    let traits = Traits {
        name: if options.name.is_empty() {
            text::name(&entry)
        } else {
            text::name(&options.name)
        },
        depth: parent.depth + 1,
        denied: parent.denied | options.denied,
        reuse: options.reuse,
        timeout,
        deadline,
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
    guest.set_timer();
    if !run
        .site
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
            Ok(guest) => match TaskHandle::new(guest.clone()) {
                Ok(handle) => Ok(Ok(self.table().push(handle)?)),
                Err(reached) => {
                    guest.kill(Kill::Cancelled);
                    Ok(Err(limit(reached)))
                }
            },
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
            .map(|task| Ok(self.table().get(task)?.guest().clone()))
            .collect::<wasmtime::Result<Vec<_>>>()?;
        let index = wait_any(self.guest(), &guests).await;
        Ok(u32::try_from(index)?)
    }
}

impl tasks::HostTask for GuestState {
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
        Ok(handle.join(self.guest()).await)
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

    fn reuse(&mut self, options: Resource<Options>) -> wasmtime::Result<()> {
        self.table().get_mut(&options)?.reuse = true;
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
