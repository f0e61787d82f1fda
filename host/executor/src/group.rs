//! Groups: tasks that are one run, and tenants: groups of groups.
//!
//! Tasks of a group go through the fair lane. What the group uses is counted while it runs.
//!
//! Shares follow weights across the whole machine: of those groups that want to run, the one that has
//! used the least CPU time for its weight is next, on whichever worker asks. A group that slept is served
//! soon after it wakes, but sleep is not saved up and debts are kept. A group with a shorter slice gets
//! earlier and shorter turns, and the same share.

pub(crate) mod lane;
mod meter;
mod rate;
mod stats;
pub(crate) mod turn;

pub(crate) use self::{lane::Lane, meter::Meter, stats::Counts};
pub use self::{rate::RATE_WINDOW, stats::GroupStats};

use crate::{
    executor::{Executor, Strong},
    sync::{Arc, AtomicUsize, Mutex, Ordering::Relaxed},
};
use alloc::borrow::Cow;
use core::{fmt, time::Duration};

/// The weight of a group that nobody gave one.
///
/// # Examples
///
/// ```
/// let executor = hart_executor::Executor::new();
/// let group = executor.group().build();
/// assert_eq!(group.weight(), hart_executor::group::DEFAULT_WEIGHT);
/// ```
pub const DEFAULT_WEIGHT: u32 = 100;

/// The slice of a group that nobody gave one.
///
/// # Examples
///
/// ```
/// let executor = hart_executor::Executor::new();
/// let group = executor.group().build();
/// assert_eq!(group.slice(), hart_executor::group::DEFAULT_SLICE);
/// ```
pub const DEFAULT_SLICE: Duration = Duration::from_millis(1);

/// The shortest slice: below it a core would do little but switch.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let executor = hart_executor::Executor::new();
/// let group = executor.group().slice(Duration::ZERO).build();
/// assert_eq!(group.slice(), hart_executor::group::SHORTEST_SLICE);
/// ```
pub const SHORTEST_SLICE: Duration = Duration::from_micros(100);

/// The longest slice: a group with a longer one would hardly ever have a turn beside others.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let executor = hart_executor::Executor::new();
/// let group = executor.group().slice(Duration::MAX).build();
/// assert_eq!(group.slice(), hart_executor::group::LONGEST_SLICE);
/// ```
pub const LONGEST_SLICE: Duration = Duration::from_secs(1);

/// How far apart the ticks of a clock may be that brings running tasks to
/// [`preemption_tick`](Group::preemption_tick), however long slices are: slices are kept to within one.
///
/// # Examples
///
/// ```
/// use hart_executor::group::LONGEST_TICK;
///
/// let executor = hart_executor::Executor::new();
/// // How long a clock may sleep that preempts.
/// let sleep = executor.shortest_slice().map_or(LONGEST_TICK, |slice| slice.min(LONGEST_TICK));
/// assert_eq!(sleep, LONGEST_TICK, "nothing competes");
/// ```
pub const LONGEST_TICK: Duration = Duration::from_millis(5);

/// Names a group or a tenant: no other of the same executor has had the same id.
///
/// # Examples
///
/// ```
/// let executor = hart_executor::Executor::new();
/// assert_ne!(executor.group().build().id(), executor.group().build().id());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(usize);

impl Id {
    /// The id as a number, for logs and traces.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let id = executor.group().build().id();
    /// assert_eq!(id.to_string(), id.as_u64().to_string());
    /// ```
    pub fn as_u64(self) -> u64 {
        self.0 as u64
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group::Id({})", self.0)
    }
}

/// What a preempted task should do.
///
/// # Examples
///
/// ```
/// use hart_executor::Verdict;
///
/// let executor = hart_executor::Executor::new();
/// let group = executor.group().build();
/// assert_eq!(group.preemption_point(), Verdict::Continue, "nobody waits");
/// drop(executor.spawn(async {}));
/// assert_eq!(group.preemption_point(), Verdict::Yield);
/// ```
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody waits for a worker: go on.
    Continue,
    /// Somebody waits: wake yourself and return `Pending`.
    Yield,
}

/// Tasks that are one run: the unit of fair share and of accounting. A counted handle.
///
/// Any worker may run any task of a group. Within a group the order is first in, first out.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker, yield_now};
///
/// let executor = Executor::new();
/// let group = executor.group().name("batch").weight(50).build();
/// let task = executor.build_task().group(&group).spawn(async { yield_now().await });
/// Worker::new(&executor).unwrap().run(task).unwrap().unwrap();
/// let stats = group.stats();
/// assert_eq!((stats.spawns, stats.polls, stats.live_tasks), (1, 2, 0));
/// ```
#[derive(Clone)]
pub struct Group(Arc<GroupInner>);

pub(crate) struct GroupInner {
    id: Id,
    name: Cow<'static, str>,
    weight: AtomicUsize,
    /// Nanoseconds.
    slice: AtomicUsize,
    /// Thousandths of a core; zero is no limit.
    rate: AtomicUsize,
    tenant: Option<Tenant>,
    pub(crate) counts: Counts,
    pub(crate) queue: lane::GroupQueue,
    executor: Strong,
}

/// A group of groups, which share its weight.
///
/// # Examples
///
/// ```
/// let executor = hart_executor::Executor::new();
/// let tenant = executor.tenant().name("acme").weight(200).build();
/// let group = executor.group().tenant(&tenant).build();
/// assert_eq!(group.tenant().unwrap().name(), "acme");
/// ```
#[derive(Clone)]
pub struct Tenant(Arc<TenantInner>);

struct TenantInner {
    id: Id,
    name: Cow<'static, str>,
    weight: AtomicUsize,
    /// The weights of those of its groups that compete now.
    active_weight: AtomicUsize,
    /// Thousandths of a core; zero is no limit.
    rate: AtomicUsize,
    standing: Mutex<lane::TenantStanding>,
    executor: Strong,
}

/// Makes a [`Group`]: from [`Executor::group`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let executor = hart_executor::Executor::new();
/// let group = executor
///     .group()
///     .name("interactive")
///     .weight(200)
///     .slice(Duration::from_micros(200))
///     .cpu_rate(1500)
///     .build();
/// assert_eq!(group.cpu_rate(), Some(1500));
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct GroupBuilder<'a> {
    executor: &'a Executor,
    name: Cow<'static, str>,
    weight: u32,
    slice: Duration,
    rate: usize,
    tenant: Option<Tenant>,
}

/// Makes a [`Tenant`]: from [`Executor::tenant`].
///
/// # Examples
///
/// ```
/// let executor = hart_executor::Executor::new();
/// let tenant = executor.tenant().name("acme").weight(200).cpu_rate(500).build();
/// assert_eq!((tenant.weight(), tenant.cpu_rate()), (200, Some(500)));
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct TenantBuilder<'a> {
    executor: &'a Executor,
    name: Cow<'static, str>,
    weight: u32,
    rate: usize,
}

fn check_weight(weight: u32) -> usize {
    assert!(
        weight > 0,
        "a weight of zero would never run; use at least 1"
    );
    weight as usize
}

fn check_slice(slice: Duration) -> usize {
    slice.clamp(SHORTEST_SLICE, LONGEST_SLICE).as_nanos() as usize
}

fn check_rate(millicores: Option<u32>) -> usize {
    assert!(
        millicores != Some(0),
        "a CPU rate of zero would never run; use at least 1, or none"
    );
    millicores.unwrap_or(0) as usize
}

fn load_rate(rate: &AtomicUsize) -> Option<u32> {
    u32::try_from(rate.load(Relaxed))
        .ok()
        .filter(|rate| *rate > 0)
}

impl GroupInner {
    /// Nanoseconds.
    fn slice(&self) -> u64 {
        self.slice.load(Relaxed) as u64
    }
}

fn load_weight(weight: &AtomicUsize) -> u32 {
    u32::try_from(weight.load(Relaxed)).unwrap_or(u32::MAX)
}

// === impl Group ===

impl Group {
    pub(crate) fn into_inner(self) -> Arc<GroupInner> {
        self.0
    }

    pub(crate) fn is_of(&self, executor: &Executor) -> bool {
        Strong::ptr_eq(&self.0.executor, executor.shared())
    }

    /// The group's id.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().build();
    /// assert_eq!(group.id(), group.clone().id());
    /// ```
    pub fn id(&self) -> Id {
        self.0.id
    }

    /// Its name; empty if it was given none.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().name("batch").build();
    /// assert_eq!(group.name(), "batch");
    /// ```
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its weight: its share is its weight over the sum of the weights of all that compete.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().weight(50).build();
    /// assert_eq!(group.weight(), 50);
    /// ```
    pub fn weight(&self) -> u32 {
        load_weight(&self.0.weight)
    }

    /// Changes its weight.
    ///
    /// # Panics
    ///
    /// If the weight is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().build();
    /// group.set_weight(200);
    /// assert_eq!(group.weight(), 200);
    /// ```
    #[track_caller]
    pub fn set_weight(&self, weight: u32) {
        self.0.weight.store(check_weight(weight), Relaxed);
    }

    /// Its slice: how long a task of it may keep a worker from others whose turn has come.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().slice(Duration::from_millis(2)).build();
    /// assert_eq!(group.slice(), Duration::from_millis(2));
    /// ```
    pub fn slice(&self) -> Duration {
        Duration::from_nanos(self.0.slice())
    }

    /// Changes its slice.
    ///
    /// A shorter slice buys earlier turns, not more CPU time: interactive work wants a short one. It is
    /// at least [`SHORTEST_SLICE`] and at most [`LONGEST_SLICE`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().build();
    /// group.set_slice(Duration::from_micros(200));
    /// assert_eq!(group.slice(), Duration::from_micros(200));
    /// ```
    pub fn set_slice(&self, slice: Duration) {
        self.0.slice.store(check_slice(slice), Relaxed);
    }

    /// How much of a core it may use, in thousandths; `None` is no limit.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().build();
    /// assert_eq!(group.cpu_rate(), None);
    /// ```
    pub fn cpu_rate(&self) -> Option<u32> {
        load_rate(&self.0.rate)
    }

    /// Changes how much of a core it may use, in thousandths: 500 is half a core, 2000 are two. `None` is
    /// no limit.
    ///
    /// Kept over windows of [`RATE_WINDOW`]: a group that has used up its window's part is not runnable
    /// until one begins that has some left. What is used beyond it, up to the next preemption point, is
    /// taken from the windows that follow.
    ///
    /// # Panics
    ///
    /// If it is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().build();
    /// group.set_cpu_rate(Some(500));
    /// assert_eq!(group.cpu_rate(), Some(500));
    /// group.set_cpu_rate(None);
    /// ```
    #[track_caller]
    pub fn set_cpu_rate(&self, millicores: Option<u32>) {
        self.0.rate.store(check_rate(millicores), Relaxed);
        let executor = &self.0.executor;
        if executor
            .lane()
            .reconsider(&self.0, executor.platform().now())
        {
            executor.notify();
        }
    }

    /// The tenant that it belongs to.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().build();
    /// assert!(group.tenant().is_none());
    /// ```
    pub fn tenant(&self) -> Option<&Tenant> {
        self.0.tenant.as_ref()
    }

    /// What it has used so far.
    ///
    /// CPU time that was not charged yet, because a task of it has come to no preemption point since,
    /// counts as time on the clock. Where other processes had the core meanwhile, a later reading may be less.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let group = executor.group().build();
    /// drop(executor.build_task().group(&group).spawn(async {}));
    /// assert_eq!(group.stats().live_tasks, 1);
    /// worker.tick();
    /// assert_eq!((group.stats().live_tasks, group.stats().polls), (0, 1));
    /// ```
    pub fn stats(&self) -> GroupStats {
        let executor = &self.0.executor;
        let in_flight = executor
            .lane()
            .in_flight(&self.0, executor.platform().now());
        self.0.counts.snapshot(in_flight)
    }

    /// To be called inside a poll of one of its tasks where that task could be preempted: charges the
    /// CPU time since the last charge, and says whether it is somebody else's turn on this worker: a
    /// fast-lane task, the `run` future, or a task of a group whose turn comes before this one's next.
    ///
    /// Each call ends a slice: for preemption points that come after a slice's worth of work. Where they
    /// come as a clock ticks, [`preemption_tick`](Self::preemption_tick) is the one to call.
    ///
    /// Outside a poll of one of its tasks it charges nothing, and says whether anybody waits at all.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Verdict, Worker, yield_now};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let group = executor.group().build();
    /// let its = group.clone();
    /// let long = async move {
    ///     for _ in 0..1_000 {
    ///         // A slice's worth of work, and then:
    ///         if its.preemption_point() == Verdict::Yield {
    ///             yield_now().await;
    ///         }
    ///     }
    /// };
    /// let task = executor.build_task().group(&group).spawn(long);
    /// worker.run(task).unwrap().unwrap();
    /// ```
    pub fn preemption_point(&self) -> Verdict {
        self.verdict(false)
    }

    /// As [`preemption_point`](Self::preemption_point), for preemption points that come as a clock ticks,
    /// however long the group's slice is: the task goes on until it has used its slice, unless the turn is
    /// that of a group with a shorter one.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Verdict, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let group = executor.group().build();
    /// let its = group.clone();
    /// // Called as a clock ticks, from inside the poll: it is alone, and goes on.
    /// let long = async move { its.preemption_tick() };
    /// let task = executor.build_task().group(&group).spawn(long);
    /// assert_eq!(worker.run(task).unwrap().unwrap(), Verdict::Continue);
    /// ```
    pub fn preemption_tick(&self) -> Verdict {
        self.verdict(true)
    }

    fn verdict(&self, by_time: bool) -> Verdict {
        if self.0.executor.preemption_point(&self.0, by_time) {
            self.0.counts.preempted();
            Verdict::Yield
        } else {
            Verdict::Continue
        }
    }

    /// To be called inside a poll of one of its tasks: charges the CPU time since the last charge, so that
    /// [`stats`](Self::stats) has it at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let group = executor.group().build();
    /// let its = group.clone();
    /// let task = executor.build_task().group(&group).spawn(async move {
    ///     let before = its.stats().cpu_time;
    ///     let sum = (0..100_000_u64).map(std::hint::black_box).sum::<u64>();
    ///     its.charge_poll();
    ///     assert!(its.stats().cpu_time >= before);
    ///     sum
    /// });
    /// assert_eq!(worker.run(task).unwrap().unwrap(), 4_999_950_000);
    /// ```
    pub fn charge_poll(&self) {
        self.0.executor.charge_poll(&self.0);
    }

    /// Charges CPU time that was used for it outside its polls: compiling, tearing down.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().build();
    /// group.charge(Duration::from_millis(3));
    /// assert_eq!(group.stats().cpu_time, Duration::from_millis(3));
    /// ```
    pub fn charge(&self, cpu: Duration) {
        let nanoseconds = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        self.0.counts.charge(nanoseconds);
        let executor = &self.0.executor;
        executor
            .lane()
            .charge_aside(&self.0, nanoseconds, executor.platform().now());
    }

    /// Notes that it holds `bytes` more. Accounting only: limits are the caller's business.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().build();
    /// group.add_memory(4096);
    /// assert_eq!((group.stats().memory, group.stats().peak_memory), (4096, 4096));
    /// ```
    pub fn add_memory(&self, bytes: usize) {
        self.0.counts.add_memory(bytes);
    }

    /// Notes that it holds `bytes` less.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().build();
    /// group.add_memory(4096);
    /// group.sub_memory(4096);
    /// assert_eq!((group.stats().memory, group.stats().peak_memory), (0, 4096));
    /// ```
    pub fn sub_memory(&self, bytes: usize) {
        self.0.counts.sub_memory(bytes);
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("weight", &self.weight())
            .field("tenant", &self.0.tenant)
            .finish_non_exhaustive()
    }
}

// === impl Tenant ===

impl Tenant {
    /// The tenant's id.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// assert_ne!(executor.tenant().build().id(), executor.tenant().build().id());
    /// ```
    pub fn id(&self) -> Id {
        self.0.id
    }

    /// Its name; empty if it was given none.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// assert_eq!(executor.tenant().name("acme").build().name(), "acme");
    /// ```
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its weight, which its groups share.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// assert_eq!(executor.tenant().weight(300).build().weight(), 300);
    /// ```
    pub fn weight(&self) -> u32 {
        load_weight(&self.0.weight)
    }

    /// Changes its weight.
    ///
    /// # Panics
    ///
    /// If the weight is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let tenant = executor.tenant().build();
    /// tenant.set_weight(300);
    /// assert_eq!(tenant.weight(), 300);
    /// ```
    #[track_caller]
    pub fn set_weight(&self, weight: u32) {
        self.0.weight.store(check_weight(weight), Relaxed);
    }

    /// How much of a core its groups may use together, in thousandths; `None` is no limit.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// assert_eq!(executor.tenant().build().cpu_rate(), None);
    /// ```
    pub fn cpu_rate(&self) -> Option<u32> {
        load_rate(&self.0.rate)
    }

    /// Changes how much of a core its groups may use together. See [`Group::set_cpu_rate`].
    ///
    /// # Panics
    ///
    /// If it is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let tenant = executor.tenant().build();
    /// tenant.set_cpu_rate(Some(2000));
    /// assert_eq!(tenant.cpu_rate(), Some(2000));
    /// ```
    #[track_caller]
    pub fn set_cpu_rate(&self, millicores: Option<u32>) {
        self.0.rate.store(check_rate(millicores), Relaxed);
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("weight", &self.weight())
            .finish()
    }
}

// === impl builders ===

impl<'a> GroupBuilder<'a> {
    pub(crate) fn new(executor: &'a Executor) -> Self {
        Self {
            executor,
            name: Cow::Borrowed(""),
            weight: DEFAULT_WEIGHT,
            slice: DEFAULT_SLICE,
            rate: 0,
            tenant: None,
        }
    }

    /// How much of a core it may use, in thousandths; no limit where this is not called. See
    /// [`Group::set_cpu_rate`].
    ///
    /// # Panics
    ///
    /// If it is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().cpu_rate(500).build();
    /// assert_eq!(group.cpu_rate(), Some(500));
    /// ```
    #[track_caller]
    pub fn cpu_rate(mut self, millicores: u32) -> Self {
        self.rate = check_rate(Some(millicores));
        self
    }

    /// Its slice; [`DEFAULT_SLICE`] where this is not called, at least [`SHORTEST_SLICE`]. See
    /// [`Group::set_slice`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().slice(Duration::from_millis(5)).build();
    /// assert_eq!(group.slice(), Duration::from_millis(5));
    /// ```
    pub fn slice(mut self, slice: Duration) -> Self {
        self.slice = slice;
        self
    }

    /// A name for traces and statistics.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().name(format!("run {}", 7)).build();
    /// assert_eq!(group.name(), "run 7");
    /// ```
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Its weight; [`DEFAULT_WEIGHT`] where this is not called.
    ///
    /// # Panics
    ///
    /// If the weight is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().weight(25).build();
    /// assert_eq!(group.weight(), 25);
    /// ```
    #[track_caller]
    pub fn weight(mut self, weight: u32) -> Self {
        let _ = check_weight(weight);
        self.weight = weight;
        self
    }

    /// Makes it one of a tenant's groups.
    ///
    /// # Panics
    ///
    /// If the tenant belongs to another executor: what its groups use there would not be seen here.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let tenant = executor.tenant().name("acme").build();
    /// let groups = [1, 2].map(|_| executor.group().tenant(&tenant).build());
    /// assert_eq!(groups[0].tenant().unwrap().id(), groups[1].tenant().unwrap().id());
    /// ```
    #[track_caller]
    pub fn tenant(mut self, tenant: &Tenant) -> Self {
        assert!(
            Strong::ptr_eq(&tenant.0.executor, self.executor.shared()),
            "the tenant `{}` belongs to another executor",
            tenant.name()
        );
        self.tenant = Some(tenant.clone());
        self
    }

    /// Makes the group.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let group = executor.group().build();
    /// assert_eq!(group.name(), "");
    /// ```
    pub fn build(self) -> Group {
        let shared = self.executor.shared();
        Group(Arc::new(GroupInner {
            id: Id(shared.next_ids(1)),
            name: self.name,
            weight: AtomicUsize::new(self.weight as usize),
            slice: AtomicUsize::new(check_slice(self.slice)),
            rate: AtomicUsize::new(self.rate),
            tenant: self.tenant,
            counts: Counts::default(),
            queue: lane::GroupQueue::new(),
            executor: shared.clone(),
        }))
    }
}

impl<'a> TenantBuilder<'a> {
    pub(crate) fn new(executor: &'a Executor) -> Self {
        Self {
            executor,
            name: Cow::Borrowed(""),
            weight: DEFAULT_WEIGHT,
            rate: 0,
        }
    }

    /// How much of a core its groups may use together, in thousandths; no limit where this is not called.
    /// See [`Group::set_cpu_rate`].
    ///
    /// # Panics
    ///
    /// If it is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let tenant = executor.tenant().cpu_rate(1000).build();
    /// assert_eq!(tenant.cpu_rate(), Some(1000));
    /// ```
    #[track_caller]
    pub fn cpu_rate(mut self, millicores: u32) -> Self {
        self.rate = check_rate(Some(millicores));
        self
    }

    /// A name for traces and statistics.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let tenant = executor.tenant().name("acme").build();
    /// assert_eq!(tenant.name(), "acme");
    /// ```
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Its weight; [`DEFAULT_WEIGHT`] where this is not called.
    ///
    /// # Panics
    ///
    /// If the weight is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// let tenant = executor.tenant().weight(10).build();
    /// assert_eq!(tenant.weight(), 10);
    /// ```
    #[track_caller]
    pub fn weight(mut self, weight: u32) -> Self {
        let _ = check_weight(weight);
        self.weight = weight;
        self
    }

    /// Makes the tenant.
    ///
    /// # Examples
    ///
    /// ```
    /// let executor = hart_executor::Executor::new();
    /// assert_eq!(executor.tenant().build().name(), "");
    /// ```
    pub fn build(self) -> Tenant {
        Tenant(Arc::new(TenantInner {
            id: Id(self.executor.shared().next_ids(1)),
            name: self.name,
            weight: AtomicUsize::new(self.weight as usize),
            active_weight: AtomicUsize::new(0),
            rate: AtomicUsize::new(self.rate),
            standing: Mutex::new(lane::TenantStanding::default()),
            executor: self.executor.shared().clone(),
        }))
    }
}
