//! One task's kill switch and books.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use hart_executor::{Platform, TaskRef, Verdict};
use wasmtime::Store;

use crate::account::Account;
use crate::clock::{Expire, TimerKey};
use crate::runtime::Inner;
use crate::sync::lock;
use crate::{LimitKind, LimitReached, Limits};

/// Why a task is ended from outside. The first reason stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kill {
    /// It was cancelled, or the task that it belonged to ended.
    Cancelled,
    /// Its scope or the host was closed.
    Closed,
    /// It reached a limit.
    Limit(LimitReached),
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::Closed => f.write_str("the task's scope was closed"),
            Self::Limit(limit) => limit.fmt(f),
        }
    }
}

/// The error that a guest's call returns when the task was killed while the guest ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed(pub Kill);

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Killed {}

/// What one task may use by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TaskLimits {
    pub(crate) memory: Option<u64>,
    pub(crate) cpu_time: Option<Duration>,
    pub(crate) fuel: Option<u64>,
    /// Elements that one of its tables may have.
    pub(crate) table_elements: Option<usize>,
}

impl TaskLimits {
    /// What each task of a group has that has these.
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            memory: limits.task_memory,
            cpu_time: limits.task_cpu_time,
            fuel: limits.task_fuel,
            table_elements: None,
        }
    }
}

/// What brought a guest to a preemption point.
#[derive(Clone, Copy)]
pub(super) enum Trigger {
    /// A tick of the clock, however much of its slice it has used.
    Epoch,
    /// The end of a slice of fuel.
    Fuel,
}

const KILLED: u8 = 1;
const ENDED: u8 = 2;

/// One task's kill switch and books.
pub(crate) struct Control {
    pub(crate) runtime: Arc<Inner>,
    pub(crate) account: Arc<Account>,
    pub(crate) limits: TaskLimits,
    /// Whether a preemption point has CPU time to check.
    limited: bool,
    kill: OnceLock<Kill>,
    /// `KILLED` and `ENDED`: whoever sets the second one settles with the clock.
    state: AtomicU8,
    /// Set by whoever spawned the executor's task; a kill before that finds nothing to cancel.
    task: OnceLock<TaskRef>,
    timer: Mutex<Option<TimerKey>>,
    /// Bytes of the instance, as the limiter saw them.
    grown: AtomicU64,
    /// Bytes of the instance that the account knows: at least `grown`, more where room was reserved.
    room: AtomicU64,
    /// Bytes held in the account for it in all: `room` and its input.
    held: AtomicU64,
    /// CPU time of earlier polls, nanoseconds; kept only where `limits.cpu_time` is set.
    cpu_used: AtomicU64,
    /// The thread's CPU clock when the present poll began.
    poll_began: AtomicU64,
    /// When it was preempted, if it has not gone on since: nanoseconds of the platform's clock.
    preempted_at: AtomicU64,
    /// The guest asked to yield in the present poll.
    pub(crate) yielded: AtomicBool,
    /// A wake during the poll may be a fuel yield.
    pub(crate) fuel: AtomicBool,
    /// Units of fuel that the store was given.
    budget: AtomicU64,
    /// The limit that the budget comes from, if there is one.
    fuel_limit: OnceLock<LimitReached>,
    /// Units that were counted as used, in slices.
    burnt: AtomicU64,
    /// Units of fuel in a slice; none while the store is not armed.
    pub(super) slice: AtomicU64,
    /// Units that the guest has used of the slice in which it ended.
    pub(super) last_fuel: AtomicU64,
}

impl Control {
    pub(crate) fn new(runtime: Arc<Inner>, account: Arc<Account>, limits: TaskLimits) -> Arc<Self> {
        let fuel = AtomicBool::new(runtime.meters_fuel());
        let limited = limits.cpu_time.is_some() || account.limits_cpu();
        Arc::new(Self {
            runtime,
            account,
            limits,
            limited,
            kill: OnceLock::new(),
            state: AtomicU8::new(0),
            task: OnceLock::new(),
            timer: Mutex::new(None),
            grown: AtomicU64::new(0),
            room: AtomicU64::new(0),
            held: AtomicU64::new(0),
            cpu_used: AtomicU64::new(0),
            poll_began: AtomicU64::new(0),
            preempted_at: AtomicU64::new(0),
            yielded: AtomicBool::new(false),
            fuel,
            budget: AtomicU64::new(u64::MAX),
            fuel_limit: OnceLock::new(),
            burnt: AtomicU64::new(0),
            slice: AtomicU64::new(0),
            last_fuel: AtomicU64::new(0),
        })
    }

    // === impl Control: kill ===

    /// Why it is being ended, if it is. Everything is, once the runtime is closed.
    pub(crate) fn killed(&self) -> Option<Kill> {
        let own = self.kill.get().copied();
        own.or_else(|| self.runtime.is_closed().then_some(Kill::Closed))
    }

    /// Says that the task must end. What is left to do is to [`reap`](crate::runtime::Inner::reap)
    /// it; a guest that runs stops at its next preemption point but one.
    pub(crate) fn kill(&self, kill: Kill) {
        if self.kill.set(kill).is_err() {
            return;
        }
        // AcqRel: pairs with `end`, so that exactly one side sees the other.
        if self.state.fetch_or(KILLED, Ordering::AcqRel) & ENDED == 0 {
            self.runtime.clock.killed();
        }
    }

    /// The task's future is gone, its store with it: gives back what it held.
    pub(crate) fn end(&self) {
        let before = self.state.fetch_or(ENDED, Ordering::AcqRel);
        if before & ENDED != 0 {
            return;
        }
        if before & KILLED != 0 {
            self.runtime.clock.buried();
        }
        if let Some(key) = lock(&self.timer).take() {
            self.runtime.clock.forget(key);
        }
        self.account.release(self.held.swap(0, Ordering::Relaxed));
    }

    fn has_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) & ENDED != 0
    }

    /// Remembers the executor's task; to be called once, after the spawn.
    pub(crate) fn spawned(self: &Arc<Self>, task: TaskRef) {
        // A second call would be a bug of ours, and the first task is the one that counts.
        let _ = self.task.set(task);
        // A kill that came before found no task to cancel.
        if self.killed().is_some() && !self.has_ended() {
            self.runtime.reap(self.clone());
        }
    }

    /// The executor's task, if it has been spawned and has not ended.
    pub(crate) fn task(&self) -> Option<TaskRef> {
        if self.has_ended() {
            None
        } else {
            self.task.get().cloned()
        }
    }

    /// Drops the task's future, and its store with it, and charges that to its group. On a worker.
    pub(crate) fn dispose(&self) {
        let Some(task) = self.task() else {
            return;
        };
        let began = self.runtime.platform.cpu_time();
        task.cancel();
        let used = self.runtime.platform.cpu_time().saturating_sub(began);
        self.account.group.charge(Duration::from_nanos(used));
    }

    /// Calls `expire` of `target` at `deadline`; forgotten when the task ends.
    pub(crate) fn set_timer(&self, deadline: Instant, target: Weak<dyn Expire>) {
        let key = self.runtime.clock.at(deadline, target);
        if let Some(old) = lock(&self.timer).replace(key) {
            self.runtime.clock.forget(old);
        }
        if self.has_ended()
            && let Some(key) = lock(&self.timer).take()
        {
            self.runtime.clock.forget(key);
        }
    }

    // === impl Control: polls and preemption points ===

    /// A poll begins on this thread.
    pub(super) fn enter(&self) {
        self.runtime.crew.beat();
        self.runtime
            .clock
            .enter(self.limited, &self.runtime.executor);
        if self.preempted_at.load(Ordering::Relaxed) != 0 {
            let since = self.preempted_at.swap(0, Ordering::Relaxed);
            self.account
                .went_on(self.runtime.platform.now().saturating_sub(since));
        }
        if self.limits.cpu_time.is_some() {
            self.poll_began
                .store(self.runtime.platform.cpu_time(), Ordering::Relaxed);
        }
    }

    /// The poll ends.
    pub(super) fn leave(&self) {
        self.runtime.crew.beat();
        self.runtime.clock.leave(self.limited);
        if self.limits.cpu_time.is_some() {
            self.cpu_used
                .fetch_add(self.cpu_in_poll(), Ordering::Relaxed);
        }
    }

    fn cpu_in_poll(&self) -> u64 {
        self.runtime
            .platform
            .cpu_time()
            .saturating_sub(self.poll_began.load(Ordering::Relaxed))
    }

    /// A preemption point was reached in the present poll: must the guest end, give way, or go on?
    pub(super) fn preemption_point(&self, trigger: Trigger) -> Result<Verdict, Kill> {
        self.runtime.crew.passes_point();
        if let Some(kill) = self.killed() {
            return Err(kill);
        }
        // Before the limits are compared: it charges the time since the last charge.
        let verdict = match trigger {
            Trigger::Epoch => self.account.group.preemption_tick(),
            Trigger::Fuel => self.account.group.preemption_point(),
        };
        if matches!(trigger, Trigger::Fuel) {
            let slice = self.slice.load(Ordering::Relaxed);
            self.burnt.fetch_add(slice, Ordering::Relaxed);
            self.account.use_fuel(slice);
            if let Some((0, limit)) = self.account.fuel_left() {
                return Err(self.reached(limit));
            }
        }
        if self.limited
            && let Some(limit) = self.cpu_limit_reached()
        {
            return Err(self.reached(limit));
        }
        Ok(verdict)
    }

    /// Ends the guest because of a limit; why it ends is said by whoever was first.
    fn reached(&self, limit: LimitReached) -> Kill {
        let kill = Kill::Limit(limit);
        self.kill(kill);
        self.killed().unwrap_or(kill)
    }

    /// The guest gives way at a preemption point.
    pub(super) fn preempted(&self) {
        self.preempted_at
            .store(self.runtime.platform.now().max(1), Ordering::Relaxed);
        self.account.preemptions.fetch_add(1, Ordering::Relaxed);
        self.runtime.count(|worker| &worker.preemptions);
    }

    /// Whether it was preempted in its last poll.
    pub(crate) fn is_preempted(&self) -> bool {
        self.preempted_at.load(Ordering::Relaxed) != 0
    }

    // === impl Control: fuel ===

    /// What the store may use: the task's own limit, or what its run and its tenant have left.
    pub(super) fn fuel_budget(&self) -> u64 {
        let own = self
            .limits
            .fuel
            .map(|limit| (limit, LimitReached::new(LimitKind::TaskFuel, limit)));
        let least = own
            .into_iter()
            .chain(self.account.fuel_left())
            .min_by_key(|(left, _)| *left);
        let Some((budget, limit)) = least else {
            return u64::MAX;
        };
        self.budget.store(budget, Ordering::Relaxed);
        // Armed once more, where an instance has to be made again: the first limit is as good.
        let _ = self.fuel_limit.set(limit);
        budget
    }

    /// The limit that a guest has reached which is out of fuel.
    pub(crate) fn fuel_limit(&self) -> Option<LimitReached> {
        self.fuel_limit.get().copied()
    }

    /// The guest has ended: notes what it has used, and what of its last slice.
    pub(crate) fn note_fuel<T>(&self, store: &Store<T>) {
        let slice = self.slice.load(Ordering::Relaxed);
        if slice > 0
            && let Ok(left) = store.get_fuel()
        {
            let used = self.budget.load(Ordering::Relaxed).saturating_sub(left);
            self.last_fuel.store(used % slice, Ordering::Relaxed);
            // Of the slices some may have been counted too many: a wake in the middle of a poll looks like one.
            let burnt = self.burnt.swap(used, Ordering::Relaxed);
            self.account.use_fuel(used.saturating_sub(burnt));
            self.account.return_fuel(burnt.saturating_sub(used));
        }
    }

    fn cpu_limit_reached(&self) -> Option<LimitReached> {
        if let Some(limit) = self.limits.cpu_time {
            let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
            if self
                .cpu_used
                .load(Ordering::Relaxed)
                .saturating_add(self.cpu_in_poll())
                >= limit
            {
                return Some(LimitReached::new(LimitKind::TaskCpuTime, limit));
            }
        }
        self.account.cpu_limit_reached()
    }

    // === impl Control: memory ===

    /// Holds bytes for the task until it ends, beside those of its instance.
    pub(crate) fn hold(&self, bytes: u64) -> Result<(), LimitReached> {
        self.account.hold(bytes)?;
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Reserves room for the task's instance before it exists.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), LimitReached> {
        self.hold(bytes)?;
        self.room.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Whether it may have an instance of so many bytes.
    pub(crate) fn may_have_instance(&self, bytes: u64) -> bool {
        self.limits.memory.is_none_or(|limit| bytes <= limit)
    }

    /// Takes over an instance of so many bytes, which the account holds. What was reserved for one is not needed.
    pub(crate) fn take_instance(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        let reserved = self.room.swap(bytes, Ordering::Relaxed);
        self.grown.store(bytes, Ordering::Relaxed);
        self.give_up(reserved);
    }

    /// The instance is not the task's any more: the account holds it, and so many bytes for it.
    #[must_use]
    pub(crate) fn leave_instance(&self) -> u64 {
        let bytes = self.grown.swap(0, Ordering::Relaxed);
        let room = self.room.swap(0, Ordering::Relaxed);
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.give_up(room - bytes);
        bytes
    }

    /// Undoes [`hold`](Self::hold).
    fn give_up(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.account.release(bytes);
    }

    /// What there was of the task's instance is gone, and another one will be made in the room that it had.
    pub(crate) fn instance_gone(&self) {
        self.grown.store(0, Ordering::Relaxed);
    }

    /// Whether the simulated machine, if there is one, has no memory for the guest's growth.
    pub(super) fn has_no_memory(&self) -> bool {
        self.runtime
            .machine
            .as_ref()
            .is_some_and(|machine| machine.refuses_memory())
    }

    /// The instance grows by `bytes`. Called by the limiter, on the thread that polls the task.
    pub(super) fn grow(&self, bytes: u64) -> Result<(), LimitReached> {
        let grown = self.grown.load(Ordering::Relaxed).saturating_add(bytes);
        if let Some(limit) = self.limits.memory
            && grown > limit
        {
            return Err(LimitReached::new(LimitKind::TaskMemory, limit));
        }
        let missing = grown.saturating_sub(self.room.load(Ordering::Relaxed));
        if missing > 0
            && let Err(reached) = self.reserve(missing)
        {
            // Instances that nobody uses are kept only where there is room.
            if !self.runtime.relieve(&self.account) {
                return Err(reached);
            }
            self.reserve(missing)?;
        }
        self.grown.store(grown, Ordering::Relaxed);
        Ok(())
    }
}
