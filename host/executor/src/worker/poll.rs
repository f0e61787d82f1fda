//! Polling tasks, and charging their groups.

use super::state::Worker;
use crate::{
    executor::{group_of, run},
    fair::Used,
    task::{Ran, TaskRef},
};

impl Worker {
    /// `false` if there was nothing to poll: the task was cancelled while it was queued. In the fair lane it polls
    /// further tasks, up to `most` in all, while nothing else is at hand.
    pub(super) fn poll(&mut self, task: TaskRef, most: usize) -> bool {
        if task.header().is_fair() {
            return self.poll_fair(task, most);
        }
        self.now = None;
        let ran = run(task, self.slot());
        let polled = self.count(&ran);
        if let Ran::Requeue(task) = ran {
            // Without a notification: see rule 1 of `idle`.
            self.slot().own_queue().push_back(task);
        }
        polled
    }

    /// Counts what came of a poll; whether it was one.
    fn count(&mut self, ran: &Ran) -> bool {
        self.polls = self.polls.wrapping_add(1);
        match ran {
            Ran::Skipped => return false,
            Ran::Pending | Ran::Requeue(_) => {}
            Ran::Complete => self.slot().counts.completed.add(1),
        }
        self.slot().counts.polls.add(1);
        true
    }

    /// Polls a task that was taken from the fair lane, and those whose turn comes after it, and charges their groups.
    fn poll_fair(&mut self, task: TaskRef, most: usize) -> bool {
        let platform = self.shared().platform().clone();
        // SAFETY: used in this function only.
        let slot = unsafe { self.unbound_slot() };
        let mut now = self.now.unwrap_or_else(|| platform.now());
        let mut next = Some(task);
        let (mut polled, mut left) = (false, most);
        while let Some(first) = next.take() {
            let group = group_of(&first).cloned();
            let group = group.expect("only tasks of groups are in the fair lane");
            slot.meter(|meter| {
                meter.begin(now, &*platform);
                slot.flight.begin(&group, meter);
            });
            let began = now;
            let (mut polls, mut taken, mut waited) = (0, 0, 0);
            let mut task = first;
            let requeue = loop {
                left = left.saturating_sub(1);
                taken += 1;
                waited += task.header().queued_for(now);
                let ran = run(task, slot);
                polls += usize::from(self.count(&ran));
                let requeue = match ran {
                    Ran::Requeue(task) => Some(task),
                    _ => None,
                };
                match slot.batch.next(requeue) {
                    Ok(next) => task = next,
                    Err(requeue) => break requeue,
                }
            };
            now = platform.now();
            let (charged, cpu) = slot.meter(|meter| (meter.began(), meter.end(now, &*platform)));
            slot.flight.end();
            group.counts.waited(waited);
            group.counts.charge(cpu);
            group.counts.polled(polls);
            polled |= polls > 0;
            let lanes = self.shared().lanes();
            let domain = slot.domain();
            let goes_on = self.has_nothing_else()
                && (lanes.is_alone() || !slot.look(|look| lanes.is_behind(domain, look, now)))
                && !self.others_have_tasks();
            let most = if goes_on { left } else { 0 };
            let used = Used {
                cpu,
                charged,
                began,
                now,
                polls: taken,
            };
            let lane = self.shared().lanes().of(domain);
            let finished = lane.finish(&group, used, requeue, &slot.batch, most);
            next = finished.next;
            if finished.notify {
                self.shared().notify();
            }
        }
        self.now = Some(now);
        polled
    }
}
