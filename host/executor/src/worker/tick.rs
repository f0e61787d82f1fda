//! Bounded passes of a worker.

use super::{Step, Worker};
use crate::scheduler::Slot;

/// Polls in a [`Worker::tick`].
const TICK_POLLS: usize = 256;

/// Where guests run, a tick ends after this many nanoseconds, whatever it has polled. A guess: ten slices
/// of the default length.
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
    #[cfg(feature = "counters")]
    pub completed: usize,
    /// Tasks that were spawned by what this tick polled.
    #[cfg(feature = "counters")]
    pub spawned: usize,
    /// Wakes from outside every worker since any worker's last report: each is reported once.
    #[cfg(feature = "counters")]
    pub woken_external: usize,
    /// Tasks that were queued by wakes from what this tick polled.
    #[cfg(feature = "counters")]
    pub woken_internal: usize,
}

/// What one worker has done so far.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// drop(executor.spawn(async {}));
/// worker.tick();
/// let stats = executor.workers()[worker.id()];
/// assert_eq!((stats.polls, stats.completed, stats.stolen), (1, 1, 1));
/// ```
#[cfg(feature = "counters")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStats {
    /// The worker.
    pub id: crate::WorkerId,
    /// Tasks polled.
    pub polls: u64,
    /// Of these, how many completed.
    pub completed: u64,
    /// How often it found work elsewhere, in the injector or another worker's queue.
    pub steals: u64,
    /// How many tasks that moved.
    pub stolen: u64,
    /// How often it slept.
    pub parks: u64,
    /// Tasks spawned on it.
    pub spawned: u64,
    /// Wakes that queued a task, on it.
    pub woken: u64,
}

#[cfg(feature = "counters")]
impl WorkerStats {
    pub(crate) fn read(id: crate::WorkerId, counts: &crate::scheduler::Counts) -> Self {
        Self {
            id,
            polls: counts.polls.get() as u64,
            completed: counts.completed.get() as u64,
            steals: counts.steals.get() as u64,
            stolen: counts.stolen.get() as u64,
            parks: counts.parks.get() as u64,
            spawned: counts.spawned.get() as u64,
            woken: counts.woken.get() as u64,
        }
    }
}

/// The counts of a slot when a tick began.
struct Before {
    #[cfg_attr(
        not(feature = "counters"),
        expect(dead_code, reason = "only counters are compared")
    )]
    completed: usize,
    #[cfg_attr(
        not(feature = "counters"),
        expect(dead_code, reason = "only counters are compared")
    )]
    spawned: usize,
    #[cfg_attr(
        not(feature = "counters"),
        expect(dead_code, reason = "only counters are compared")
    )]
    woken: usize,
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
    /// Where guests run, it ends after 10 ms however few it polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// drop(executor.spawn(async {}));
    /// assert_eq!(worker.tick().polled, 1);
    /// assert_eq!(worker.tick().polled, 0);
    /// ```
    pub fn tick(&mut self) -> Tick {
        self.tick_n(TICK_POLLS)
    }

    /// As [`tick`](Self::tick), with up to `n` polls.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// for _ in 0..3 {
    ///     drop(executor.spawn(async {}));
    /// }
    /// let tick = worker.tick_n(2);
    /// assert_eq!((tick.polled, tick.has_remaining), (2, true));
    /// ```
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
            // A tick polls what is at hand; from a queue that is empty it goes to the injector, but only
            // at its beginning and its end does it look at other workers.
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
        let at_hand = self.hand.is_some() || !self.slot().queue.is_empty();
        if !at_hand && !self.lane_waits() && !self.shared().is_closed() {
            self.search(1);
        }
        self.finish_tick(polled, &before)
    }

    fn finish_tick(&mut self, polled: usize, before: &Before) -> Tick {
        // Who knows when the next tick is.
        self.stand_down();
        let slot = self.slot();
        let has_remaining = !slot.queue.is_empty() || self.shared().lane_has_due();
        #[cfg(not(feature = "counters"))]
        {
            let _ = before;
            Tick {
                has_remaining,
                polled,
            }
        }
        #[cfg(feature = "counters")]
        {
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

    /// Parks after a step said so.
    pub(super) fn park(&self, until: Option<u64>) {
        self.slot().counts.parks.add(1);
        self.shared().platform().park(self.id, until);
    }
}

const _: () = {
    // `Step` is what `run` loops over; ticks are for those who bring their own loop.
    assert!(size_of::<Step>() <= 24);
};
