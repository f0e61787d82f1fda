//! The waker of a guest's task, which knows whether the task was woken in the middle of a poll.
//!
//! Everything inside the task sees this waker; it stands before the executor's. It answers two questions
//! that the executor's cannot:
//!
//! - Was a poll that returned `Pending` a wait? wasmtime has no callback for fuel: when a slice is used up,
//!   the call's future wakes its own waker and returns `Pending`, as a wait does whose event comes at once.
//!   Neither must be taken for a wait that nothing will end.
//! - Must a guest that runs give way to its own task? What wakes the task while its guest runs (the timer of
//!   a timeout around the call) is seen only when the task's future is polled again.
//!
//! # Protocol
//!
//! 1. Between two polls wakes go to the executor.
//! 2. A wake during a poll is noted. When the poll has returned, the task is woken at the executor once.
//! 3. A wake during a poll that comes from elsewhere is also counted in the clock until the poll ends, so that
//!    the guest comes to a preemption point; there it gives way.
//! 4. A wake that comes from the poll itself is not: mostly the poll ends right after it, and a guest that
//!    yields must cost no epochs. Where a guest's code goes on after such a wake, [`notice`](PollWaker::notice)
//!    counts it.
//! 5. A future of the embedder's that is polled after the guest's call may wake the task in its own poll. The next
//!    poll resumes the guest first. So that poll begins as if it had been woken from elsewhere. The guest's own
//!    yields wake the task too, so they are told apart by their number.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::Waker;

use futures::task::AtomicWaker;

use crate::sched::clock::Clock;

/// Not being polled.
const IDLE: u8 = 0;
/// Being polled, not woken since the poll began.
const POLLING: u8 = 1;
/// Being polled, and woken since by the poll itself.
const WOKEN: u8 = 2;
/// Being polled, woken since, and counted in the clock.
const COUNTED: u8 = 3;
/// Being polled, not woken since the poll began, but woken by the last poll, and counted in the clock.
const RECALLED: u8 = 4;

#[derive(Default)]
pub(super) struct PollWaker {
    state: AtomicU8,
    executor: AtomicWaker,
    /// Wakes by the present poll itself. Only the thread that polls counts them, and the next count.
    own: AtomicU32,
    /// How many of these the guest is known to make, because it gives way.
    given_way: AtomicU32,
}

impl PollWaker {
    /// Whether the poll that goes on was woken since it began.
    pub(super) fn is_woken(&self) -> bool {
        // Relaxed: the answer is for the poll that comes next, which synchronizes by itself.
        self.state.load(Ordering::Relaxed) >= WOKEN
    }

    /// Guest code goes on in this poll. If the poll has woken its own task, the guest must give way soon.
    pub(super) fn notice(&self, clock: &Clock) {
        if self.state.load(Ordering::Relaxed) == WOKEN
            && self
                .state
                .compare_exchange(WOKEN, COUNTED, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        {
            clock.woken();
        }
    }

    /// The guest gives way in this poll, and wakes its task for that.
    pub(super) fn gives_way(&self) {
        self.given_way.fetch_add(1, Ordering::Relaxed);
    }

    /// The task is disposed of: its wakers wake nobody any more.
    pub(super) fn forget(&self) {
        drop(self.executor.take());
    }

    /// Somebody wakes the task; `own` is its own poll.
    pub(super) fn wake(&self, own: bool, clock: &Clock) {
        if own {
            self.own.fetch_add(1, Ordering::Relaxed);
        }
        loop {
            let now = self.state.load(Ordering::Relaxed);
            let then = match (now, own) {
                (IDLE, _) => IDLE,
                (POLLING | WOKEN, true) => WOKEN,
                // From elsewhere, or counted already.
                _ => COUNTED,
            };
            // AcqRel, and written even where nothing changes: the poll that begins or ends after this sees what
            // the waker's caller did, for it exchanges the word as well (pairs with `begin` and `finish`).
            let noted = self
                .state
                .compare_exchange(now, then, Ordering::AcqRel, Ordering::Relaxed);
            match noted {
                Ok(IDLE) => return self.executor.wake(),
                Ok(COUNTED | RECALLED) => return,
                Ok(_) if then == COUNTED => return clock.woken(),
                Ok(_) => return,
                // The poll has gone on, or another waker was first.
                Err(_) => {}
            }
        }
    }
}

/// A poll that goes on.
pub(super) struct Polling<'a> {
    waker: &'a PollWaker,
    clock: &'a Clock,
}

impl<'a> Polling<'a> {
    /// A poll of the task begins. `executor` is the task's waker at the executor. `woken`: the last poll woke the
    /// task for something that this one may reach only after the guest. Step 5.
    pub(super) fn begin(
        waker: &'a PollWaker,
        clock: &'a Clock,
        executor: &Waker,
        woken: bool,
    ) -> Self {
        waker.executor.register(executor);
        waker.own.store(0, Ordering::Relaxed);
        waker.given_way.store(0, Ordering::Relaxed);
        let state = if woken { RECALLED } else { POLLING };
        // AcqRel: pairs with `wake`. Of a wake that found `IDLE` before this, the poll sees the cause.
        waker.state.swap(state, Ordering::AcqRel);
        if woken {
            clock.woken();
        }
        Self { waker, clock }
    }

    /// Whether the poll has woken itself, and the guest's giving way does not explain it. Where `by_guest`, the guest
    /// may have done so once without a word, at the end of a slice of fuel.
    pub(super) fn is_woken_beside(&self, by_guest: bool) -> bool {
        let given_way = self.waker.given_way.load(Ordering::Relaxed);
        self.waker.own.load(Ordering::Relaxed) > given_way.max(u32::from(by_guest))
    }

    /// The poll has returned: whether its task was woken meanwhile. From here on wakes go to the executor.
    #[must_use]
    pub(super) fn end(self) -> bool {
        let woken = self.finish();
        std::mem::forget(self);
        woken
    }

    fn finish(&self) -> bool {
        // AcqRel: pairs with `wake`.
        let state = self.waker.state.swap(IDLE, Ordering::AcqRel);
        if matches!(state, COUNTED | RECALLED) {
            self.clock.heeded();
        }
        matches!(state, WOKEN | COUNTED)
    }
}

impl Drop for Polling<'_> {
    /// The poll panicked.
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Executor(AtomicUsize);

    impl Wake for Executor {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    // Fault: a lone guest whose own yields start the clock; a wake from elsewhere that does not; one that is counted
    // twice, or for ever.
    #[test]
    fn wakes_from_elsewhere_are_counted_while_the_poll_lasts() {
        let (waker, clock) = (PollWaker::default(), Clock::new(None));
        let executor = Arc::new(Executor::default());
        let its = Waker::from(executor.clone());
        let woken_at_executor = || executor.0.load(Ordering::Relaxed);

        let poll = Polling::begin(&waker, &clock, &its, false);
        assert!(!waker.is_woken() && !poll.end());

        let poll = Polling::begin(&waker, &clock, &its, false);
        waker.wake(true, &clock);
        assert_eq!((waker.is_woken(), clock.count_woken()), (true, 0));
        waker.notice(&clock);
        waker.notice(&clock);
        assert_eq!(clock.count_woken(), 1, "guest code goes on after it");
        assert!(poll.end());
        assert_eq!(clock.count_woken(), 0);

        for own in [true, false] {
            let poll = Polling::begin(&waker, &clock, &its, false);
            waker.wake(own, &clock);
            waker.wake(false, &clock);
            waker.wake(own, &clock);
            assert_eq!(clock.count_woken(), 1);
            assert!(poll.end());
            assert_eq!(clock.count_woken(), 0);
        }

        drop(Polling::begin(&waker, &clock, &its, false));
        assert_eq!(woken_at_executor(), 0, "whoever polls passes those on");
        waker.wake(false, &clock);
        assert_eq!(woken_at_executor(), 1);
        let poll = Polling::begin(&waker, &clock, &its, false);
        assert!(!poll.end());
        waker.forget();
        waker.wake(false, &clock);
        assert_eq!(woken_at_executor(), 1, "the task is gone");
    }

    // Fault: a poll that was woken by the last one and does not know it, or that is taken for woken itself; a guest's
    // own giving way that is taken for a wake by another future.
    #[test]
    fn a_poll_that_was_woken_by_the_last_one_is_counted_until_it_ends() {
        let (waker, clock) = (PollWaker::default(), Clock::new(None));
        let its = Waker::from(Arc::new(Executor::default()));

        let poll = Polling::begin(&waker, &clock, &its, false);
        waker.gives_way();
        assert!(!poll.is_woken_beside(true));
        waker.wake(true, &clock);
        assert!(!poll.is_woken_beside(false));
        waker.wake(true, &clock);
        assert!(poll.is_woken_beside(false) && poll.is_woken_beside(true));
        assert!(poll.end());

        let poll = Polling::begin(&waker, &clock, &its, true);
        assert_eq!((waker.is_woken(), clock.count_woken()), (true, 1));
        assert!(!poll.end(), "nothing woke this one");
        assert_eq!(clock.count_woken(), 0);

        for own in [true, false] {
            let poll = Polling::begin(&waker, &clock, &its, true);
            waker.wake(own, &clock);
            assert_eq!(clock.count_woken(), 1);
            assert!(poll.end());
            assert_eq!(clock.count_woken(), 0);
        }
    }

    // Fault: a wake that comes as a poll begins or ends and reaches neither the poll nor the executor.
    #[test]
    fn no_wake_is_lost_between_polls() {
        const WAKES: usize = 50_000;
        let (waker, clock) = (PollWaker::default(), Clock::new(None));
        let executor = Arc::new(Executor::default());
        let its = Waker::from(executor.clone());
        let (said, heard) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=WAKES {
                    said.store(number, Ordering::Relaxed);
                    waker.wake(false, &clock);
                    while heard.load(Ordering::Relaxed) < number {
                        std::thread::yield_now();
                    }
                }
            });
            let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
            while heard.load(Ordering::Relaxed) < WAKES {
                let before = executor.0.load(Ordering::Relaxed);
                let poll = Polling::begin(&waker, &clock, &its, false);
                heard.store(said.load(Ordering::Relaxed), Ordering::Relaxed);
                // As an executor does: the next poll comes when it is woken.
                let woken = poll.end() || heard.load(Ordering::Relaxed) == WAKES;
                while !woken && executor.0.load(Ordering::Relaxed) == before {
                    assert!(std::time::Instant::now() < until, "a wake was lost");
                    std::thread::yield_now();
                }
            }
        });
        assert_eq!(clock.count_woken(), 0);
    }
}
