//! Who gets a slot in the pool of instances, and when.
//!
//! The pool refuses at once what it has no room for, so guests take their slots here first. Spawns
//! that must wait hold bytes, not slots, in a bounded queue per run.
//!
//! # Order
//!
//! Round-robin between *sharers*: tenants, and runs that have none. Round-robin between the runs of a tenant;
//! within a run the deepest first, first in first out within a depth. A run whose first candidate does not
//! fit is passed over; it does not hold up others, except as said under *Throttles*.
//!
//! # The rule
//!
//! Let `w` be the slots that the run's component takes (one, for nearly all), `D` the run's limit of
//! depth, and `d` a task's depth, the root's being 0. A task is admitted only while at least
//! `(D - d + 1) * w` slots are free, both in the pool and in the run's own part of it: one run may hold
//! seven eighths of the pool (or what its root needs, if that is more), so that a fork bomb leaves room
//! for the roots of other runs. A component that cannot spawn has `D = 0`.
//!
//! # Why this never deadlocks
//!
//! Say that `n(t) = (D - d) * w` is the *need* of an admitted task `t`. Admitting `t` leaves at least
//! `n(t)` slots free, and a child of `t` (depth `d + 1`, same component) is admitted while
//! `(D - d) * w = n(t)` are.
//!
//! Suppose that every admitted task waits for tasks that wait for a slot. Only parents have handles
//! of tasks, so each admitted task waits for children of its own that are queued. Let `t` be an
//! admitted task of the least need. `n(t) > 0`, because tasks of depth `D` have no children. Consider
//! the last admission, of any task `s`, with `n(s) >= n(t)`; there is one, that of `t` itself if no
//! other. It left `n(s) >= n(t)` slots free. Every admission after it was of a task of less need, and
//! none of those is admitted any more, for `t` has the least need. So all slots taken since were given
//! back, and at least `n(t)` are free. The same argument, about `t`'s run alone, holds for that run's
//! part. So a queued child of `t` may be admitted. The order finds one: it passes over runs that do not
//! fit, and within `t`'s run it looks at the deepest task, whose demand is no greater than that
//! child's. Hence somebody is admitted, which contradicts the supposition.
//!
//! A run's root needs `(D + 1) * w` slots, so `D` is cut to what the pool has (see
//! [`depth_for`]).
//!
//! A task that runs on another machine is none of those: it has no slots, so nobody admitted waits for slots through it.
//! What it waits for itself is there, where the argument holds by itself: a job of a stream has no tasks in the stream.
//!
//! # Runs that guests wait for
//!
//! A host call may start a run and await it, while its guest keeps its slot. Such a wait is none that the argument
//! knows: with a run inside a run inside a run, all slots are soon held by those that wait for one. So nobody of a run
//! that is started while a guest is polled waits here ([`Admission::submit_now`]): neither its root nor what that
//! spawns. What cannot have its slots at once is refused, with the reason. Then tasks that wait for such a run come to
//! an end of that without the queue, whatever pools and hosts the runs are in: its tasks wait for each other, children
//! later admitted than their parents, or for further such runs, later admitted still, and the last of them for nobody.
//! Those of the argument are all the others, and for them it holds as it stands: who is admitted at once has to fit
//! the rule too, and gives back its slots in the end.
//!
//! What cannot be seen is a run that the host call has somebody else start, on a thread of tokio's for instance: see
//! [`RunBuilder::waits`](crate::RunBuilder::waits).
//!
//! # Throttles
//!
//! Four more reasons hold a task back, but only so long as that stops nobody: where every admitted task
//! of the run is blocked by other tasks of it, the rule alone decides. All but the first give in to time, too: the
//! next two where the run has had nobody admitted for a second (guests can also wait in ways that we do not see).
//!
//! - Room for others. A sharer that holds twice as many slots as are free gets no more of them, so a lone one
//!   is left with two thirds of the pool, a second one with two thirds of the rest, and so on: tasks that never
//!   end cannot keep the next sharer's root out, until there are more such sharers than the pool has powers of
//!   three. This one never gives in to time, else spinning tasks would have the whole pool by and by. It holds for the
//!   slots of a single instance as well: one that takes several is admitted only where its sharer keeps to this with
//!   all of them, so it may wait for a long time where others hold many, and one that takes more than two thirds of the
//!   pool is refused when it is run ([`slots_for`]). So whoever waits fits a pool that nobody else uses, and this
//!   throttle stops nobody there.
//! - Memory. The slots of a pool can be worth more than a run's limit of memory. So a task waits while
//!   its component's initial memory, and a reserve of the same shape as above (at most a quarter of the
//!   limit), do not fit what is left of the run's memory. No guarantee, as guests grow at will.
//! - Turns. Deep tasks need fewer free slots than roots, and could take each slot that is given back
//!   before a root ever fits. So while somebody of a sharer that holds less than its share waits for more
//!   free slots, sharers that hold more than theirs wait as well.
//! - Pressure. While the system is short of memory ([`memory_pressure`](crate::quota::memory_pressure)) and guests have slots of this
//!   pool, all others wait, roots too, and one is admitted in a tenth of a second: the machine may be full of what
//!   others hold, and is to go on, slowly.

pub(crate) mod queue;

use std::sync::{Arc, Mutex, Weak};

use crate::base::sync::lock;
use crate::instance::admission::queue::{Candidate, PATIENCE, PRESSED, Queues, Waiting};
use crate::instance::run_slots::RunSlots;
use crate::quota::memory_pressure::Pressure;
use crate::sched::clock::timers::Expire;
use crate::sched::core::Core;

/// What a task does with its slots once it has them. Called under no lock.
pub(crate) type Start<C> = Box<dyn FnOnce(SlotGuard<C>) + Send>;

/// The slots of one instance, given back when it is dropped. Then somebody else may go: see [`Admission::pump`].
pub(crate) struct SlotGuard<C: Candidate> {
    admission: Arc<Admission<C>>,
    run: Arc<RunSlots>,
}

/// The queue in front of the pool.
pub(crate) struct Admission<C: Candidate> {
    slots: u64,
    state: Mutex<Queues<C, Start<C>>>,
    runtime: Arc<Core>,
    pressure: Arc<Pressure>,
    /// For timers, and for those who are admitted.
    this: Weak<Admission<C>>,
}

/// Why a guest that may not wait has no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Closed,
    NoRoom,
}

impl<C: Candidate> Admission<C> {
    pub(crate) fn new(slots: u64, runtime: Arc<Core>, pressure: Arc<Pressure>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            slots,
            state: Mutex::new(Queues::new(slots)),
            runtime,
            pressure,
            this: this.clone(),
        })
    }

    pub(crate) fn slots(&self) -> u64 {
        self.slots
    }

    /// Slots that guests hold.
    pub(crate) fn in_use(&self) -> u64 {
        self.slots - lock(&self.state).free
    }

    /// Spawns that wait.
    pub(crate) fn waiting(&self) -> u64 {
        lock(&self.state).waiting
    }

    /// Spawns of one run that wait.
    pub(crate) fn waiting_of(&self, run: u64) -> u64 {
        lock(&self.state)
            .queues
            .get(&run)
            .map_or(0, |queue| queue.tasks.len() as u64)
    }

    /// Whether a run has as many spawns waiting as it may have, and one more of this depth would have to wait too.
    pub(crate) fn is_full(&self, run: &RunSlots, depth: u32, most: u64) -> bool {
        let state = lock(&self.state);
        let queue = state.queues.get(&run.run);
        let waiting = queue.map_or(0, |queue| queue.tasks.len() as u64);
        waiting >= most && (waiting > 0 || !state.has_room(run, depth))
    }

    /// Whether a task of this depth would have its slots at once, as far as can be seen.
    pub(crate) fn has_place(&self, run: &RunSlots, depth: u32) -> bool {
        let state = lock(&self.state);
        state.waiting == 0 && state.has_room(run, depth) && run.has_memory_for(depth)
    }

    /// Gives a guest its slots now, or says why not: whoever may not wait never is in the queue.
    pub(crate) fn submit_now(&self, guest: Arc<C>, start: Start<C>) -> Result<(), Refused> {
        let admitted = {
            let mut state = lock(&self.state);
            if state.closed {
                return Err(Refused::Closed);
            }
            let run = guest.slots().clone();
            if !state.has_room(&run, guest.depth()) {
                return Err(Refused::NoRoom);
            }
            let now = self.runtime.clock.now();
            state.push(Waiting { guest, start }, now);
            // None of this run waits, so it is the first one.
            let first = state.take_first(run.run, now);
            state.leave_ring(run.sharer());
            first
        };
        self.start(admitted);
        Ok(())
    }

    /// Queues a guest and admits whoever may go; `false` if the host is closed.
    #[must_use]
    pub(crate) fn submit(&self, guest: Arc<C>, start: Start<C>) -> bool {
        {
            let mut state = lock(&self.state);
            if state.closed {
                return false;
            }
            let now = self.runtime.clock.now();
            let has_others = state.free < self.slots;
            let is_calm = !has_others || !(self.pressure.is_due(now) || self.pressure.is_short());
            let waiting = Waiting { guest, start };
            if is_calm && state.takes_at_once(&waiting.guest) {
                drop(state);
                self.start([waiting]);
                return true;
            }
            state.push(waiting, now);
        }
        self.pump();
        true
    }

    /// Takes guests out of the queue, because they were killed; returns those that were in it.
    pub(crate) fn withdraw(&self, guests: &[Arc<C>]) -> Vec<Arc<C>> {
        let mut state = lock(&self.state);
        if state.waiting == 0 {
            return Vec::new();
        }
        let withdrawn: Vec<Waiting<C, Start<C>>> = guests
            .iter()
            .filter_map(|guest| state.remove(guest))
            .collect();
        drop(state);
        without_starts(withdrawn)
    }

    /// A guest of `run` waits for another task.
    pub(crate) fn blocked(&self, run: &RunSlots) {
        if run.blocks() && self.waiting_of(run.run) > 0 {
            self.pump();
        }
    }

    /// Refuses everybody from now on; returns those that waited.
    pub(crate) fn close(&self) -> Vec<Arc<C>> {
        let mut state = lock(&self.state);
        state.closed = true;
        let waiting = state.take_all();
        drop(state);
        without_starts(waiting)
    }

    /// Has those who are admitted start, each with its slots.
    fn start(&self, admitted: impl IntoIterator<Item = Waiting<C, Start<C>>>) {
        for Waiting { guest, start } in admitted {
            let run = guest.slots().clone();
            drop(guest);
            // It is shared, or nobody could call this.
            if let Some(admission) = self.this.upgrade() {
                start(SlotGuard { admission, run });
            }
        }
    }

    /// Admits whoever may go.
    pub(crate) fn pump(&self) {
        let mut state = lock(&self.state);
        if state.pumping {
            state.again = true;
            return;
        }
        if state.waiting == 0 {
            return;
        }
        state.pumping = true;
        loop {
            state.again = false;
            let now = self.runtime.clock.now();
            // A guest that has the pool to itself does not wait for a look, nor for what it would say.
            if state.free < self.slots && self.pressure.is_due(now) {
                drop(state);
                self.pressure.look(now);
                state = lock(&self.state);
            }
            let short = self.pressure.is_short();
            let (admitted, held_back) = state.admit(now, short);
            let set_timer = held_back && !state.timer;
            state.timer |= held_back;
            drop(state);
            if set_timer {
                let this: Weak<dyn Expire> = self.this.clone();
                let patience = if short { PRESSED } else { PATIENCE };
                self.runtime.clock.at(now + patience, this);
            }
            self.start(admitted);
            state = lock(&self.state);
            if !state.again {
                state.pumping = false;
                return;
            }
        }
    }
}

impl<C: Candidate> Drop for SlotGuard<C> {
    fn drop(&mut self) {
        let mut state = lock(&self.admission.state);
        self.run.releases();
        state.give_back(self.run.sharer(), self.run.each);
    }
}

/// The guests. What they were to do may be the embedder's code: it is dropped here, under no lock.
fn without_starts<C: Candidate>(
    waiting: impl IntoIterator<Item = Waiting<C, Start<C>>>,
) -> Vec<Arc<C>> {
    waiting.into_iter().map(|waiting| waiting.guest).collect()
}

impl<C: Candidate> Expire for Admission<C> {
    fn expire(self: Arc<Self>) {
        lock(&self.state).timer = false;
        self.pump();
    }
}
