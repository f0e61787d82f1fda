//! Which task is next.
//!
//! Every [`INJECTOR_INTERVAL`] polls the worker looks at the injector, however long its own queue is. The fast lane goes
//! before the fair lane, also what waits in the queues of a few others; but after [`FAIR_SKIPS`] fast polls the fair lane
//! has its turn.

use super::state::Worker;
use crate::{
    fair::Taker,
    planted::{Planted, is_planted},
    task::TaskRef,
};

/// Polls from the local queue between two looks at the injector. As in other schedulers a prime, so that
/// it does not resonate with the workload. Chosen: tokio's number, not measured here.
pub const INJECTOR_INTERVAL: usize = 61;

/// Polls of fast-lane tasks for which a task of a group waits at most. Chosen, not measured.
pub const FAIR_SKIPS: usize = 32;

impl Worker {
    /// The task to poll next from what is at hand: the own queue, the fair lane, and every few polls the injector; before a
    /// turn in the fair lane, what another busy worker has queued. Up to `most` tasks of the fair lane are taken together;
    /// all but the first are in the slot's batch then.
    pub(super) fn next(&mut self, most: usize) -> Option<TaskRef> {
        if let Some(task) = self.stolen_next.take() {
            self.skipped += 1;
            return Some(task);
        }
        let interval = self.polls % INJECTOR_INTERVAL == INJECTOR_INTERVAL - 1;
        if interval && !is_planted(Planted::InjectorStarves) {
            // Counted as a poll, so that a look that found nothing is not repeated.
            self.polls = self.polls.wrapping_add(1);
            self.take_from_injector();
        }
        if self.skipped >= FAIR_SKIPS
            && let Some(task) = self.next_fair(most)
        {
            return Some(task);
        }
        if let Some(task) = self.next_local() {
            self.skipped += 1;
            return Some(task);
        }
        // What comes from outside is of the fast lane too, and goes before a long poll.
        if self.lane_waits()
            && self.take_from_injector() > 0
            && let Some(task) = self.next_local()
        {
            self.skipped += 1;
            return Some(task);
        }
        // So does what waits behind a poll of another worker.
        if self.lane_waits()
            && let Some(task) = self.steal_before_turn()
        {
            self.skipped += 1;
            return Some(task);
        }
        self.next_fair(most)
    }

    fn next_fair(&mut self, most: usize) -> Option<TaskRef> {
        self.skipped = 0;
        if !self.lane_waits() {
            return None;
        }
        let now = self.now.unwrap_or_else(|| self.shared().platform().now());
        self.now = Some(now);
        let most = if self.has_nothing_else() { most } else { 1 };
        let slot = self.slot();
        let pulled = slot.look(|look| {
            let mut taker = Taker {
                domain: slot.domain(),
                look,
                batch: &slot.batch,
                most,
                now,
            };
            self.shared().lanes().pop(&mut taker)
        })?;
        if pulled.notify {
            self.shared().notify();
        }
        self.offer_queue();
        Some(pulled.task)
    }

    fn next_local(&mut self) -> Option<TaskRef> {
        // A thief that holds the backlog notifies us when it is done; meanwhile there is other work.
        // SAFETY: used in this function only.
        let slot = unsafe { self.unbound_slot() };
        let (task, missed) = slot.own_queue().pop(&mut self.in_a_row);
        if missed {
            self.shared().notify();
        }
        task
    }

    /// Whether the worker's next task would come from the fair lane.
    pub(super) fn has_nothing_else(&self) -> bool {
        let shared = self.shared();
        self.slot().queue.is_empty()
            && shared.injector().len() == 0
            && !self.run_woken()
            && !shared.is_closed()
    }
}
