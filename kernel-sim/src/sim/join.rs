//! Spawning and joining under the oracles' eyes.

use super::{
    guard::{Guard, Output},
    handle::{Sim, SimGroup},
};
use crate::{
    alloc::TaskMemory,
    machine::{Ending, Name},
    oracle::Oracle,
    trace::TaskNumber,
};
use hart_executor::{JoinError, JoinHandle, SpawnError};
use std::{
    borrow::Cow,
    pin::Pin,
    sync::PoisonError,
    task::{Context, Poll},
};

/// Spawns a task with options: from [`Sim::task`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it spawns"]
pub struct TaskBuilder<'a> {
    sim: &'a Sim,
    name: Name,
    group: Option<&'a SimGroup>,
    daemon: bool,
}

/// Waits for a task; dropping it detaches.
#[derive(Debug)]
#[must_use = "dropping it detaches its task; say `drop` where that is meant"]
pub struct Join<T> {
    handle: JoinHandle<Output<T>>,
    sim: Sim,
    task: TaskNumber,
}

impl Sim {
    /// A task with a name that is to be spawned.
    pub fn task(&self, name: impl Into<Cow<'static, str>>) -> TaskBuilder<'_> {
        TaskBuilder::new(self, name)
    }

    /// Spawns a task.
    ///
    /// # Errors
    ///
    /// As the executor's `try_spawn`.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Result<Join<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.task(name).spawn(future)
    }
}

impl<'a> TaskBuilder<'a> {
    fn new(sim: &'a Sim, name: impl Into<Name>) -> Self {
        Self {
            sim,
            name: name.into(),
            group: None,
            daemon: false,
        }
    }

    /// Puts it into a group; without this it is in none.
    pub fn group(mut self, group: &'a SimGroup) -> Self {
        self.group = Some(group);
        self
    }

    /// Lets it wait forever: the machine stops when only such tasks are left, and closes them.
    pub fn daemon(mut self) -> Self {
        self.daemon = true;
        self
    }

    /// Spawns the future.
    ///
    /// # Errors
    ///
    /// As the executor's `try_spawn`.
    pub fn spawn<F>(self, future: F) -> Result<Join<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let sim = self.sim;
        let machine = sim.machine();
        let (task, before) = {
            let mut state = machine.lock();
            let group = self.group.map(|group| group.number);
            (
                state.add_task(self.name.clone(), group, self.daemon),
                state.no_memory,
            )
        };
        let refs = sim.inner.keep_refs.then(|| sim.clone());
        let guard = Guard::new(sim.inner.machine.clone(), refs, task, future);
        let memory = TaskMemory {
            machine: sim.inner.machine.clone(),
        };
        let spawned = sim
            .executor()
            .build_task()
            .name(self.name.clone())
            .group(self.group.map(|group| &group.group))
            .try_spawn_in(guard, memory);
        match spawned {
            Ok(handle) => {
                self.spawned(task, &handle);
                Ok(Join {
                    handle,
                    sim: sim.clone(),
                    task,
                })
            }
            Err(error) => {
                let state = machine.lock();
                let right = match error {
                    SpawnError::Closed => state.closing,
                    SpawnError::Alloc => state.no_memory > before,
                    _ => false,
                };
                let gone = state.tasks[task as usize].ending == Some(Ending::Dropped);
                drop(state);
                sim.check(right, Oracle::Spawn, || {
                    format!("task {task} was refused: {error}, which is not so")
                });
                sim.check(gone, Oracle::EndsOnce, || {
                    format!("task {task} was refused and its future is still there")
                });
                Err(error)
            }
        }
    }

    /// The spawn has returned; others may have polled the task, or ended it, meanwhile.
    fn spawned<T>(&self, task: TaskNumber, handle: &JoinHandle<T>) {
        let machine = self.sim.machine();
        let mut state = machine.lock();
        let closing = state.closing;
        let info = &mut state.tasks[task as usize];
        info.spawning = false;
        let ending = info.ending;
        let told = info.cancelled || closing;
        if ending == Some(Ending::Dropped) && !told {
            state.fail(Oracle::EndsOnce, || {
                format!("the future of task {task} was dropped though it was spawned")
            });
        }
        drop(state);
        machine.stop_if_failed();
        if self.sim.inner.keep_refs && ending.is_none() {
            let refs = self.sim.inner.refs.lock();
            let mut refs = refs.unwrap_or_else(PoisonError::into_inner);
            if refs.len() <= task as usize {
                refs.resize(task as usize + 1, None);
            }
            refs[task as usize] = Some(handle.task());
        }
    }
}

impl<T> Join<T> {
    /// Cancels the task, and checks what that promises.
    pub fn cancel(&self) {
        self.sim.cancel(self.task, &self.handle.task());
    }

    /// Whether the result is there.
    pub fn is_complete(&self) -> bool {
        self.handle.is_complete()
    }

    /// The task's number in the trace.
    pub fn number(&self) -> TaskNumber {
        self.task
    }

    fn check(&self, error: Option<&JoinError>) {
        let state = self.sim.machine().lock();
        let info = &state.tasks[self.task as usize];
        let right = match (error, info.ending) {
            // It completes while its future is still to be dropped, where the drop tells the joiner.
            (None, ending) => ending == Some(Ending::Completed),
            (Some(error), Some(Ending::Panicked)) => error.is_panic(),
            (Some(error), Some(Ending::Dropped)) if error.is_cancelled() => info.cancelled,
            (Some(error), Some(Ending::Dropped)) if error.is_closed() => state.closing,
            _ => false,
        };
        let ending = info.ending;
        let name = info.name.clone();
        drop(state);
        self.sim.check(right, Oracle::EndsOnce, || {
            let told = error.map_or_else(|| "an output".into(), ToString::to_string);
            format!(
                "the joiner of task {} ({name}) is given {told}, the task ended as {ending:?}",
                self.task
            )
        });
    }
}

impl<T> Future for Join<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(result) = Pin::new(&mut self.handle).poll(cx) else {
            return Poll::Pending;
        };
        self.check(result.as_ref().err());
        Poll::Ready(result.map(Output::into_inner))
    }
}
