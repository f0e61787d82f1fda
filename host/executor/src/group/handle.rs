//! Groups.

use super::tenant::Tenant;
use crate::{
    executor::SharedRef,
    fair::{GroupState, GroupStats, Id, clamp},
    sync::Arc,
};
use core::{fmt, time::Duration};

/// What a preempted task should do.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing waits for a worker: go on.
    Continue,
    /// Something waits: wake yourself and return `Pending`.
    Yield,
}

/// Tasks that are one run: the unit of fair share and of accounting. A counted handle.
///
/// Any worker may run any task of a group. Within a group the order is first in, first out.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Verdict, Worker, yield_now};
/// use std::time::Duration;
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// let group = executor.group().name("batch").weight(50).build();
/// group.set_slice(Duration::from_micros(200));
/// group.set_cpu_rate(Some(1500));
/// let its = group.clone();
/// let task = executor.build_task().group(&group).spawn(async move {
///     for _ in 0..1_000 {
///         // A slice's worth of work, and then:
///         if its.preemption_point() == Verdict::Yield {
///             yield_now().await;
///         }
///     }
/// });
/// worker.run(task).unwrap().unwrap();
/// let stats = group.stats();
/// assert_eq!((stats.spawns, stats.live_tasks), (1, 0));
/// ```
#[derive(Clone)]
pub struct Group(Arc<Inner>);

struct Inner {
    state: Arc<GroupState>,
    tenant: Option<Tenant>,
    executor: SharedRef,
}

impl Group {
    pub(super) fn new(state: Arc<GroupState>, tenant: Option<Tenant>, executor: SharedRef) -> Self {
        Self(Arc::new(Inner {
            state,
            tenant,
            executor,
        }))
    }

    pub(crate) fn state(&self) -> &Arc<GroupState> {
        &self.0.state
    }

    pub(crate) fn is_of(&self, executor: &SharedRef) -> bool {
        SharedRef::ptr_eq(&self.0.executor, executor)
    }

    /// The group's id.
    pub fn id(&self) -> Id {
        self.state().share.id
    }

    /// Its name; empty if it was given none.
    pub fn name(&self) -> &str {
        &self.state().share.name
    }

    /// Its weight: its share is its weight over the sum of the weights of all that compete.
    pub fn weight(&self) -> u32 {
        self.state().share.weight() as u32
    }

    /// Changes its weight.
    ///
    /// # Panics
    ///
    /// If the weight is zero.
    #[track_caller]
    pub fn set_weight(&self, weight: u32) {
        self.state().share.set_weight(weight);
    }

    /// Its slice: how long a task of it may keep a worker from others whose turn has come.
    pub fn slice(&self) -> Duration {
        Duration::from_nanos(self.state().slice())
    }

    /// Changes its slice.
    ///
    /// A shorter slice buys earlier turns, not more CPU time: interactive work wants a short one. It is
    /// at least [`SHORTEST_SLICE`](super::SHORTEST_SLICE) and at most [`LONGEST_SLICE`](super::LONGEST_SLICE).
    pub fn set_slice(&self, slice: Duration) {
        self.state().set_slice(clamp(slice));
    }

    /// How much of a core it may use, in thousandths; `None` is no limit.
    pub fn cpu_rate(&self) -> Option<u32> {
        self.state().share.millicores()
    }

    /// Changes how much of a core it may use, in thousandths: 500 is half a core, 2000 are two. `None` is
    /// no limit.
    ///
    /// Kept over windows of [`RATE_WINDOW`](super::RATE_WINDOW): a group that has used up its window's part is not
    /// runnable until one begins that has some left. What is used beyond it, up to the next preemption point, is
    /// taken from the windows that follow.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn set_cpu_rate(&self, millicores: Option<u32>) {
        self.state().share.set_rate(millicores);
        let executor = &self.0.executor;
        let now = executor.platform().now();
        for _ in 0..executor.lanes().reconsider(self.state(), now) {
            executor.notify();
        }
    }

    /// The tenant that it belongs to.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.0.tenant.as_ref()
    }

    /// What it has used so far.
    ///
    /// CPU time of polls that go on counts up to now: what the CPU clocks of their threads say if the platform can
    /// read them ([`Platform::cpu_time_of`](crate::Platform::cpu_time_of)), else time on the clock. So a task that waits
    /// in its poll uses nothing.
    pub fn stats(&self) -> GroupStats {
        let in_flight = self.0.executor.in_flight(self.state());
        self.state().counts.snapshot(in_flight)
    }

    /// To be called inside a poll of one of its tasks where that task could be preempted: charges the
    /// CPU time since the last charge, and says whether the turn is another's on this worker: a
    /// fast-lane task, the `run` future, or a task of a group whose turn comes before this one's next.
    ///
    /// Each call ends a slice: for preemption points that come after a slice's worth of work. If they
    /// come as a clock ticks, [`preemption_tick`](Self::preemption_tick) is the one to call.
    ///
    /// Outside a poll of one of its tasks it charges nothing, and says whether anything waits at all.
    pub fn preemption_point(&self) -> Verdict {
        self.verdict(false)
    }

    /// As [`preemption_point`](Self::preemption_point), for preemption points that come as a clock ticks,
    /// however long the group's slice is: the task goes on until it has used its slice, unless the turn is
    /// that of a group with a shorter one.
    pub fn preemption_tick(&self) -> Verdict {
        self.verdict(true)
    }

    fn verdict(&self, by_time: bool) -> Verdict {
        if self.0.executor.preemption_point(self.state(), by_time) {
            self.state().counts.preempted();
            Verdict::Yield
        } else {
            Verdict::Continue
        }
    }

    /// To be called inside a poll of one of its tasks: charges the CPU time since the last charge, so that
    /// [`stats`](Self::stats) has it at once.
    pub fn charge_poll(&self) {
        self.0.executor.charge_poll(self.state());
    }

    /// Charges CPU time that was used for it outside its polls: compiling, tearing down.
    pub fn charge(&self, cpu: Duration) {
        let nanoseconds = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        self.state().counts.charge(nanoseconds);
        let executor = &self.0.executor;
        let now = executor.platform().now();
        let lanes = executor.lanes();
        lanes.charge_aside(self.state(), nanoseconds, now);
    }

    /// Notes that it holds `bytes` more. Accounting only: limits are the caller's business.
    pub fn add_memory(&self, bytes: usize) {
        self.state().counts.add_memory(bytes);
    }

    /// Notes that it holds `bytes` less.
    pub fn sub_memory(&self, bytes: usize) {
        self.state().counts.sub_memory(bytes);
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("weight", &self.weight())
            .field("tenant", &self.tenant())
            .finish_non_exhaustive()
    }
}
