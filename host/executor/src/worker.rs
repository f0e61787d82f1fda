//! The loop that runs tasks on one core.
//!
//! One pass, as the steps of a state machine ([`Worker::step`]); [`Worker::run`] is a loop over it:
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
//!
//! Which task is next: every [`INJECTOR_INTERVAL`] polls the injector is looked at, however long the
//! local queue is. The fast lane goes before the fair lane, but after [`FAIR_SKIPS`] fast polls the fair
//! lane has its turn.

mod run;
mod tick;

pub use self::tick::Tick;
#[cfg(feature = "counters")]
pub use self::tick::WorkerStats;

use crate::{
    error::Closed,
    executor::{Executor, Strong},
    group::{Meter, lane::Used},
    planted::{Planted, is_planted},
    platform::{Core, WorkerId},
    scheduler::{Scheduler, Slot},
    sync::Ordering::{AcqRel, Relaxed},
    task::{Ran, TaskRef},
};
use core::{fmt, marker::PhantomData, ptr::NonNull};

/// Polls from the local queue between two looks at the injector. As in other schedulers a prime, so that
/// it does not resonate with the workload; guessed, `hart-bench`'s suite `executor` would settle it.
///
/// # Examples
///
/// ```
/// // As often as a task from outside is looked for, however busy the worker is.
/// assert!(hart_executor::INJECTOR_INTERVAL < 100);
/// ```
pub const INJECTOR_INTERVAL: usize = 61;

/// Polls of fast-lane tasks that a waiting guest sits out at most. Guessed.
///
/// # Examples
///
/// ```
/// // A guest waits for so many polls of the fast lane at most, however many there are.
/// assert!(hart_executor::FAIR_SKIPS < 100);
/// ```
pub const FAIR_SKIPS: usize = 32;

/// Tasks that are taken from the injector at once, at most.
const INJECTOR_BATCH: usize = 256;

/// Rounds over all other workers before a searcher gives up.
const STEAL_ROUNDS: u32 = 4;

/// Runs tasks on one core.
///
/// Bound to the thread it was made on. Dropping it hands its queued tasks to the others.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// let answer = worker.run(async { 6 * 7 }).unwrap();
/// assert_eq!(answer, 42);
/// ```
pub struct Worker {
    executor: Executor,
    id: WorkerId,
    /// Its place, which is there while the executor is.
    slot: NonNull<Slot>,
    phase: Phase,
    /// Polls so far, for the intervals.
    polls: usize,
    /// Fast-lane polls since the fair lane last had its turn.
    skipped: usize,
    /// Tasks in a row that were taken from the queue's slot for the next task.
    in_a_row: usize,
    /// When the last step ended, if that was a poll in the fair lane: the next one begins there.
    now: Option<u64>,
    /// Of what it stole last, the task to poll next. Were it in the queue, two idle workers could take it
    /// from one another for ever. Here only from a search to the next step; [`Self::offer_queue`] puts it
    /// into the queue if that step does not come.
    hand: Option<TaskRef>,
    random: fastrand::Rng,
    /// The cell that says "this worker runs here" is its thread's.
    _not_send: PhantomData<*mut ()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Counted as a searcher.
    Searching,
    /// Others may wake it.
    Announced,
    /// The caller was told to park.
    Asleep,
}

/// What [`Worker::step`] did.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Step, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
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
    /// A worker of `executor`, on the calling thread.
    ///
    /// # Errors
    ///
    /// [`Closed`] after [`Executor::close`].
    ///
    /// # Panics
    ///
    /// With more than 4096 workers.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Closed, Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// assert_eq!(Worker::new(&executor).unwrap().id(), 0);
    /// executor.close();
    /// assert!(matches!(Worker::new(&executor), Err(Closed)));
    /// ```
    pub fn new(executor: &Executor) -> Result<Self, Closed> {
        if executor.is_closed() {
            return Err(Closed);
        }
        let shared = executor.shared();
        let id = shared.add_worker();
        let slot = shared.slots().get(id);
        let slot = slot.expect("a worker's place is made before the worker");
        // An earlier worker of this place read another thread's CPU clock.
        slot.meter(|meter| *meter = Meter::default());
        Ok(Self {
            slot: NonNull::from(slot),
            executor: executor.clone(),
            id,
            phase: Phase::Running,
            polls: 0,
            skipped: 0,
            in_a_row: 0,
            now: None,
            hand: None,
            // Workers must not all begin at the same victim.
            random: fastrand::Rng::with_seed(
                shared
                    .platform()
                    .seed()
                    .wrapping_add((id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            ),
            _not_send: PhantomData,
        })
    }

    /// The worker's id, stable while it lives.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let workers = [1, 2].map(|_| Worker::new(&executor).unwrap());
    /// assert_ne!(workers[0].id(), workers[1].id());
    /// ```
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// The executor that it works for.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// drop(worker.executor().spawn(async {}));
    /// assert_eq!(worker.tick().polled, 1);
    /// ```
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Its queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// assert_eq!(worker.scheduler().queue_len(), 0);
    /// # worker.tick();
    /// ```
    pub fn scheduler(&self) -> Scheduler {
        Scheduler::new(self.shared().clone(), self.id)
    }

    /// The task that it polls, asked from inside that poll; else `None`.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let worker = Worker::new(&executor).unwrap();
    /// assert!(worker.current_task().is_none(), "it polls none now");
    /// ```
    pub fn current_task(&self) -> Option<TaskRef> {
        self.scheduler().current_task()
    }

    fn shared(&self) -> &Strong {
        self.executor.shared()
    }

    fn slot(&self) -> &Slot {
        // SAFETY: places stay as long as the executor, to which we have a handle.
        unsafe { self.slot.as_ref() }
    }

    /// One step of the loop. After [`Step::Sleep`] the caller parks, then calls this again.
    ///
    /// [`run`](Self::run) is a loop over this; a simulator interleaves the steps of many workers.
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
    /// ```
    pub fn step(&mut self) -> Step {
        let _entered = self.enter();
        // A late waker of a `run` that is over keeps nobody awake.
        let _ = self.take_run_woken();
        // Whatever the caller did since the last step was no poll's time.
        self.now = None;
        self.step_entered(1)
    }

    /// `step`, on a core whose cell names this worker; in the fair lane it may poll up to `most` tasks.
    fn step_entered(&mut self, most: usize) -> Step {
        if self.shared().is_closed() {
            self.stand_down();
            return Step::Closed;
        }
        match self.phase {
            Phase::Running | Phase::Searching => match self.next(most) {
                Some(task) => {
                    self.found();
                    self.poll(task, most);
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
                // The second look. It takes what it finds. What is counted and cannot be taken now (a thief
                // holds the queue, a push is half done) is somebody else's to notify; to stay awake for it
                // would be to spin until they get on.
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
                // Whoever parks a group after this look notifies, and finds this worker announced.
                Step::Sleep {
                    until: self.shared().lane().next_refill(),
                }
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
        let workers = self.shared().slots().active();
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

    /// Has work: is no searcher any more.
    fn found(&mut self) {
        if self.phase == Phase::Searching && self.shared().idle().found() {
            // Rule 3 of the idle protocol: those who queued meanwhile relied on us.
            self.shared().notify();
        }
        self.phase = Phase::Running;
    }

    /// Takes the announcement back. Whoever is not announced any more was woken, and so is a searcher.
    fn retract(&mut self) {
        if matches!(self.phase, Phase::Announced | Phase::Asleep) {
            // Taking ourselves from the list counts us as a searcher, as if another had woken us; if
            // another was first, it has counted us already.
            let _ = self.shared().idle().wake_this(self.id);
            self.phase = Phase::Searching;
        }
    }

    /// Nobody may rely on this worker: it is about to run foreign code that is no task, or to return to
    /// its caller. Not announced, not searching, and what it has queued is known to the others.
    fn stand_down(&mut self) {
        self.retract();
        self.found();
        self.offer_queue();
    }

    /// Before anything but the next task of the own queue: `requeue` may have queued one without a
    /// notification.
    fn offer_queue(&mut self) {
        if let Some(task) = self.hand.take() {
            self.slot().queue.push_back(task);
        }
        if !self.slot().queue.is_empty() {
            self.shared().notify();
        }
    }

    fn run_woken(&self) -> bool {
        self.slot().run_woken.load(Relaxed)
    }

    fn take_run_woken(&self) -> bool {
        // The load keeps the usual case from writing. AcqRel: what the waker did is visible to the poll.
        self.run_woken() && self.slot().run_woken.swap(false, AcqRel)
    }

    fn lane_waits(&self) -> bool {
        self.shared().lane().may_have_tasks()
    }

    // === choosing ===

    /// The task to poll next from what is at hand: the own queue, the fair lane, and now and then the
    /// injector. From the fair lane up to `most` together, the others of which are in the slot's turn then.
    fn next(&mut self, most: usize) -> Option<TaskRef> {
        if let Some(task) = self.hand.take() {
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
        let task = self.shared().lane().pop(now, &self.slot().turn, most)?;
        self.offer_queue();
        Some(task)
    }

    fn next_local(&mut self) -> Option<TaskRef> {
        // A thief that holds the backlog notifies us when it is done; meanwhile there is other work.
        // SAFETY: as in `slot`; not borrowed from `self`, which is changed here.
        let slot = unsafe { self.slot.as_ref() };
        let (task, missed) = slot.queue.pop(&mut self.in_a_row);
        if missed {
            self.shared().notify();
        }
        task
    }

    // === searching ===

    fn take_from_injector(&self) -> usize {
        let injector = self.shared().injector();
        if injector.len() == 0 {
            return 0;
        }
        // Who takes from it now notifies us when it is done.
        let Some(mut taker) = injector.try_take() else {
            return 0;
        };
        // Behind what is queued here, and however full the ring is: tasks that yield for ever must not keep out what
        // comes from outside, nor that keep out the backlog.
        let queue = &self.slot().queue;
        let taken = taker.take(INJECTOR_BATCH, |task| queue.push_back(task));
        if taker.release() {
            self.shared().notify();
        }
        self.stole(taken)
    }

    /// Injector, other workers, injector: up to `rounds` rounds, with a growing pause in between. Only in the last one
    /// does it take what another worker is about to run. A group's task is not stolen, it is at hand for everybody.
    fn search(&mut self, rounds: u32) -> usize {
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
                // Whoever queues relies on searchers.
                if self.shared().injector().len() > 0 || self.lane_waits() || self.run_woken() {
                    break;
                }
            }
        }
        self.take_from_injector()
    }

    /// One look at every queue but the own.
    fn look_everywhere(&mut self) -> usize {
        self.search(1)
    }

    /// Tasks came to the own queue.
    fn stole(&self, tasks: usize) -> usize {
        if tasks > 0 {
            let slot = self.slot();
            slot.counts.steals.add(1);
            slot.counts.stolen.add(tasks);
            // A searcher sees to this when it stops searching. Others might have looked for the tasks while
            // they were on their way here. One task alone is polled next, by this worker.
            if self.phase == Phase::Running && tasks > 1 {
                self.shared().notify();
            }
        }
        tasks
    }

    /// Tries to take half of some other worker's queue, from a random one on.
    fn steal_round(&mut self, last_resort: bool) -> usize {
        let slots = self.shared().slots().len();
        if slots < 2 {
            return 0;
        }
        let start = self.random.usize(..slots);
        for victim in (start..slots).chain(0..start) {
            if victim == self.id {
                continue;
            }
            let (hand, more) = self.steal_half(victim, last_resort);
            if hand.is_some() {
                self.hand = hand;
                return self.stole(1 + more);
            }
        }
        if last_resort {
            // Tasks that wait behind a poll which is longer than its group's usually are.
            let turns = self
                .shared()
                .slots()
                .iter()
                .filter(|slot| slot.worker() != self.id);
            let now = self.shared().platform().now();
            for slot in turns {
                let reclaimed = self.shared().lane().reclaim(&slot.turn, now);
                if reclaimed > 0 {
                    return self.stole(reclaimed);
                }
            }
        }
        0
    }

    /// Half of a worker's queue: the oldest task for the hand, and how many others are in the own queue now.
    fn steal_half(&self, victim: WorkerId, last_resort: bool) -> (Option<TaskRef>, usize) {
        let Some(slot) = self.shared().slots().get(victim) else {
            return (None, 0);
        };
        let mut stolen = slot.queue.steal_half(&self.slot().queue, last_resort);
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

    // === polling ===

    /// `false` if there was nothing to poll: the task was cancelled while it was queued. In the fair lane it polls
    /// further tasks, up to `most` in all, while nothing else is at hand.
    fn poll(&mut self, task: TaskRef, most: usize) -> bool {
        if task.header().group().is_some() {
            return self.poll_fair(task, most);
        }
        self.now = None;
        let ran = task.run(self.slot());
        let polled = self.count(&ran);
        if let Ran::Requeue(task) = ran {
            self.shared().requeue(self.slot(), task);
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
        // SAFETY: as in `slot`; not borrowed from `self`, which counts.
        let slot = unsafe { self.slot.as_ref() };
        let mut now = self.now.unwrap_or_else(|| platform.now());
        let mut next = Some(task);
        let (mut polled, mut left) = (false, most);
        while let Some(first) = next.take() {
            let group = first.header().group().cloned();
            let group = group.expect("only tasks of groups are in the fair lane");
            slot.meter(|meter| meter.begin(now, &*platform));
            let began = now;
            let (mut polls, mut taken, mut waited) = (0, 0, 0);
            let mut task = first;
            let requeue = loop {
                left = left.saturating_sub(1);
                taken += 1;
                waited += task.header().queued_for(now);
                let ran = task.run(slot);
                polls += usize::from(self.count(&ran));
                let requeue = match ran {
                    Ran::Requeue(task) => Some(task),
                    _ => None,
                };
                match slot.turn.next(requeue) {
                    Ok(next) => task = next,
                    Err(requeue) => break requeue,
                }
            };
            now = platform.now();
            let (charged, cpu) = slot.meter(|meter| (meter.began(), meter.end(now, &*platform)));
            group.counts.waited(waited);
            group.counts.charge(cpu);
            group.counts.polled(polls);
            polled |= polls > 0;
            let most = if self.has_nothing_else() { left } else { 0 };
            let used = Used {
                cpu,
                charged,
                began,
                now,
                polls: taken,
            };
            let finished = self
                .shared()
                .lane()
                .finish(&group, used, requeue, &slot.turn, most);
            next = finished.next;
            if finished.notify {
                self.shared().notify();
            }
        }
        self.now = Some(now);
        polled
    }

    /// Whether the worker's next task would come from the fair lane.
    fn has_nothing_else(&self) -> bool {
        let shared = self.shared();
        self.slot().queue.is_empty()
            && shared.injector().len() == 0
            && !self.run_woken()
            && !shared.is_closed()
    }

    // === the core's cell ===

    fn enter(&self) -> Entered {
        let shared = self.shared().clone();
        let before = shared.platform().set_core(Some(shared.core(self.slot())));
        Entered { shared, before }
    }
}

/// The pause after a searcher's round: the first is short, because work often comes in bursts.
fn pause(round: u32) {
    /// Guessed.
    const SPINS: u32 = 8;
    if cfg!(not(loom)) {
        for _ in 0..SPINS << (2 * round) {
            core::hint::spin_loop();
        }
    }
}

/// While it lives, the core's cell names the worker.
struct Entered {
    shared: Strong,
    before: Option<Core>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.shared.platform().set_core(self.before);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stand_down();
        self.shared().remove_worker(self.id);
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.id)
            .field("phase", &self.phase)
            .field("executor", &self.executor)
            .finish()
    }
}
