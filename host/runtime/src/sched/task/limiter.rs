//! Memory limits as wasmtime asks for them.
//!
//! A refusal is an error, never `false`: with `false` the guest's allocator would trap on
//! `unreachable` and nobody could name the limit. It ends the task, so that the task's joiner is told of the limit
//! whatever becomes of that error. Only a simulated machine says `false`, as a system
//! without memory does.

use wasmtime::{ResourceLimiter, Result, format_err};

use crate::quota::kill::Kill;
use crate::sched::task::current;

/// Bytes that one element of a table takes.
const TABLE_ELEMENT: u64 = size_of::<usize>() as u64;

/// The limiter of a task whose store has no room for one: it has no state of its own and asks the
/// task that is being polled on this thread. A store is only used while its task is polled.
pub(super) struct CurrentTask;

impl CurrentTask {
    /// One for any lifetime: leaking a box of a type without size allocates nothing.
    pub(super) fn get<'a>() -> &'a mut Self {
        const { assert!(size_of::<CurrentTask>() == 0) };
        Box::leak(Box::new(Self))
    }
}

/// A memory that would be larger than one may be does not grow, and the guest is told so.
fn memory_growing(current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
    let most = current::with(|control| control.and_then(|control| control.limits.memory_size));
    let fits = most.is_none_or(|most| desired <= most);
    Ok(fits && growing(current, desired, maximum, 1)?)
}

/// A table that would be larger than the host's tables may be does not grow, and the guest is told so: as in a pool.
fn table_growing(current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
    let most = current::with(|control| control.and_then(|control| control.limits.table_elements));
    let fits = most.is_none_or(|most| desired <= most);
    Ok(fits && growing(current, desired, maximum, TABLE_ELEMENT)?)
}

fn growing(current: usize, desired: usize, maximum: Option<usize>, element: u64) -> Result<bool> {
    let bytes = (desired.saturating_sub(current) as u64).saturating_mul(element);
    current::with(|control| match control {
        // It fails whatever is said here, and the guest is told so.
        Some(control) if maximum.is_some_and(|maximum| desired > maximum) => {
            control.settle();
            Ok(true)
        }
        Some(control) if control.has_no_memory() => Ok(false),
        Some(control) => {
            control
                .grow(bytes)
                .inspect_err(|reached| control.kill(Kill::Limit(*reached)))?;
            Ok(true)
        }
        None => Err(format_err!(
            "a store that was armed for a task is used outside of that task"
        )),
    })
}

/// A growth has failed: what was reserved for it is given back.
fn grow_failed(error: &wasmtime::Error) {
    /// Failures that the limiter was not asked about: nothing was reserved, and what was reserved last is for a growth
    /// that went well. wasmtime tells the two apart by their texts alone.
    const UNASKED: [&str; 2] = [
        "memory growth exceeds memory type's limits",
        "overflow calculating new table size",
    ];

    let was_asked = !UNASKED.contains(&&*error.to_string());
    current::with(|control| {
        if let Some(control) = control
            && was_asked
        {
            control.grow_failed();
        }
    });
}

impl ResourceLimiter for CurrentTask {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        memory_growing(current, desired, maximum)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        grow_failed(&error);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        table_growing(current, desired, maximum)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        grow_failed(&error);
        Ok(())
    }
}

/// An embedder's own limiter, asked after the task's: for [`Cx::arm_with`](crate::Cx::arm_with).
///
/// ```
/// use hart_host::Limited;
/// use wasmtime::{StoreLimits, StoreLimitsBuilder};
///
/// struct State {
///     limiter: Limited<StoreLimits>,
/// }
/// let state = State { limiter: Limited::new(StoreLimitsBuilder::new().tables(4).build()) };
/// # let _ = state;
/// ```
#[derive(Debug, Default)]
pub struct Limited<L> {
    own: L,
}

impl<L> Limited<L> {
    /// Wraps `own`.
    pub fn new(own: L) -> Self {
        Self { own }
    }

    /// The embedder's limiter.
    pub fn own(&self) -> &L {
        &self.own
    }

    /// The embedder's limiter.
    pub fn own_mut(&mut self) -> &mut L {
        &mut self.own
    }
}

impl<L: ResourceLimiter> ResourceLimiter for Limited<L> {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        // Its refusal first: what it refuses must not stay counted.
        Ok(self.own.memory_growing(current, desired, maximum)?
            && memory_growing(current, desired, maximum)?)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        grow_failed(&error);
        self.own.memory_grow_failed(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        Ok(self.own.table_growing(current, desired, maximum)?
            && table_growing(current, desired, maximum)?)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        grow_failed(&error);
        self.own.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.own.instances()
    }

    fn tables(&self) -> usize {
        self.own.tables()
    }

    fn memories(&self) -> usize {
        self.own.memories()
    }
}
