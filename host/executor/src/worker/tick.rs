//! Bounded passes of a worker.

use super::{state::Worker, step::TICK_POLLS};
use crate::{events, executor::Slot};

/// A tick that polls groups ends after this many nanoseconds, whatever it has polled. Chosen: ten slices of the default
/// length. Not measured.
const TICK_NANOSECONDS: u64 = 10_000_000;

/// What a tick did.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// drop(executor.spawn(async {}));
/// let tick = worker.tick();
/// assert_eq!((tick.polled, tick.has_remaining), (1, false));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// Whether something this worker may run now is left: in its queue, or in the fair lane. A group whose CPU
    /// rate is used up is not, until [`Executor::next_refill`](crate::Executor::next_refill).
    pub has_remaining: bool,
    /// Tasks polled.
    pub polled: usize,
    /// Tasks that completed in this tick.
    pub completed: usize,
    /// Tasks that were spawned by what this tick polled.
    pub spawned: usize,
    /// Wakes from outside every worker since any worker's last report: each is reported once.
    pub woken_external: usize,
    /// Tasks that were queued by wakes from what this tick polled.
    pub woken_internal: usize,
}

/// The counts of a slot when a tick began.
struct Before {
    completed: usize,
    spawned: usize,
    woken: usize,
}

/// How much is done at once while another executor waits for the thread.
pub(super) struct Limit {
    polls: usize,
    /// When the first turn of a group had ended.
    started: Option<u64>,
}

impl Limit {
    pub(super) fn new() -> Self {
        Self {
            polls: 0,
            started: None,
        }
    }

    /// There was one more poll; `now` is when it ended, if that was the turn of a group: the fast lane reads no clock.
    pub(super) fn is_reached(&mut self, now: Option<u64>) -> bool {
        self.polls += 1;
        let long = now.is_some_and(|now| {
            now.saturating_sub(*self.started.get_or_insert(now)) >= TICK_NANOSECONDS
        });
        long || self.polls >= TICK_POLLS
    }
}

impl Before {
    fn read(slot: &Slot) -> Self {
        Self {
            completed: slot.counts.completed.get(),
            spawned: slot.counts.spawned.get(),
            woken: slot.counts.woken.get(),
        }
    }
}

impl Worker {
    /// Polls up to 256 tasks, then, if none is left here, tries to steal for the next tick. Never sleeps.
    ///
    /// If it polls groups, it ends after 10 ms however few it polled.
    pub fn tick(&mut self) -> Tick {
        self.tick_n(TICK_POLLS)
    }

    /// As [`tick`](Self::tick), with up to `n` polls.
    pub fn tick_n(&mut self, n: usize) -> Tick {
        let _entered = self.enter();
        self.now = None;
        let before = Before::read(self.slot());
        let _ = self.take_run_woken();
        self.retract();
        let mut polled = 0;
        // Polls, and tasks that were cancelled while they were queued.
        let mut taken = 0;
        let mut started = None;
        while taken < n {
            // A tick polls what is at hand; from a queue that is empty it goes to the injector, but it looks at other
            // workers only at its beginning and its end, and before the turn of a group.
            let fair = self.lane_waits();
            if self.shared().is_closed() {
                break;
            }
            let Some(task) = self.next(1) else {
                if taken == 0 && self.search(1) > 0 {
                    continue;
                }
                break;
            };
            self.found();
            taken += 1;
            polled += usize::from(self.poll(task, 1));
            // The fast lane reads no clock.
            if fair {
                let now = self.shared().platform().now();
                if now - *started.get_or_insert(now) >= TICK_NANOSECONDS {
                    break;
                }
            }
        }
        let at_hand = self.stolen_next.is_some() || !self.slot().queue.is_empty();
        if !at_hand && !self.lane_waits() && !self.shared().is_closed() {
            self.search(1);
        }
        self.finish_tick(polled, &before)
    }

    fn finish_tick(&mut self, polled: usize, before: &Before) -> Tick {
        // The next tick may be long after this one.
        self.stand_down();
        self.passed = self.slot().counts.polls.get();
        let slot = self.slot();
        let has_remaining = !slot.queue.is_empty() || self.shared().lane_has_due();
        events::tick(self.id, polled, has_remaining);
        Tick {
            has_remaining,
            polled,
            completed: slot.counts.completed.get().wrapping_sub(before.completed),
            spawned: slot.counts.spawned.get().wrapping_sub(before.spawned),
            woken_external: self.shared().take_external_wakes(),
            woken_internal: slot.counts.woken.get().wrapping_sub(before.woken),
        }
    }
}
