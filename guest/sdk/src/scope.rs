//! Tasks that end before the block that spawned them does.

use std::convert::Infallible;
use std::fmt;

use crate::backend::Prepared;
use crate::error::{JoinError, SpawnError, TaskError};
use crate::handle::{Handle, wait_any};
use crate::options::Options;
use crate::task::{Kind, Signature, Task};

/// Runs `body`, in which tasks can be spawned that do not outlive it.
///
/// When `body` returns `Ok`, the tasks that it did not join are waited for. When it returns an error
/// (or panics), they are cancelled, and have ended before this returns. All tasks of one scope have
/// the same result type; scopes can be nested.
///
/// ```
/// use hart_guest::{scope, task};
///
/// #[task]
/// fn length(word: String) -> usize {
///     word.len()
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let total = scope(|scope| {
///     for word in ["three", "short", "words"] {
///         scope.spawn(length, word.to_string())?;
///     }
///     let mut total = 0;
///     while let Some(finished) = scope.join_next() {
///         total += finished.result?;
///     }
///     Ok(total)
/// })?;
/// assert_eq!(total, 15);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// What `body` returns; or else the first failure among the tasks that it did not join.
pub fn scope<T, E, R>(
    body: impl FnOnce(&mut Scope<T, E>) -> Result<R, TaskError<E>>,
) -> Result<R, TaskError<E>> {
    let mut scope = Scope {
        running: Vec::new(),
        spawned: 0,
    };
    let value = body(&mut scope)?;
    while let Some(finished) = scope.join_next() {
        finished.result?;
    }
    Ok(value)
}

/// Spawns tasks that end before [`scope`] does, and gives their results as they complete.
pub struct Scope<T, E = Infallible> {
    running: Vec<(usize, Handle<T, E>)>,
    spawned: usize,
}

/// A task of a [`Scope`] that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished<T, E = Infallible> {
    /// What [`Scope::spawn`] returned for it: 0 for the first task, 1 for the second, ..
    pub index: usize,
    /// What it returned, or why it has no result.
    pub result: Result<T, JoinError<E>>,
}

impl<T, E> Scope<T, E> {
    /// Starts `task` in a new instance and returns its index: how many were spawned in this scope
    /// before.
    ///
    /// # Errors
    ///
    /// As [`Task::spawn`].
    pub fn spawn<F, K>(
        &mut self,
        task: Task<F, K>,
        arguments: F::Arguments,
    ) -> Result<usize, SpawnError>
    where
        F: Signature,
        K: Kind<F::Returned, Output = T, Error = E>,
    {
        self.spawn_prepared(task, arguments, &Prepared::default())
    }

    /// Like [`spawn`](Self::spawn), with a name, limits or fewer rights for this one.
    ///
    /// # Errors
    ///
    /// As [`Task::spawn`].
    pub fn spawn_with<F, K>(
        &mut self,
        task: Task<F, K>,
        arguments: F::Arguments,
        options: &Options,
    ) -> Result<usize, SpawnError>
    where
        F: Signature,
        K: Kind<F::Returned, Output = T, Error = E>,
    {
        self.spawn_prepared(task, arguments, &Prepared::from(options))
    }

    pub(crate) fn spawn_prepared<F, K>(
        &mut self,
        task: Task<F, K>,
        arguments: F::Arguments,
        options: &Prepared,
    ) -> Result<usize, SpawnError>
    where
        F: Signature,
        K: Kind<F::Returned, Output = T, Error = E>,
    {
        let handle = task.spawn_prepared(arguments, options)?;
        let index = self.spawned;
        self.running.push((index, handle));
        self.spawned += 1;
        Ok(index)
    }

    /// Waits for the next task to end; `None` once there is none left.
    ///
    /// It looks at every task that is left, so for thousands of tasks keep few alive at a time:
    /// [`par_map`](crate::par_map) does, or call this between spawning while [`running`](Self::running) is
    /// above a bound.
    pub fn join_next(&mut self) -> Option<Finished<T, E>> {
        let ended = wait_any(self.running.iter().map(|(_, handle)| handle))?;
        let (index, handle) = self.running.swap_remove(ended);
        Some(Finished {
            index,
            result: handle.join(),
        })
    }

    /// How many tasks were spawned and not yet joined.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Ends every task that was not joined yet, as soon as it can be. They are still to be joined.
    pub fn cancel(&self) {
        for (_, handle) in &self.running {
            handle.cancel();
        }
    }
}

impl<T, E> Drop for Scope<T, E> {
    fn drop(&mut self) {
        self.cancel();
        for (_, handle) in self.running.drain(..) {
            // Only that they have ended matters here: why we leave early is known already.
            drop(handle.join());
        }
    }
}

impl<T, E> fmt::Debug for Scope<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("spawned", &self.spawned)
            .field("running", &self.running())
            .finish()
    }
}
