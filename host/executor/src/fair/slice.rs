//! Slices: how long a poll of a group may keep a worker from others whose turn has come.

use core::time::Duration;

/// The slice of a group that was given none.
pub const DEFAULT_SLICE: Duration = Duration::from_millis(1);

/// The shortest slice: with a shorter one a core would do little but switch.
pub const SHORTEST_SLICE: Duration = Duration::from_micros(100);

/// The longest slice: a group with a longer one would hardly ever have a turn beside others.
pub const LONGEST_SLICE: Duration = Duration::from_secs(1);

/// The longest time between two ticks of a clock that brings running tasks to
/// [`preemption_tick`](crate::Group::preemption_tick), however long slices are: slices are kept to within one tick.
///
/// # Examples
///
/// ```
/// use hart_executor::group::LONGEST_TICK;
///
/// let executor = hart_executor::Executor::new();
/// // How long a clock that preempts may sleep.
/// let sleep = executor.shortest_slice().map_or(LONGEST_TICK, |slice| slice.min(LONGEST_TICK));
/// assert_eq!(sleep, LONGEST_TICK, "nothing competes");
/// ```
pub const LONGEST_TICK: Duration = Duration::from_millis(5);

/// The default slice in nanoseconds.
pub(super) const DEFAULT_NANOSECONDS: u64 = DEFAULT_SLICE.as_nanos() as u64;

/// A slice as it is kept, in nanoseconds.
pub(crate) fn clamp(slice: Duration) -> usize {
    slice.clamp(SHORTEST_SLICE, LONGEST_SLICE).as_nanos() as usize
}

/// How much of its slice a poll keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stretch {
    /// At most one group per worker waits, and all that wait had a turn before.
    Double,
    Whole,
    /// Many wait: more than [`MANY`] per worker.
    Half,
    /// More than four times as many.
    Quarter,
}

/// So many waiting groups per worker make slices shorter. Chosen, not measured; `hart-bench`'s suite `latency` shows
/// what it does to those that wait and to what the others get done.
const MANY: usize = 8;

impl Stretch {
    pub(super) fn of(waiting: usize, woken: usize, workers: usize) -> Self {
        let workers = workers.max(1);
        if waiting > 4 * MANY * workers {
            Self::Quarter
        } else if waiting > MANY * workers {
            Self::Half
        } else if woken == 0 && waiting <= workers {
            Self::Double
        } else {
            Self::Whole
        }
    }

    /// What is kept of a slice of so many nanoseconds: at least the shortest slice.
    pub(super) fn apply(self, slice: u64) -> u64 {
        let kept = match self {
            Self::Double => slice.saturating_mul(2),
            Self::Whole => slice,
            Self::Half => slice / 2,
            Self::Quarter => slice / 4,
        };
        kept.max(SHORTEST_SLICE.as_nanos() as u64)
    }
}
