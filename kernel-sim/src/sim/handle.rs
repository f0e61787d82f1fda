//! The handle to a machine: its clock, its groups, how it is closed, and what may go wrong with its tasks.

use super::sleep::Sleep;
use crate::{
    machine::{Machine, Occurrence, Status},
    oracle::Oracle,
    random::stream,
    switch,
    trace::{Event, TaskNumber},
};
use hart_executor::{Executor, Group, TaskRef, Verdict, yield_now};
use std::sync::{Arc, Mutex, PoisonError};

/// A handle to a simulated machine and the executor that runs on it. Clones are handles to the same.
#[derive(Clone)]
pub struct Sim {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) machine: Arc<Machine>,
    pub(crate) executor: Executor,
    /// Of live tasks, for cancels that come from nowhere.
    pub(crate) refs: Mutex<Vec<Option<TaskRef>>>,
    pub(crate) keep_refs: bool,
    /// Whose guests run on the machine.
    pub(crate) host: Option<Box<dyn GuestHost>>,
}

/// A host of guests, as the runner sees it.
pub(crate) trait GuestHost: Send + Sync {
    /// Closes it and its executor.
    fn close(&self);
    /// Cancels some run.
    fn cancel(&self);
    /// Whether no guest is left, those included that are no tasks yet.
    fn is_idle(&self) -> bool;
    /// When it wants `expire` to be called.
    fn next_deadline(&self) -> Option<u64>;
    fn expire(&self);
}

/// A group of tasks on the machine.
#[derive(Clone, Debug)]
pub struct SimGroup {
    pub(super) group: Group,
    pub(super) number: u32,
}

impl SimGroup {
    /// The executor's group.
    pub fn group(&self) -> &Group {
        &self.group
    }
}

impl Sim {
    pub(crate) fn machine(&self) -> &Machine {
        &self.inner.machine
    }

    /// The executor. Tasks that are spawned on it directly run like all others, but the oracles do not see
    /// them: [`spawn`](Self::spawn) is what they watch.
    pub fn executor(&self) -> &Executor {
        &self.inner.executor
    }

    /// Virtual nanoseconds since the machine started.
    pub fn now(&self) -> u64 {
        self.machine().time()
    }

    /// How many harts there are.
    pub fn harts(&self) -> usize {
        self.machine().lock().harts.len()
    }

    /// A generator of random numbers, of the machine's seed and `purpose`.
    pub fn random(&self, purpose: u64) -> fastrand::Rng {
        stream(self.machine().lock().seed, purpose.wrapping_add(1 << 32))
    }

    /// Keeps the calling task's hart busy for so long. Others go on meanwhile: no lock that they might want
    /// may be held across this call.
    pub fn spend(&self, nanoseconds: u64) {
        self.machine().spend(nanoseconds);
    }

    /// Computes for `nanoseconds` in a group, with a preemption point after every `chunk`.
    pub async fn compute(&self, group: &SimGroup, nanoseconds: u64, chunk: u64) {
        self.compute_to(nanoseconds, chunk, || self.preemption_point(group))
            .await;
    }

    /// The same, but a clock ticks after every `chunk`: the task goes on until it has used its group's slice.
    pub(crate) async fn compute_by_clock(&self, group: &SimGroup, nanoseconds: u64, chunk: u64) {
        let tick = || self.noted(group.group.preemption_tick());
        self.compute_to(nanoseconds, chunk, tick).await;
    }

    async fn compute_to(&self, nanoseconds: u64, chunk: u64, point: impl Fn() -> Verdict) {
        let mut left = nanoseconds;
        while left > 0 {
            let now = left.min(chunk.max(1));
            self.spend(now);
            left -= now;
            if point() == Verdict::Yield {
                yield_now().await;
            }
        }
    }

    /// A preemption point of a task of `group`.
    pub fn preemption_point(&self, group: &SimGroup) -> Verdict {
        self.noted(group.group.preemption_point())
    }

    fn noted(&self, verdict: Verdict) -> Verdict {
        if verdict == Verdict::Yield {
            let mut state = self.machine().lock();
            state.preemptions += 1;
            let task = state.current.and_then(|hart| state.harts[hart].polling);
            if let (hart, Some(task)) = (state.current, task) {
                state.record(hart, Event::Preempted { task });
            }
        }
        verdict
    }

    /// A future that is ready after so many virtual nanoseconds.
    pub fn sleep(&self, nanoseconds: u64) -> Sleep {
        Sleep::new(self.inner.machine.clone(), nanoseconds)
    }

    /// Makes a group of tasks.
    pub fn group(&self, name: &str, weight: u32) -> SimGroup {
        let group = self.executor().group().name(name.to_owned());
        self.adopt(group.weight(weight).build())
    }

    /// A group of the machine's executor, with the machine's account of it.
    pub(crate) fn adopt(&self, group: Group) -> SimGroup {
        let mut state = self.machine().lock();
        state.groups.push(crate::machine::GroupInfo {
            name: group.name().to_owned(),
            ..Default::default()
        });
        SimGroup {
            group,
            number: u32::try_from(state.groups.len() - 1).expect("fewer groups than that"),
        }
    }

    /// What the tasks of a group have spent, by the machine's own account.
    pub fn spent(&self, group: &SimGroup) -> u64 {
        self.machine().lock().groups[group.number as usize].spent
    }

    /// Calls `f` from outside every hart, in so many nanoseconds.
    pub fn outside(&self, nanoseconds: u64, f: impl FnOnce() + Send + 'static) {
        let mut state = self.machine().lock();
        if state.closed {
            return;
        }
        let at = state.now + nanoseconds;
        state.schedule(at, Occurrence::Call(Box::new(f)));
    }

    /// Closes the executor, and checks what that promises.
    pub fn close(&self) {
        let mut state = self.machine().lock();
        let first = !std::mem::replace(&mut state.closing, true);
        let current = state.current;
        state.record(current, Event::Closed);
        drop(state);
        match &self.inner.host {
            Some(host) => host.close(),
            None => self.executor().close(),
        }
        let mut state = self.machine().lock();
        if first {
            // A second close may return while the first is under way.
            state.closed = true;
            state.check_closed();
        }
        drop(state);
        self.machine().stop_if_failed();
    }

    /// Whether a close was begun.
    pub fn is_closed(&self) -> bool {
        self.machine().lock().closing
    }

    /// Says that something does not hold which the workload expects.
    pub fn expect(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.machine().fail(Oracle::Workload, what);
        }
    }

    /// Says so of one of the machine's own promises.
    pub(crate) fn check(&self, holds: bool, oracle: Oracle, seen: impl FnOnce() -> String) {
        if !holds {
            self.machine().fail(oracle, seen);
        }
    }

    /// Time by which clocks and harts were disturbed so far.
    #[allow(
        dead_code,
        reason = "for the bound that shares are held to, which comes next"
    )]
    pub(crate) fn disturbed(&self) -> u64 {
        self.machine().lock().disturbed
    }

    /// How many lanes there are.
    pub(crate) fn lanes(&self) -> u64 {
        self.machine().lock().lanes.len() as u64
    }

    /// The most that a hart's work takes, in percent.
    #[allow(
        dead_code,
        reason = "for the bound that shares are held to, which comes next"
    )]
    pub(crate) fn slowest(&self) -> u64 {
        let state = self.machine().lock();
        state
            .harts
            .iter()
            .map(|hart| hart.slowness)
            .max()
            .unwrap_or(100)
    }

    // === for the runner ===

    /// Cancels some live task.
    pub(crate) fn cancel_any(&self) {
        if let Some(host) = &self.inner.host {
            let current = None;
            self.machine().lock().record(current, Event::CancelledRun);
            host.cancel();
            return;
        }
        let task = {
            let mut state = self.machine().lock();
            if state.tasks.is_empty() {
                return;
            }
            let len = state.tasks.len();
            let start = state.rng.usize(..len);
            (start..len.min(start + 64))
                .find(|&task| state.tasks[task].ending.is_none())
                .and_then(|task| TaskNumber::try_from(task).ok())
        };
        let Some(task) = task else { return };
        let refs = self.inner.refs.lock();
        let found = refs
            .unwrap_or_else(PoisonError::into_inner)
            .get(task as usize)
            .cloned()
            .flatten();
        if let Some(found) = found {
            self.cancel(task, &found);
        }
    }

    pub(crate) fn cancel(&self, task: TaskNumber, handle: &TaskRef) {
        let mut state = self.machine().lock();
        let current = state.current;
        state.tasks[task as usize].cancelled = true;
        state.record(current, Event::Cancelled { task });
        drop(state);
        handle.cancel();
        let mut state = self.machine().lock();
        let info = &state.tasks[task as usize];
        if info.ending.is_none() && !info.polling && !state.closing {
            let name = info.name.clone();
            state.fail(Oracle::Cancel, || {
                format!("the future of task {task} ({name}) is there after its cancel returned, and nobody polls it")
            });
        }
        drop(state);
        self.machine().stop_if_failed();
    }

    /// Handles a timer's interrupt on `hart`.
    pub(crate) fn interrupt(&self, hart: Option<usize>, waker: std::task::Waker) {
        debug_assert!(!switch::may_pause());
        let mut state = self.machine().lock();
        let hart =
            hart.filter(|&hart| matches!(state.harts[hart].status, Status::Ready | Status::Parked));
        state.current = hart;
        state.record(hart, Event::Timer);
        drop(state);
        waker.wake();
        self.machine().lock().current = None;
    }
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim").finish_non_exhaustive()
    }
}
