//! One pass of the loop, as the steps of a state machine. [`Worker::run`] is a loop over it.
//!
//! ```text
//!                       +--------- Polled --------+
//!                       v                         |
//!   +--------------> running --- has a task ------+
//!   |                   | has none
//!   |                   v
//!   +--- Stole ----- searching  (everywhere, up to 4 rounds)
//!   |                   | found nothing
//!   |                   v
//!   |               announced ("I sleep": others may wake it from here on)
//!   |                   | looks everywhere once more
//!   +-- Retracted ------+   (a task at hand is polled at once: Polled)
//!   |                   v
//!   +--- woken ------ asleep    Sleep: the caller parks
//! ```

use super::state::{Phase, Worker};
use crate::{
    events,
    planted::{Planted, is_planted},
};

/// Polls in a [`Worker::tick`].
pub(super) const TICK_POLLS: usize = 256;

/// Rounds over all other workers before a searcher gives up.
const STEAL_ROUNDS: u32 = 4;

/// What [`Worker::step`] did.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Step, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// drop(executor.spawn(async {}));
/// assert_eq!(worker.step(), Step::Stole(1));
/// assert_eq!(worker.step(), Step::Polled);
/// assert_eq!(worker.step(), Step::Announced);
/// assert_eq!(worker.step(), Step::Sleep { until: None });
/// executor.close();
/// assert_eq!(worker.step(), Step::Closed);
/// ```
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// It polled a task, or dropped its reference to one that had been cancelled while it was queued.
    Polled,
    /// It had none, and moved this many to its queue.
    Stole(usize),
    /// It found none anywhere, and announced that it sleeps.
    Announced,
    /// It found one when it looked once more, and took its announcement back.
    Retracted,
    /// There is nothing to do: park until woken, or until this time of the platform's clock.
    Sleep {
        /// Nanoseconds of [`Platform::now`](crate::Platform::now).
        until: Option<u64>,
    },
    /// The executor is closed.
    Closed,
}

impl Worker {
    /// One step of the loop. After [`Step::Sleep`] the caller parks, then calls this again.
    ///
    /// [`run`](Self::run) is a loop over this; a simulator interleaves the steps of many workers.
    pub fn step(&mut self) -> Step {
        let _entered = self.enter();
        self.slot().awaited.clear();
        // A late waker of a `run` that is over keeps nobody awake.
        let _ = self.take_run_woken();
        // What the caller did since the last step was no poll's time.
        self.now = None;
        self.step_entered(1)
    }

    /// `step`, on a core whose cell names this worker; in the fair lane it may poll up to `most` tasks.
    pub(super) fn step_entered(&mut self, most: usize) -> Step {
        if self.shared().is_closed() {
            self.stand_down();
            return Step::Closed;
        }
        match self.phase {
            Phase::Running | Phase::Searching => match self.next(most) {
                Some(task) => {
                    self.found();
                    self.poll(task, most);
                    self.end_pass(TICK_POLLS);
                    Step::Polled
                }
                None => self.search_or_announce(),
            },
            Phase::Announced if is_planted(Planted::LostWake) => {
                self.shared().idle().announce(self.id, false);
                self.phase = Phase::Asleep;
                Step::Sleep { until: None }
            }
            Phase::Announced => {
                if self.run_woken() {
                    self.retract();
                    return Step::Retracted;
                }
                // The second look. It takes what it finds. For what is counted and cannot be taken now (a thief holds
                // the queue, a push is half done) another thread notifies; to stay awake for it would be to spin until
                // that thread gets on.
                if let Some(task) = self.next(most) {
                    self.retract();
                    self.found();
                    self.poll(task, most);
                    return Step::Polled;
                }
                if self.look_everywhere() > 0 {
                    self.retract();
                    return Step::Retracted;
                }
                self.phase = Phase::Asleep;
                // A worker that parks a group after this look notifies, and finds this worker announced.
                let until = self.shared().lanes().next_refill();
                let platform = self.shared().platform();
                let tries_again = self.slot().look(|look| look.until(|| platform.now()));
                let until = until.into_iter().chain(tries_again).min();
                events::sleep(self.id, until);
                Step::Sleep { until }
            }
            Phase::Asleep => {
                self.now = None;
                // Woken, or not: a park may end for no reason.
                self.retract();
                self.step_entered(most)
            }
        }
    }

    fn search_or_announce(&mut self) -> Step {
        self.end_pass(1);
        let workers = self.shared().lanes().workers();
        if self.phase == Phase::Running && self.shared().idle().try_search(workers) {
            self.phase = Phase::Searching;
        }
        // A worker that may not search looks once, so that it does not sleep beside queued tasks.
        let rounds = if self.phase == Phase::Searching {
            STEAL_ROUNDS
        } else {
            1
        };
        let stolen = self.search(rounds);
        if stolen > 0 {
            self.found();
            return Step::Stole(stolen);
        }
        let searching = self.phase == Phase::Searching;
        if is_planted(Planted::LostWake) {
            let _ = searching && self.shared().idle().found();
            self.phase = Phase::Announced;
            return Step::Announced;
        }
        self.shared().idle().announce(self.id, searching);
        self.phase = Phase::Announced;
        Step::Announced
    }
}

const _: () = assert!(size_of::<Step>() <= 24);
