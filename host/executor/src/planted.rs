//! Faults that tests plant, to see that the simulated machine finds them.
//!
//! The feature `planted-faults` is for this project's own tests and not part of the public interface. Without it the
//! checks compile to nothing. With it there is no fault until `plant` plants one, for one thread.

/// A fault that this executor could have.
#[cfg_attr(
    feature = "planted-faults",
    doc = r"
# Examples

```
use hart_executor::planted::{Planted, plant};

plant(Some(Planted::StealDrops));
# plant(None);
```"
)]
#[cfg_attr(
    not(feature = "planted-faults"),
    expect(unreachable_pub, reason = "public with the feature")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Planted {
    /// A worker looks for work, then announces that it sleeps and parks: a wake in between is lost.
    LostWake,
    /// A steal leaves the task where it was as well.
    StealDuplicates,
    /// A steal loses the task.
    StealDrops,
    /// The injector is looked at only when nothing else is there.
    InjectorStarves,
    /// A close forgets tasks that wait.
    CloseForgetsIdle,
    /// A guest that is allowed to continue at a preemption point is not charged.
    ContinueIsFree,
    /// A group that slept, however short, has no debts any more.
    SleepForgives,
    /// A group resumes on any core.
    AnyCore,
    /// All domains have one lane.
    OneLane,
    /// What a group has used is forgotten when a lane settles it.
    NeverSettles,
}

#[cfg(feature = "planted-faults")]
std::thread_local! {
    static PLANTED: core::cell::Cell<Option<Planted>> = const { core::cell::Cell::new(None) };
}

/// Plants a fault for everything that runs on this thread from now on; `None` takes it away.
///
/// # Examples
///
/// ```
/// use hart_executor::planted::{Planted, plant};
///
/// plant(Some(Planted::LostWake));
/// // What runs on this thread now has the fault.
/// plant(None);
/// ```
#[cfg(feature = "planted-faults")]
pub fn plant(fault: Option<Planted>) {
    PLANTED.set(fault);
}

/// Whether this fault is planted here.
#[inline]
pub(crate) fn is_planted(fault: Planted) -> bool {
    #[cfg(feature = "planted-faults")]
    return PLANTED.get() == Some(fault);
    #[cfg(not(feature = "planted-faults"))]
    {
        let _ = fault;
        false
    }
}
