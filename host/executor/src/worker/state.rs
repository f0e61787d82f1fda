//! A worker: what it knows, and in which phase of the loop it is.

use crate::{
    error::Closed,
    events,
    executor::{Executor, OwnSlot, SharedRef},
    fair::Meter,
    platform::{CurrentWorker, WorkerId},
    sync::Ordering::{Acquire, Relaxed},
    task::TaskRef,
};
use core::{fmt, marker::PhantomData, ptr::NonNull};

/// Runs tasks on one core.
///
/// Bound to the thread that it was made on. Dropping it hands its queued tasks to the others.
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
///
/// drop(executor.spawn(async {}));
/// assert_eq!(worker.tick().polled, 1);
/// ```
pub struct Worker {
    pub(super) executor: Executor,
    pub(super) id: WorkerId,
    /// Its slot, which is there while the executor is.
    slot: NonNull<OwnSlot>,
    pub(super) phase: Phase,
    /// Polls so far, for the intervals.
    pub(super) polls: usize,
    /// What its slot's count of polls was when the present pass began: for `tick` events.
    pub(super) passed: usize,
    /// Fast-lane polls since the fair lane last had its turn.
    pub(super) skipped: usize,
    /// Tasks in a row that were taken from the queue's slot for the next task.
    pub(super) in_a_row: usize,
    /// When the last step ended, if that was a poll in the fair lane: the next one begins there.
    pub(super) now: Option<u64>,
    /// The stolen task to poll next; kept out of the queue so that two thieves cannot trade it forever. It is here only
    /// from a search to the next step: [`Self::offer_queue`] puts it into the queue if that step does not come.
    pub(super) stolen_next: Option<TaskRef>,
    pub(super) random: fastrand::Rng,
    /// The cell that says "this worker runs here" is its thread's.
    _not_send: PhantomData<*mut ()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// Counted as a searcher.
    Searching,
    /// Others may wake it.
    Announced,
    /// The caller was told to park.
    Asleep,
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
    pub fn new(executor: &Executor) -> Result<Self, Closed> {
        if executor.is_closed() {
            return Err(Closed);
        }
        let shared = executor.shared();
        let id = shared.add_worker();
        let slot = shared.slots().get(id);
        let slot = slot.expect("a worker's slot is made before the worker");
        // SAFETY: nobody else has this worker, and a `Worker` stays on its thread.
        let slot = unsafe { slot.own() };
        // An earlier worker of this slot read another thread's CPU clock.
        slot.meter(|meter| *meter = Meter::default());
        Ok(Self {
            slot: NonNull::from(slot),
            executor: executor.clone(),
            id,
            phase: Phase::Running,
            polls: 0,
            passed: slot.counts.polls.get(),
            skipped: 0,
            in_a_row: 0,
            now: None,
            stolen_next: None,
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
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// The executor that it works for.
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    pub(super) fn shared(&self) -> &SharedRef {
        self.executor.shared()
    }

    pub(super) fn slot(&self) -> &OwnSlot {
        // SAFETY: slots stay as long as the executor, to which we have a handle, and a `Worker` stays on its thread.
        unsafe { self.slot.as_ref() }
    }

    /// The slot, not borrowed from the worker.
    ///
    /// # Safety
    ///
    /// The worker outlives the result.
    pub(super) unsafe fn unbound_slot<'a>(&self) -> &'a OwnSlot {
        // SAFETY: as in `slot`; that we outlive the result, the caller promises.
        unsafe { self.slot.as_ref() }
    }

    /// Has work: is no searcher any more.
    pub(super) fn found(&mut self) {
        if self.phase == Phase::Searching && self.shared().idle().found() {
            // Rule 3 of the idle protocol: threads that queued meanwhile relied on us.
            self.shared().notify();
        }
        self.phase = Phase::Running;
    }

    /// Takes the announcement back. A worker that is not announced any more was woken, and so is a searcher.
    pub(super) fn retract(&mut self) {
        if matches!(self.phase, Phase::Announced | Phase::Asleep) {
            if self.phase == Phase::Asleep {
                events::wake(self.id);
            }
            self.shared().idle().retract(self.id);
            self.phase = Phase::Searching;
        }
    }

    /// Makes sure that nobody relies on this worker, which is about to run foreign code that is no task, or to return to
    /// its caller: it is not announced, not searching, and the others know what it has queued.
    pub(super) fn stand_down(&mut self) {
        self.retract();
        self.found();
        self.offer_queue();
    }

    /// Before anything but the next task of the own queue: `requeue` may have queued one without a
    /// notification.
    pub(super) fn offer_queue(&mut self) {
        if let Some(task) = self.stolen_next.take() {
            self.slot().own_queue().push_back(task);
        }
        if !self.slot().queue.is_empty() {
            self.shared().notify();
        }
    }

    pub(super) fn run_woken(&self) -> bool {
        self.slot().run_woken.load(Relaxed)
    }

    pub(super) fn take_run_woken(&self) -> bool {
        // The load keeps the usual case from writing. Acquire pairs with the Release of `RunWaker::wake_by_ref`: what the
        // waker did is visible to the poll.
        self.run_woken() && self.slot().run_woken.swap(false, Acquire)
    }

    pub(super) fn lane_waits(&self) -> bool {
        let domain = self.slot().domain();
        self.shared().lanes().may_have_tasks(domain)
    }

    /// Parks after a step said so.
    pub(super) fn park(&self, until: Option<u64>) {
        self.slot().counts.parks.add(1);
        self.shared().platform().park(self.id, until);
    }

    /// Outside of ticks, a pass ends when the worker looks elsewhere, has polled as many tasks as a tick would, or has no
    /// future to run any more: if at least `polls` tasks were polled in it.
    #[inline]
    pub(super) fn end_pass(&mut self, polls: usize) {
        if cfg!(feature = "tracing") {
            let now = self.slot().counts.polls.get();
            let polled = now.wrapping_sub(self.passed);
            if polled >= polls {
                self.passed = now;
                events::tick(self.id, polled, !self.slot().queue.is_empty());
            }
        }
    }

    // === the core's cell ===

    pub(super) fn enter(&self) -> Entered {
        let shared = self.shared().clone();
        let this = shared.current(self.slot());
        // SAFETY: this worker runs here until `Entered` puts back what was there before.
        let before = unsafe { shared.platform().set_current_worker(Some(this)) };
        Entered { shared, before }
    }
}

/// While it lives, the core's cell names the worker.
pub(super) struct Entered {
    shared: SharedRef,
    before: Option<CurrentWorker>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // SAFETY: it was there before on this core: a worker cannot leave its thread. The worker that it names runs on.
        unsafe { self.shared.platform().set_current_worker(self.before) };
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stand_down();
        self.shared().remove_worker(self.slot());
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
