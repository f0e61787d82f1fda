//! Preemption points: charging the group whose task is polled, and saying whether the task should yield.

use super::{attached::group_of, shared::Shared, slot::OwnSlot};
use crate::{
    fair::{Batch, GroupState, Pace, Taker},
    planted::{Planted, is_planted},
    sync::{Arc, Ordering::Relaxed},
};

impl Shared {
    /// Whether something that is runnable waits anywhere.
    pub(crate) fn has_waiting(&self) -> bool {
        self.lane_has_due()
            || self.injector().len() > 0
            || self.is_closed()
            || self.slots().iter().any(|slot| !slot.queue.is_empty())
            || self
                .current_slot()
                .is_some_and(|slot| slot.run_woken.load(Relaxed))
            || self.lanes().has_tasks(|domain| self.batches_of(domain))
    }

    /// The batches of a domain's workers.
    pub(crate) fn batches_of(&self, domain: usize) -> impl Iterator<Item = &Batch> {
        let slots = self.slots().iter();
        let its = slots.filter(move |slot| slot.domain() == domain);
        its.map(|slot| &slot.batch)
    }

    /// Whether a task of the fair lane may run now.
    pub(crate) fn lane_has_due(&self) -> bool {
        let is_due = |refill| refill <= self.platform().now();
        self.lanes().len() > 0 || self.lanes().next_refill().is_some_and(is_due)
    }

    /// Whether something of the fast lane waits that the worker of `slot` would run next. What waits in another worker's
    /// queue is not worth a preemption here: an idle worker takes it, and a busy one before its next turn of a group.
    fn has_fast_waiting_on(&self, slot: &OwnSlot) -> bool {
        self.injector().len() > 0
            || self.is_closed()
            || !slot.queue.is_empty()
            || slot.run_woken.load(Relaxed)
    }

    /// The calling worker's slot, if it polls a task of `group`.
    fn slot_polling(&self, group: &Arc<GroupState>) -> Option<&OwnSlot> {
        self.current_slot().filter(|slot| {
            let is_its = slot.with_current(|task| {
                group_of(task).is_some_and(|polled| Arc::ptr_eq(polled, group))
            });
            is_its == Some(true)
        })
    }

    /// Makes the group's statistics exact in the middle of a poll. Those of a short poll are exact: they count what is in
    /// flight by the clock, which is what will be charged.
    pub(crate) fn charge_poll(&self, group: &Arc<GroupState>) {
        if let Some(slot) = self.slot_polling(group)
            && !slot.meter(|meter| meter.is_short(self.platform().now()))
        {
            self.preemption_point(group, true);
        }
    }

    /// Charges `group` for what the calling worker has used since its last charge, if it polls a task of that group.
    /// Returns whether the task should yield.
    pub(crate) fn preemption_point(&self, group: &Arc<GroupState>, by_time: bool) -> bool {
        let Some(slot) = self.slot_polling(group) else {
            return self.has_waiting();
        };
        let now = self.platform().now();
        let (began, cpu, poll_began) = slot.meter(|meter| {
            let began = meter.began();
            let cpu = meter.end(now, &**self.platform());
            slot.flight.charged(meter);
            (began, cpu, meter.poll_began())
        });
        let cpu = if is_planted(Planted::ContinueIsFree) {
            0
        } else {
            cpu
        };
        group.counts.charge(cpu);
        let pace = if by_time {
            Pace::Time(now.saturating_sub(poll_began))
        } else {
            Pace::Slice
        };
        let charged = slot.look(|look| {
            let mut taker = Taker {
                domain: slot.domain(),
                look,
                batch: &slot.batch,
                most: 0,
                now,
            };
            let lanes = self.lanes();
            lanes.charge(&mut taker, group, (cpu, began), pace)
        });
        for _ in 0..charged.gave_back {
            self.notify();
        }
        charged.is_others_turn || self.has_fast_waiting_on(slot)
    }

    /// Nanoseconds that polls of `group` in flight have used and are not charged for.
    pub(crate) fn in_flight(&self, group: &Arc<GroupState>) -> u64 {
        let platform = self.platform();
        let now = platform.now();
        let used = self.slots().iter().map(|slot| {
            let cpu = || platform.cpu_time_of(slot.worker());
            slot.flight.used(group, now, cpu)
        });
        used.sum()
    }

    /// Lets groups compete again whose CPU rate allows it; returns when the next one will be.
    pub(super) fn refill(&self) -> Option<u64> {
        for _ in 0..self.lanes().refill(self.platform().now()) {
            self.notify();
        }
        self.lanes().next_refill()
    }
}
