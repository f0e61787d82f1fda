//! Tells a fuel yield from a real wait.
//!
//! wasmtime has no callback for fuel: when a slice is used up the call's future wakes its own waker
//! during the poll and returns `Pending`, just as a wait does whose event comes at once. Neither must
//! be taken for a wait that nothing will end, and both may simply be polled again. So the call is
//! polled with a waker that notes wakes which come during the poll, and passes on all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Wake, Waker};

use futures::task::AtomicWaker;

/// Not being polled: wakes go to the executor.
const IDLE: u8 = 0;
/// Being polled, not woken since the poll began.
const POLLING: u8 = 1;
/// Being polled, and woken since.
const WOKEN: u8 = 2;

#[derive(Default)]
pub(crate) struct FuelWaker {
    state: AtomicU8,
    executor: AtomicWaker,
}

impl FuelWaker {
    /// The poll that begins now is a poll of the task with `waker`.
    pub(crate) fn begin(&self, waker: &Waker) {
        self.executor.register(waker);
        // Release: pairs with the Acquire in `wake_by_ref`, which must not see `IDLE` of this poll's
        // end with the waker of an earlier one.
        self.state.store(POLLING, Ordering::Release);
    }

    /// The poll has returned `Pending`: whether it was woken meanwhile. From here on wakes go to the
    /// executor.
    #[must_use]
    pub(crate) fn end(&self) -> bool {
        self.state.swap(IDLE, Ordering::AcqRel) == WOKEN
    }
}

impl Wake for FuelWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // AcqRel: what the waker's caller did is visible to the poll that follows (pairs with `end`).
        match self
            .state
            .compare_exchange(POLLING, WOKEN, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) | Err(WOKEN) => {}
            Err(_) => self.executor.wake(),
        }
    }
}
