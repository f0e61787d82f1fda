//! Mapping a list, with a bounded number of tasks at a time.

use std::num::NonZeroUsize;

use crate::backend::{self, Prepared};
use crate::error::TaskError;
use crate::options::Options;
use crate::scope::{Scope, scope};
use crate::task::{Kind, Signature, Task};

/// Enough that a worker finds the next task waiting when it ends one. A guess; the host's benchmark
/// of spawning and joining would settle it.
const TASKS_PER_WORKER: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// Runs `task` on every item and returns the results in the items' order.
///
/// At most twice [`parallelism`](crate::parallelism) tasks are alive at a time, so the list may be
/// long, and may be an iterator that makes its items as they are wanted. Use [`ParMap`] to choose the
/// bound or to give [`Options`].
///
/// ```
/// use hart_guest::{par_map, task};
///
/// #[task]
/// fn square(number: u64) -> u64 {
///     number * number
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(par_map(square, 1..=4)?, [1, 4, 9, 16]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Of the first task that was found not to have started or to have no result. The others are
/// cancelled, and no more are started.
pub fn par_map<F, K>(
    task: Task<F, K>,
    items: impl IntoIterator<Item = F::Arguments>,
) -> Result<Vec<K::Output>, TaskError<K::Error>>
where
    F: Signature,
    K: Kind<F::Returned>,
{
    ParMap::new().run(task, items)
}

/// [`par_map`] with a bound and options of your choice.
///
/// ```
/// use hart_guest::{Options, ParMap, task};
///
/// #[task]
/// fn square(number: u64) -> u64 {
///     number * number
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let squares = ParMap::new()
///     .at_once(3)
///     .options(Options::new().memory(4 << 20))
///     .run(square, 1..=4)?;
/// assert_eq!(squares, [1, 4, 9, 16]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct ParMap {
    at_once: Option<NonZeroUsize>,
    options: Options,
}

impl ParMap {
    /// What [`par_map`] uses.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many tasks may be alive at the same time; 0 is taken as 1. With more than
    /// [`parallelism`](crate::parallelism) no worker waits for this list's next item.
    #[must_use]
    pub fn at_once(mut self, tasks: usize) -> Self {
        self.at_once = Some(NonZeroUsize::new(tasks).unwrap_or(NonZeroUsize::MIN));
        self
    }

    /// How each of the tasks is to be run.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Runs `task` on every item and returns the results in the items' order.
    ///
    /// # Errors
    ///
    /// As [`par_map`].
    pub fn run<F, K>(
        &self,
        task: Task<F, K>,
        items: impl IntoIterator<Item = F::Arguments>,
    ) -> Result<Vec<K::Output>, TaskError<K::Error>>
    where
        F: Signature,
        K: Kind<F::Returned>,
    {
        let at_once = self
            .at_once
            .unwrap_or_else(|| backend::parallelism().saturating_mul(TASKS_PER_WORKER));
        let options = Prepared::from(&self.options);
        let items = items.into_iter();
        let mut results = Vec::with_capacity(items.size_hint().0);
        scope(|scope| {
            for item in items {
                if scope.running() == at_once.get() {
                    join_next(scope, &mut results)?;
                }
                scope.spawn_prepared(task, item, &options)?;
                results.push(None);
            }
            while scope.running() > 0 {
                join_next(scope, &mut results)?;
            }
            Ok(())
        })?;
        // Every place was filled: each was spawned, and each that was spawned was joined.
        Ok(results.into_iter().flatten().collect())
    }
}

/// Takes the result of whichever task ends first to its place.
fn join_next<T, E>(scope: &mut Scope<T, E>, results: &mut [Option<T>]) -> Result<(), TaskError<E>> {
    if let Some(finished) = scope.join_next() {
        results[finished.index] = Some(finished.result?);
    }
    Ok(())
}
