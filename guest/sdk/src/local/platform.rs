//! What the executor needs from the machine, inside a guest.

use super::{reactor, source};
use hart_executor::{Core, Platform, WorkerId};
use std::cell::Cell;

thread_local! {
    static CORE: Cell<Option<Core>> = const { Cell::new(None) };
}

/// The thread of a `block_on`: one worker, which sleeps in the reactor.
#[derive(Default)]
pub(super) struct InGuest {
    token: source::Token,
}

// SAFETY: the cell is the calling thread's own, and nothing but `set_core` writes it.
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

    /// Nobody is charged: in-guest futures have no groups.
    fn cpu_time(&self) -> u64 {
        source::now()
    }

    fn core(&self) -> Option<Core> {
        CORE.try_with(Cell::get).unwrap_or(None)
    }

    fn set_core(&self, core: Option<Core>) -> Option<Core> {
        CORE.try_with(|cell| cell.replace(core)).unwrap_or(None)
    }
}
