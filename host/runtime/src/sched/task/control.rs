//! One task's kill switch and books.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use hart_executor::{Platform, TaskRef, Verdict};
use wasmtime::Store;

use crate::base::sync::lock;
use crate::quota::account::Account;
use crate::quota::kill::Kill;
use crate::quota::limits::{LimitKind, LimitReached, Limits};
use crate::sched::clock::timers::{Expire, TimerKey};
use crate::sched::core::Core;
use crate::sched::task::call_budget::CallBudget;
use crate::sched::task::growing::Growing;
use crate::sched::task::wake::{PollWaker, Polling};

/// What one task may use by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TaskLimits {
    pub(crate) memory: Option<u64>,
    pub(crate) cpu_time: Option<Duration>,
    pub(crate) fuel: Option<u64>,
    /// Bytes that one of its memories may have, and elements that one of its tables may.
    pub(crate) memory_size: Option<usize>,
    pub(crate) table_elements: Option<usize>,
    /// It is one of many: a guest has spawned it.
    pub(crate) spawned: bool,
}

impl TaskLimits {
    /// What each task of a group has that has these.
    pub(crate) fn of(limits: &Limits) -> Self {
        let size = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            memory: limits.task_memory,
            cpu_time: limits.task_cpu_time,
            fuel: limits.task_fuel,
            memory_size: limits.memory_size.map(size),
            table_elements: limits.table_elements.map(size),
            spawned: false,
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
    /// The way back from the host, where the clock asks for it.
    HostCall,
}

const KILLED: u8 = 1;
const ENDED: u8 = 2;

/// One task's kill switch and books.
pub(crate) struct Control {
    pub(crate) runtime: Arc<Core>,
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
    pub(super) grown: AtomicU64,
    /// Bytes of the instance that the account knows: at least `grown`, more where room was reserved.
    pub(super) room: AtomicU64,
    /// Bytes held in the account for it in all: `room` and its input.
    pub(super) held: AtomicU64,
    /// Why its store has no room for more handles, if it was refused more.
    pub(super) handles_limit: Mutex<Option<LimitReached>>,
    /// The last growth, which may still fail. Only the thread that polls the task touches it.
    pub(super) growing: Growing,
    /// CPU time of earlier polls, nanoseconds; kept only where `limits.cpu_time` is set.
    pub(super) cpu_used: AtomicU64,
    pub(super) call: CallBudget,
    /// The thread's CPU clock when the present poll began.
    poll_began: AtomicU64,
    /// When it was preempted, if it has not gone on since: nanoseconds of the platform's clock.
    preempted_at: AtomicU64,
    /// What its task's wakers do.
    pub(super) waker: PollWaker,
    /// What the clock had asked for when the guest was last at a preemption point.
    answered: AtomicU64,
    /// Whether a future of the embedder's own stands around the guest's calls.
    pub(super) surrounded: AtomicBool,
    /// That future has not been polled past the guest's call since the task was last woken.
    pub(super) unseen: AtomicBool,
    /// The guest has given way to it, and only to it.
    pub(super) again: AtomicBool,
    /// That future has woken the task in its last poll, so the next poll has to come back to it.
    pub(super) recalled: AtomicBool,
    /// The guest gives way in the present poll.
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
    /// Handles of the component model that its store may have, where that was armed.
    pub(super) own_handles: AtomicU32,
    /// It is a guest of a host's: while it lives it may have a slot in the host's pool.
    in_pool: AtomicBool,
}

impl Control {
    pub(crate) fn new(runtime: Arc<Core>, account: Arc<Account>, limits: TaskLimits) -> Arc<Self> {
        let fuel = AtomicBool::new(runtime.meters_fuel());
        let limited =
            limits.cpu_time.is_some() || account.limits_cpu() || runtime.profile.get().is_some();
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
            handles_limit: Mutex::default(),
            growing: Growing::default(),
            cpu_used: AtomicU64::new(0),
            call: CallBudget::none(),
            poll_began: AtomicU64::new(0),
            preempted_at: AtomicU64::new(0),
            waker: PollWaker::default(),
            answered: AtomicU64::new(0),
            surrounded: AtomicBool::new(false),
            unseen: AtomicBool::new(false),
            again: AtomicBool::new(false),
            recalled: AtomicBool::new(false),
            yielded: AtomicBool::new(false),
            fuel,
            budget: AtomicU64::new(u64::MAX),
            fuel_limit: OnceLock::new(),
            burnt: AtomicU64::new(0),
            slice: AtomicU64::new(0),
            last_fuel: AtomicU64::new(0),
            own_handles: AtomicU32::new(0),
            in_pool: AtomicBool::new(false),
        })
    }

    /// It is a guest of a host's.
    pub(crate) fn goes_into_pool(&self) {
        self.in_pool.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_in_pool(&self) -> bool {
        self.in_pool.load(Ordering::Relaxed)
    }

    // === impl Control: kill ===

    /// Why it is being ended, if it is. Everything is, once the runtime is closed.
    pub(crate) fn killed(&self) -> Option<Kill> {
        let own = self.kill.get().copied();
        own.or_else(|| self.account.killed())
            .or_else(|| self.runtime.is_closed().then_some(Kill::Closed))
    }

    /// Says that the task must end. What is left to do is to [`reap`](crate::sched::core::Core::reap)
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
        self.settle();
        self.waker.forget();
        self.account.release(self.held.swap(0, Ordering::Relaxed));
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) & ENDED != 0
    }

    /// Remembers the executor's task; to be called once, after the spawn.
    pub(crate) fn spawned(self: &Arc<Self>, task: TaskRef) {
        // A second call would be a bug of ours, and the first task is the one that counts.
        let _ = self.task.set(task);
        // A kill that came before found no task to cancel.
        if self.killed().is_some() && !self.has_ended() {
            self.reap();
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

    /// Drops what a killed task holds, on a worker: a store can be big, and the caller may be the clock, a
    /// guest in the middle of a host call, or the embedder's own event loop. An executor that is closed drops
    /// all futures itself.
    pub(crate) fn reap(self: &Arc<Self>) {
        if self.task().is_some() {
            let this = self.clone();
            self.runtime
                .spawn_for(&self.account.group, "reaper", async move { this.discard() });
        }
    }

    /// The same, before any guest's next turn: for a task that an embedder ends by itself. Its group pays.
    pub(crate) fn reap_now(self: &Arc<Self>) {
        if self.task().is_some() {
            let this = self.clone();
            self.runtime
                .spawn_aside("reaper", async move { this.dispose() });
        }
    }

    /// Drops the task's future, and its store with it, at the expense of whoever calls.
    pub(crate) fn discard(&self) {
        if let Some(task) = self.task() {
            task.cancel();
        }
    }

    /// The same, at the expense of the task's group. On a worker, outside of its lane.
    pub(crate) fn dispose(&self) {
        let began = self.runtime.platform.cpu_time();
        self.discard();
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
        self.answer();
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
        self.settle();
        self.runtime.clock.leave(self.limited);
        if self.limits.cpu_time.is_some() {
            self.cpu_used
                .fetch_add(self.cpu_in_poll(), Ordering::Relaxed);
        }
    }

    pub(super) fn cpu_in_poll(&self) -> u64 {
        self.runtime
            .platform
            .cpu_time()
            .saturating_sub(self.poll_began.load(Ordering::Relaxed))
    }

    /// A future of the embedder's own calls into the guest: it is to see everything that it waits for beside the call.
    pub(crate) fn surround(&self) {
        self.surrounded.store(true, Ordering::Relaxed);
        // From the poll on that goes on.
        self.unseen.store(true, Ordering::Relaxed);
    }

    /// A poll has returned: whether the next one has to come back to the future that stands around the guest.
    pub(super) fn recall(&self, polling: &Polling<'_>) {
        let recalled = self.surrounded.load(Ordering::Relaxed)
            && polling.is_woken_beside(self.fuel.load(Ordering::Relaxed));
        self.recalled.store(recalled, Ordering::Relaxed);
    }

    /// The guest, or the embedder's code around it, is about to let others run by its own wish.
    pub(crate) fn yields(&self) {
        self.yielded.store(true, Ordering::Relaxed);
        self.waker.gives_way();
    }

    /// The guest gives way to the future that stands around it, if that has not been polled yet since the task was
    /// woken. Says whether it does: only for that, so it is polled again at once.
    pub(super) fn shows_itself(&self) -> bool {
        let unseen = self.unseen.swap(false, Ordering::Relaxed);
        self.again.fetch_or(unseen, Ordering::Relaxed);
        unseen
    }

    fn answer(&self) {
        self.answered
            .store(self.runtime.clock.asked(), Ordering::Relaxed);
    }

    /// Guest code goes on in the present poll: whether it must first come to a preemption point.
    pub(super) fn is_asked(&self) -> bool {
        self.waker.notice(&self.runtime.clock);
        self.runtime.clock.asked() != self.answered.load(Ordering::Relaxed)
    }

    /// A preemption point was reached in the present poll: must the guest end, give way, or go on?
    pub(super) fn preemption_point(&self, trigger: Trigger) -> Result<Verdict, Kill> {
        // Before everything else is looked at: what comes later is asked for again.
        self.answer();
        self.runtime.crew.passes_point();
        self.settle();
        if let Some(kill) = self.killed() {
            return Err(kill);
        }
        // Before the limits are compared: it charges the time since the last charge.
        let verdict = match trigger {
            Trigger::Epoch | Trigger::HostCall => self.account.group.preemption_tick(),
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

    /// It is over before it went on: a poll that only disposes of it is not preempted.
    pub(super) fn does_not_go_on(&self) {
        self.preempted_at.store(0, Ordering::Relaxed);
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
}

impl Expire for Control {
    fn expire(self: Arc<Self>) {
        let timeout = self.account.limits.timeout.unwrap_or_default();
        self.kill(Kill::Limit(LimitReached::time(LimitKind::Timeout, timeout)));
        self.reap_now();
    }
}
