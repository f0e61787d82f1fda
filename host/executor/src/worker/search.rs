//! Looking for work elsewhere: in the injector, in other workers' queues, in their batches.

use super::state::{Phase, Worker};
use crate::{
    events,
    planted::{Planted, is_planted},
    platform::WorkerId,
    task::TaskRef,
};

/// Tasks that are taken from the injector at once, at most.
const INJECTOR_BATCH: usize = 256;

/// Other workers that a worker looks at before a turn in the fair lane. Chosen, not measured.
const FEW: usize = 4;

impl Worker {
    pub(super) fn take_from_injector(&self) -> usize {
        let injector = self.shared().injector();
        if injector.len() == 0 {
            return 0;
        }
        // A worker that takes from it now notifies us when it is done.
        let Some(mut taker) = injector.try_take() else {
            return 0;
        };
        // Behind what is queued here, and however full the ring is: tasks that yield forever must not keep out what
        // comes from outside, nor that keep out the backlog.
        let queue = self.slot().own_queue();
        let taken = taker.take(INJECTOR_BATCH, |task| queue.push_back(task));
        if taker.release() {
            self.shared().notify();
        }
        self.stole(taken)
    }

    /// Injector, other workers, injector: up to `rounds` rounds, with a growing pause in between. Only in the last round
    /// it takes what another worker is about to run. A group's task is not stolen: every worker has it at hand.
    pub(super) fn search(&mut self, rounds: u32) -> usize {
        self.now = None;
        let taken = self.take_from_injector();
        if taken > 0 {
            return taken;
        }
        for round in 1..=rounds {
            let stolen = self.steal_round(round == rounds);
            if stolen > 0 {
                return stolen;
            }
            if round < rounds {
                pause(round);
                // A thread that queues relies on searchers.
                if self.shared().injector().len() > 0 || self.lane_waits() || self.run_woken() {
                    break;
                }
            }
        }
        self.take_from_injector()
    }

    /// One look at every queue but the own.
    pub(super) fn look_everywhere(&mut self) -> usize {
        self.search(1)
    }

    /// Tasks came to the own queue.
    pub(super) fn stole(&self, tasks: usize) -> usize {
        if tasks > 0 {
            let slot = self.slot();
            slot.counts.steals.add(1);
            slot.counts.stolen.add(tasks);
            events::steal(self.id, tasks);
            // A searcher does this when it stops searching. Others might have looked for the tasks while
            // they were on their way here. One task alone is polled next, by this worker.
            if self.phase == Phase::Running && tasks > 1 {
                self.shared().notify();
            }
        }
        tasks
    }

    /// Tries to take half of some other worker's queue, from a random one on.
    pub(super) fn steal_round(&mut self, last_resort: bool) -> usize {
        let slots = self.shared().slots().len();
        if slots < 2 {
            return 0;
        }
        let start = self.random.usize(..slots);
        for victim in (start..slots).chain(0..start) {
            if victim == self.id {
                continue;
            }
            let (first, more) = self.steal_half(victim, last_resort);
            if first.is_some() {
                self.stolen_next = first;
                return self.stole(1 + more);
            }
        }
        if last_resort {
            return self.reclaim();
        }
        0
    }

    /// Takes tasks of a group that wait in a batch behind a poll which ran longer than the group's recent average.
    fn reclaim(&self) -> usize {
        let others = self.shared().slots().iter();
        let others = others.filter(|slot| slot.worker() != self.id);
        let mut batches = others.map(|slot| &slot.batch);
        // A look without the lock may miss them (see `Lane::reclaim`), so there is one with it before a sleep.
        if self.phase == Phase::Running && batches.by_ref().all(|batch| batch.len() == 0) {
            return 0;
        }
        let now = self.shared().platform().now();
        let shared = self.shared();
        // The own one is empty.
        let batches = |domain| shared.batches_of(domain);
        self.stole(shared.lanes().reclaim(batches, now))
    }

    /// Takes half of another busy worker's queue, before a turn in the fair lane: one look at each of a few workers. Also
    /// takes the task that the other one would run next, because its present poll may be long.
    pub(super) fn steal_before_turn(&mut self) -> Option<TaskRef> {
        for victim in self.few_others() {
            let (task, more) = self.steal_half(victim, true);
            if task.is_some() {
                self.stole(1 + more);
                return task;
            }
        }
        None
    }

    /// Whether a look at a few other workers finds tasks of the fast lane.
    pub(super) fn others_have_tasks(&mut self) -> bool {
        let mut others = self.few_others();
        let slots = self.shared().slots();
        others.any(|worker| slots.get(worker).is_some_and(|slot| !slot.queue.is_empty()))
    }

    /// Up to [`FEW`] other workers, from a random one on.
    fn few_others(&mut self) -> impl Iterator<Item = WorkerId> + use<> {
        let (slots, own) = (self.shared().slots().len(), self.id);
        let start = self.random.usize(..slots.max(1));
        (start..slots)
            .chain(0..start)
            .filter(move |&worker| worker != own)
            .take(FEW)
    }

    /// Steals half of a worker's queue: the oldest task, to be polled next, and how many others are in the own queue now.
    pub(super) fn steal_half(
        &self,
        victim: WorkerId,
        last_resort: bool,
    ) -> (Option<TaskRef>, usize) {
        let Some(slot) = self.shared().slots().get(victim) else {
            return (None, 0);
        };
        let mut stolen = slot.queue.steal_half(self.slot().own_queue(), last_resort);
        if stolen.wanted {
            self.shared().notify();
        }
        if is_planted(Planted::StealDuplicates)
            && let Some(task) = &stolen.first
        {
            slot.queue.backlog().push(task.clone());
        }
        if is_planted(Planted::StealDrops) {
            stolen.first = self.slot().queue.take_unheld();
        }
        (stolen.first, stolen.more)
    }
}

/// The pause after a searcher's round: the first is short, because work often comes in bursts.
fn pause(round: u32) {
    /// Chosen, not measured.
    const SPINS: u32 = 8;
    if cfg!(not(loom)) {
        for _ in 0..SPINS << (2 * round) {
            core::hint::spin_loop();
        }
    }
}
