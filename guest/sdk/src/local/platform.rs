//! What the executor needs from the machine, inside a guest.

use super::{reactor, source};
use hart_executor::{CurrentWorker, Platform, WorkerId};
use std::cell::Cell;

thread_local! {
    static CORE: Cell<Option<CurrentWorker>> = const { Cell::new(None) };
}

/// The thread of a `block_on`: one worker, which sleeps in the reactor.
#[derive(Default)]
pub(super) struct InGuest {
    token: source::Token,
}

// SAFETY: the cell is the calling thread's own, and nothing but `set_current_worker` writes it.
unsafe impl Platform for InGuest {
    fn park(&self, _: WorkerId, until: Option<u64>) {
        reactor::wait(&self.token, until);
    }

    fn unpark(&self, _: WorkerId) {
        self.token.leave();
    }

    fn now(&self) -> u64 {
        source::now()
    }

    /// No group is charged: in-guest futures have none.
    fn cpu_time(&self) -> u64 {
        source::now()
    }

    fn current_worker(&self) -> Option<CurrentWorker> {
        CORE.try_with(Cell::get).unwrap_or(None)
    }

    unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker> {
        CORE.try_with(|cell| cell.replace(worker)).unwrap_or(None)
    }
}
