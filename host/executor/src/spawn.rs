//! Spawning tasks.
//!
//! It stands above [`executor`](crate::executor) and [`group`](crate::group), and uses both.

use crate::{
    error::SpawnError,
    executor::{Attached, Executor, current_group},
    group::Group,
    memory::{Custom, Pooled},
    task::{JoinHandle, Memory, Metadata, NewTask, emplace, task_layout},
};
use alloc::borrow::Cow;
use allocator_api2::alloc::Allocator;
use core::{future::Future, panic::Location};

/// Spawns a task with a name, a kind, a group: made by [`Executor::build_task`].
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let group = executor.group().name("batch").build();
/// let task = executor.build_task().name("report").kind("io").group(&group).spawn(async { 42 });
/// assert_eq!(task.task().metadata().name(), Some("report"));
/// assert_eq!(Worker::new(&executor).unwrap().run(task).unwrap().unwrap(), 42);
/// assert_eq!(group.stats().spawns, 1);
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it spawns"]
pub struct TaskBuilder<'a> {
    executor: &'a Executor,
    metadata: Metadata,
    group: Choice,
}

/// Which group the task will be in.
#[derive(Debug)]
enum Choice {
    /// That of the task that spawns it.
    Inherited,
    This(Option<Group>),
}

impl Executor {
    /// Spawns a task with a name, a kind, a group.
    #[track_caller]
    pub fn build_task(&self) -> TaskBuilder<'_> {
        TaskBuilder::new(self)
    }

    /// Spawns the future: from one of its workers onto that worker's queue, from elsewhere into the
    /// injector, from a task of a group into that group.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Closed`] after [`close`](Self::close), [`SpawnError::Alloc`] without memory. The
    /// future is dropped.
    #[track_caller]
    pub fn try_spawn<F>(&self, future: F) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.build_task().try_spawn(future)
    }

    /// Spawns the future into memory of `allocator`, which the task is freed with.
    ///
    /// # Errors
    ///
    /// As [`try_spawn`](Self::try_spawn).
    #[track_caller]
    pub fn try_spawn_in<F, A>(
        &self,
        future: F,
        allocator: A,
    ) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
        A: Allocator + Send + Sync + 'static,
    {
        self.build_task().try_spawn_in(future, allocator)
    }

    /// Spawns the future.
    ///
    /// # Panics
    ///
    /// Where [`try_spawn`](Self::try_spawn) gives an error.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.build_task().spawn(future)
    }
}

impl<'a> TaskBuilder<'a> {
    #[track_caller]
    fn new(executor: &'a Executor) -> Self {
        Self {
            executor,
            metadata: Metadata::new(),
            group: Choice::Inherited,
        }
    }

    /// A name for traces and statistics.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.metadata.set_name(name);
        self
    }

    /// What sort of task it is.
    pub fn kind(mut self, kind: &'static str) -> Self {
        self.metadata.set_kind(kind);
        self
    }

    /// Where it was spawned, for wrappers that spawn for their callers.
    pub fn location(mut self, location: &'static Location<'static>) -> Self {
        self.metadata.set_location(location);
        self
    }

    /// Name, kind and location at once.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Puts the task into a group, and so into the fair lane; `None` into the fast lane.
    ///
    /// A task spawned by a task of a group is in the same group if this is not called.
    ///
    /// # Panics
    ///
    /// If the group belongs to another executor.
    #[track_caller]
    pub fn group<'g>(mut self, group: impl Into<Option<&'g Group>>) -> Self {
        let group = group.into();
        if let Some(group) = group {
            assert!(
                group.is_of(self.executor.shared()),
                "the group `{}` belongs to another executor",
                group.name()
            );
        }
        self.group = Choice::This(group.cloned());
        self
    }

    /// Spawns the future.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Closed`] after [`Executor::close`], [`SpawnError::Alloc`] without memory. The
    /// future is dropped.
    pub fn try_spawn<F>(self, future: F) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_with(future, Pooled)
    }

    /// Spawns the future into memory of `allocator`, which the task is freed with.
    ///
    /// # Errors
    ///
    /// As [`try_spawn`](Self::try_spawn).
    pub fn try_spawn_in<F, A>(
        self,
        future: F,
        allocator: A,
    ) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
        A: Allocator + Send + Sync + 'static,
    {
        self.spawn_with(future, Custom(allocator))
    }

    fn spawn_with<F, M>(self, future: F, source: M) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
        M: Memory,
    {
        let shared = self.executor.shared();
        let slot = shared.current_slot();
        let group = match self.group {
            Choice::Inherited => slot.and_then(current_group),
            Choice::This(group) => group.map(|group| group.state().clone()),
        };
        let layout = task_layout::<F, M, Attached>();
        let reserved = shared.reserve(slot, group, M::POOLED.then_some(layout))?;
        let (memory, pooled) = match &reserved.block {
            Some(block) => (Some(block.memory), block.pooled),
            None => (source.allocate(layout), false),
        };
        let Some(memory) = memory else {
            reserved.attached.unreserve(slot);
            return Err(SpawnError::Alloc);
        };
        let new = NewTask {
            id: reserved.id,
            metadata: self.metadata,
            fair: reserved.attached.is_fair(),
            pooled,
            attached: reserved.attached,
        };
        // SAFETY: the memory was just allocated with this layout, by the pool or by `source`, which takes it back.
        let [queued, live, handle] = unsafe { emplace(memory, new, future, source) };
        // SAFETY: the future's output is the handle's, and the task gets no other handle.
        let handle = unsafe { JoinHandle::new(handle) };
        if shared.spawn(slot, queued, live) {
            return Ok(handle);
        }
        handle.close();
        Err(SpawnError::Closed)
    }

    /// Spawns the future.
    ///
    /// # Panics
    ///
    /// Where [`try_spawn`](Self::try_spawn) gives an error.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match self.try_spawn(future) {
            Ok(handle) => handle,
            Err(error) => panic!("cannot spawn: {error}"),
        }
    }
}
