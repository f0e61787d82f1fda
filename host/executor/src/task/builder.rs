//! Spawning with options.

use super::{
    JoinHandle, Metadata, allocate,
    memory::{Foreign, Home, Memory},
    task_layout,
};
use crate::{error::SpawnError, executor::Executor, group::Group};
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
/// let tenant = executor.group().name("tenant").build();
/// let task = executor.build_task().name("report").group(&tenant).spawn(async { 42 });
/// assert_eq!(Worker::new(&executor).unwrap().run(task).unwrap().unwrap(), 42);
/// assert_eq!(tenant.stats().spawns, 1);
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

impl<'a> TaskBuilder<'a> {
    #[track_caller]
    pub(crate) fn new(executor: &'a Executor) -> Self {
        Self {
            executor,
            metadata: Metadata::new(),
            group: Choice::Inherited,
        }
    }

    /// A name for traces and statistics.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let task = executor.build_task().name(format!("reader {}", 7)).spawn(async {});
    /// assert_eq!(task.task().metadata().name(), Some("reader 7"));
    /// ```
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.metadata.set_name(name);
        self
    }

    /// What sort of task it is.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let task = executor.build_task().kind("io").spawn(async {});
    /// assert_eq!(task.task().metadata().kind(), "io");
    /// ```
    pub fn kind(mut self, kind: &'static str) -> Self {
        self.metadata.set_kind(kind);
        self
    }

    /// Where it was spawned, for wrappers that spawn for their callers.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, TaskRef};
    ///
    /// #[track_caller]
    /// fn spawn_quietly(executor: &Executor) -> TaskRef {
    ///     let caller = std::panic::Location::caller();
    ///     executor.build_task().location(caller).spawn(async {}).task()
    /// }
    ///
    /// let executor = Executor::new();
    /// let (task, line) = (spawn_quietly(&executor), line!());
    /// assert_eq!(task.metadata().location().line(), line);
    /// ```
    pub fn location(mut self, location: &'static Location<'static>) -> Self {
        self.metadata.set_location(location);
        self
    }

    /// Name, kind and location at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, task::Metadata};
    ///
    /// let executor = Executor::new();
    /// let mut metadata = Metadata::new();
    /// metadata.set_name("writer");
    /// let task = executor.build_task().metadata(metadata).spawn(async {});
    /// assert_eq!(task.task().metadata().name(), Some("writer"));
    /// ```
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Puts the task into a group, and so into the fair lane; `None` into the fast lane.
    ///
    /// A task spawned by a task of a group is in the same group where this is not called.
    ///
    /// # Panics
    ///
    /// If the group belongs to another executor.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().build();
    /// drop(executor.build_task().group(&group).spawn(async {}));
    /// drop(executor.build_task().group(None).spawn(async {}));
    /// assert_eq!(group.stats().spawns, 1);
    /// ```
    #[track_caller]
    pub fn group<'g>(mut self, group: impl Into<Option<&'g Group>>) -> Self {
        let group = group.into();
        if let Some(group) = group {
            assert!(
                group.is_of(self.executor),
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
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// assert!(executor.build_task().try_spawn(async {}).is_ok());
    /// executor.close();
    /// assert!(executor.build_task().try_spawn(async {}).is_err());
    /// ```
    pub fn try_spawn<F>(self, future: F) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_with(future, Home)
    }

    /// Spawns the future into memory of `allocator`, which the task is freed with.
    ///
    /// # Errors
    ///
    /// As [`try_spawn`](Self::try_spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// use allocator_api2::alloc::Global;
    ///
    /// let executor = hart_executor::Executor::new();
    /// assert!(executor.build_task().name("own memory").try_spawn_in(async {}, Global).is_ok());
    /// ```
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
        self.spawn_with(future, Foreign(allocator))
    }

    fn spawn_with<F, M>(self, future: F, memory: M) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
        M: Memory,
    {
        let shared = self.executor.shared();
        let slot = shared.current_slot();
        let group = match self.group {
            Choice::Inherited => slot.and_then(|slot| slot.current_group()),
            Choice::This(group) => group.map(Group::into_inner),
        };
        let layout = M::POOLED.then(task_layout::<F, M>);
        let parts = shared.parts(slot, group, self.metadata, layout)?;
        let listed = parts.listed;
        let [queued, live, handle] = match allocate(parts, future, memory) {
            Ok(references) => references,
            Err(error) => {
                shared.unreserve(slot, listed);
                return Err(error);
            }
        };
        let handle = JoinHandle::new(handle);
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
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let task = executor.build_task().name("reader").spawn(async {});
    /// assert!(!task.is_complete());
    /// ```
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
