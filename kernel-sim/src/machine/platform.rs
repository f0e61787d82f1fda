//! What the executor asks of the machine.

use super::{
    Machine,
    state::{Occurrence, Status},
};
use crate::{cost, faults::Fault, random::one_in, switch, trace::Event};
use hart_executor::{CurrentWorker, Platform, WorkerId};

// SAFETY: a cell is its hart's, only `set_current_worker` writes it, and both reach it only from the thread that runs the machine
// (`State::hart_here`): other threads, with wakers that a task gave them, are on no core. That thread runs one thing at
// a time, and a hart gives it away only in foreign code or a platform's function, where the executor borrows nothing.
unsafe impl Platform for Machine {
    fn park(&self, worker: WorkerId, until: Option<u64>) {
        let mut state = self.lock();
        let Some(hart) = state.current.filter(|_| switch::may_pause()) else {
            return;
        };
        debug_assert_eq!(state.harts[hart].worker, Some(worker));
        if std::mem::take(&mut state.harts[hart].token) {
            return;
        }
        if let Some(until) = until {
            let at = state.now.max(until);
            state.harts[hart].interrupts += 1;
            state.interrupts += 1;
            state.schedule(at, Occurrence::Interrupt { hart });
        }
        state.harts[hart].pending = 0;
        state.harts[hart].stats.parks += 1;
        state.harts[hart].parked_at = state.now;
        state.harts[hart].status = Status::Parked;
        state.parked += 1;
        state.record(Some(hart), Event::Parked);
        drop(state);
        self.pause(hart);
        let mut state = self.lock();
        state.harts[hart].token = false;
        state.harts[hart].pending = cost::PARK;
        state.record(Some(hart), Event::Resumed);
    }

    fn unpark(&self, worker: WorkerId) {
        let mut state = self.lock();
        let Some(target) = state.hart_of.get(worker).copied().flatten() else {
            // It went off line between being chosen and being woken.
            return;
        };
        let from = state.current;
        state.record(
            from,
            Event::Sent {
                to: u32::try_from(target).unwrap_or(u32::MAX),
            },
        );
        // One on the way, or arrived and not yet seen, stands for this one too.
        if !state.harts[target].token && state.harts[target].interrupts == 0 {
            let pending = from.map_or(0, |hart| state.harts[hart].pending);
            let mut at = state.now + pending + cost::INTERRUPT;
            if let Some(late) = state.draw_late() {
                at += late;
                state.record(Some(target), Event::Late { nanoseconds: late });
            }
            state.harts[target].interrupts += 1;
            state.interrupts += 1;
            state.schedule(at, Occurrence::Interrupt { hart: target });
        }
        drop(state);
        self.pause_after_sending();
    }

    fn now(&self) -> u64 {
        self.lock().now
    }

    fn cpu_time(&self) -> u64 {
        let state = self.lock();
        state.current.map_or(0, |hart| state.harts[hart].cpu)
    }

    fn domains(&self, _: usize) -> usize {
        self.lock().lanes.len()
    }

    fn domain_of(&self, worker: WorkerId) -> usize {
        let state = self.lock();
        if state.lanes.len() == 1 {
            return 0;
        }
        worker / state.in_domain
    }

    fn counts_lanes(&self) -> bool {
        true
    }

    fn takes_lane(&self, domain: usize) {
        let mut state = self.lock();
        let state = &mut *state;
        let (Some(hart), Some(lane)) = (state.current, state.lanes.get_mut(domain)) else {
            return;
        };
        let hart_state = &mut state.harts[hart];
        let now = state.now + hart_state.pending;
        // A worker that runs ends a poll and takes the next one at one lock; one that is stepped does so at two.
        let (left, at) = hart_state.left_lane;
        if left == domain && now <= at + cost::POLL {
            return;
        }
        // It is busy until it has given the lock back.
        let took = lane.take(hart, now, state.in_domain);
        hart_state.pending += took;
        hart_state.stats.lanes += took;
        hart_state.left_lane = (domain, now + took);
    }

    fn current_worker(&self) -> Option<CurrentWorker> {
        let state = self.lock();
        state.hart_here().and_then(|hart| state.harts[hart].core.0)
    }

    unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker> {
        let mut state = self.lock();
        let hart = state.hart_here()?;
        std::mem::replace(&mut state.harts[hart].core.0, worker)
    }

    fn seed(&self) -> u64 {
        self.lock().seed
    }
}

impl Machine {
    /// Whether there is no memory for a guest's growth.
    pub(crate) fn draw_refusal(&self) -> bool {
        let mut state = self.lock();
        let rarity = state.faults.refusals();
        let refuses = state.faults.has(Fault::Alloc) && one_in(&mut state.rng, rarity);
        if refuses {
            let current = state.current;
            state.record(current, Event::NoMemory);
        }
        refuses
    }

    /// Whether this allocation fails.
    pub(crate) fn draw_no_memory(&self) -> bool {
        let mut state = self.lock();
        let fails = state.draw(Fault::Alloc);
        if fails {
            let current = state.current;
            state.no_memory += 1;
            state.record(current, Event::NoMemory);
        }
        fails
    }
}
