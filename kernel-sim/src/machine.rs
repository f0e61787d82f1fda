//! The machine: harts, one clock, interrupts.
//!
//! **Time.** The clock stands still while code runs; a hart notes what its code costs, and is busy for that
//! long when it pauses. Another goes on meanwhile. So a poll that spends a millisecond is in flight for that
//! long: others may wake its task, cancel it, steal beside it, close the executor.
//!
//! **Where a hart pauses.** Between two steps of its worker; where a task spends time; where an interrupt was
//! sent; where it waits for one. The executor holds no lock at any of these, as it calls foreign code there.
//!
//! **Interrupts.** Sent by `unpark`, they arrive after a delay and leave a token. Timers arrive on the hart
//! that set them, in the middle of whatever it does, and are handled there and then.

mod info;
mod lane_lock;
mod platform;
mod state;
mod tasks;

use self::state::State;
pub(crate) use self::{
    info::{Ending, GroupInfo, Name},
    state::{Next, Occurrence, Status},
};

use crate::{
    config::Config,
    cost,
    oracle::Oracle,
    switch,
    trace::{Event, TaskNumber},
};
use hart_executor::{Step, WorkerId};
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The machine that an executor runs on: its [`Platform`](hart_executor::Platform).
pub struct Machine {
    state: Mutex<State>,
    /// Allocations of tasks less their deallocations.
    pub(crate) allocated: AtomicU64,
    /// Outputs of tasks that have not been dropped.
    pub(crate) outputs: AtomicU64,
}

impl Machine {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            state: Mutex::new(State::new(config)),
            allocated: AtomicU64::new(0),
            outputs: AtomicU64::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spends `nanoseconds` of the calling task's hart; on a slow hart it takes longer. Others go on
    /// meanwhile: nothing that they might want may be locked across this call.
    ///
    /// Outside of a hart it costs nothing.
    pub fn spend(&self, nanoseconds: u64) {
        if !switch::may_pause() {
            return;
        }
        let mut state = self.lock();
        let Some(hart) = state.current else { return };
        let scaled = nanoseconds * state.harts[hart].slowness / 100;
        state.harts[hart].stats.busy += scaled;
        state.harts[hart].pending += scaled;
        state.group_spends(hart, scaled);
        state.wait_until_done(hart);
        drop(state);
        self.pause(hart);
    }

    /// The hart's status is set: gives the thread away until it is its turn again.
    fn pause(&self, hart: usize) {
        switch::pause();
        debug_assert_eq!(self.lock().current, Some(hart));
    }

    /// Where the run has failed: the hart stands still for good.
    pub(crate) fn stop_if_failed(&self) {
        while switch::may_pause() && self.lock().failure.is_some() {
            switch::pause();
        }
    }

    /// A promise is broken.
    pub(crate) fn fail(&self, oracle: Oracle, seen: impl FnOnce() -> String) {
        self.lock().fail(oracle, seen);
        self.stop_if_failed();
    }

    /// Virtual nanoseconds since the machine started.
    pub fn time(&self) -> u64 {
        self.lock().now
    }

    // === what a hart executes ===

    /// Waits until the hart is to run a worker; `false` if the machine is about to stop.
    pub(crate) fn wait_online(&self, hart: usize) {
        let mut state = self.lock();
        state.harts[hart].wants_offline = false;
        drop(state);
    }

    pub(crate) fn came_online(&self, hart: usize, worker: WorkerId) {
        let mut state = self.lock();
        if state.hart_of.len() <= worker {
            state.hart_of.resize(worker + 1, None);
        }
        state.hart_of[worker] = Some(hart);
        state.harts[hart].worker = Some(worker);
        state.record(
            Some(hart),
            Event::Online {
                worker: u32::try_from(worker).unwrap_or(u32::MAX),
            },
        );
    }

    /// The hart's worker was dropped. Comes back when the hart is on line again.
    pub(crate) fn went_offline(&self, hart: usize) {
        let mut state = self.lock();
        if let Some(worker) = state.harts[hart].worker.take()
            && state.hart_of[worker] == Some(hart)
        {
            // Else another hart's worker has its place already.
            state.hart_of[worker] = None;
        }
        state.record(Some(hart), Event::Offline);
        state.offline_for_a_while(hart);
        drop(state);
        self.pause(hart);
    }

    pub(crate) fn wants_offline(&self, hart: usize) -> bool {
        self.lock().harts[hart].wants_offline
    }

    /// A worker's step is over: notes it, and gives the thread away for as long as it took.
    pub(crate) fn stepped(&self, hart: usize, step: Step) {
        let mut state = self.lock();
        let queues = state.harts.len() as u64;
        let (cost, event) = match step {
            Step::Polled => (cost::POLL, None),
            Step::Stole(tasks) => (
                cost::STEAL + cost::LOOK * queues / 2,
                Some(Event::Stole {
                    tasks: u32::try_from(tasks).unwrap_or(u32::MAX),
                }),
            ),
            Step::Announced => (
                cost::ANNOUNCE + cost::LOOK * queues * cost::ROUNDS,
                Some(Event::Announced),
            ),
            Step::Retracted => (cost::ANNOUNCE + cost::LOOK * queues, Some(Event::Retracted)),
            Step::Sleep { .. } => (cost::LOOK * queues, None),
            _ => (0, None),
        };
        state.steps += 1;
        let hart_state = &mut state.harts[hart];
        hart_state.pending += cost;
        match step {
            Step::Stole(tasks) => {
                hart_state.stats.steals += 1;
                hart_state.stats.stolen += tasks as u64;
            }
            Step::Polled => hart_state.stats.polls += 1,
            _ => {}
        }
        if let Some(event) = event {
            state.record(Some(hart), event);
        }
        state.wait_until_done(hart);
        drop(state);
        self.pause(hart);
    }

    /// Spends the cost of sending an interrupt, where others may come in between.
    fn pause_after_sending(&self) {
        if !switch::may_pause() {
            return;
        }
        let mut state = self.lock();
        let Some(hart) = state.current else { return };
        state.harts[hart].pending += cost::SEND;
        let quiet = state.harts[hart].polling.is_some() && !state.pause_in_wakes;
        if quiet || state.harts[hart].shields > 0 {
            // A task may hold a lock here, or a guest's stack be under it.
            return;
        }
        state.harts[hart].at_send = true;
        state.wait_until_done(hart);
        drop(state);
        self.pause(hart);
        self.lock().harts[hart].at_send = false;
    }

    // === tasks ===

    /// A poll begins. Dropping what this gives ends it.
    pub(crate) fn begin_poll(&self, task: TaskNumber) -> Polling<'_> {
        self.lock().begin_poll(task);
        self.stop_if_failed();
        Polling {
            machine: self,
            task,
            ready: false,
        }
    }

    /// Until the shield is dropped, no other hart goes on while this one ends a guest.
    pub(crate) fn shield(&self, task: TaskNumber) -> Option<Shield<'_>> {
        let mut state = self.lock();
        let hart = state.current?;
        if !state.tasks[task as usize].guest {
            return None;
        }
        state.harts[hart].shields += 1;
        Some(Shield {
            machine: self,
            hart,
        })
    }

    pub(crate) fn live_outputs(&self) -> u64 {
        self.outputs.load(Relaxed)
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

/// See [`Machine::shield`].
pub(crate) struct Shield<'a> {
    machine: &'a Machine,
    hart: usize,
}

impl Drop for Shield<'_> {
    fn drop(&mut self) {
        self.machine.lock().harts[self.hart].shields -= 1;
    }
}

/// A poll that is under way.
pub(crate) struct Polling<'a> {
    machine: &'a Machine,
    task: TaskNumber,
    pub(crate) ready: bool,
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.machine
            .lock()
            .end_poll(self.task, self.ready, std::thread::panicking());
    }
}
