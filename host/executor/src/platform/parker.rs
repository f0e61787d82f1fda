//! Where a worker of an OS thread sleeps.
//!
//! 1. `park` takes a token if there is one. Else it notes its thread, says `PARKED`, and sleeps until the token is
//!    there, however often the thread is woken for other reasons: any code may leave `std`'s own token.
//! 2. `unpark` leaves the token, and wakes the thread if it finds `PARKED`.
//!
//! The token's Release in `unpark` pairs with the Acquire by which `park` takes it: what was done before the one is
//! visible after the other.

#[cfg(all(loom, test))]
mod models;

use crate::sync::{
    AtomicUsize, Mutex,
    Ordering::{AcqRel, Acquire},
};
use core::time::Duration;
#[cfg(loom)]
use loom::thread::{self, Thread};
#[cfg(not(loom))]
use std::thread::{self, Thread};

/// One worker's.
pub(super) struct Parker {
    state: AtomicUsize,
    /// The thread that parks. Written before `PARKED` is, read by the thread that finds `PARKED`.
    thread: Mutex<Option<Thread>>,
}

const EMPTY: usize = 0;
const PARKED: usize = 1;
const TOKEN: usize = 2;

impl Default for Parker {
    fn default() -> Self {
        Self {
            state: AtomicUsize::new(EMPTY),
            thread: Mutex::new(None),
        }
    }
}

impl Parker {
    pub(super) fn park(&self, timeout: impl Fn() -> Option<Duration>) {
        // Acquire: the token.
        if self
            .state
            .compare_exchange(TOKEN, EMPTY, Acquire, Acquire)
            .is_ok()
        {
            return;
        }
        {
            let mut thread = self.thread.lock();
            let this = thread::current();
            // A later worker may have the place, on another thread.
            if thread.as_ref().is_none_or(|known| known.id() != this.id()) {
                *thread = Some(this);
            }
        }
        // Release pairs with the Acquire of `unpark`: the thread.
        if self
            .state
            .compare_exchange(EMPTY, PARKED, AcqRel, Acquire)
            .is_ok()
        {
            loop {
                match timeout() {
                    None => thread::park(),
                    Some(left) if left.is_zero() => break,
                    #[cfg(not(loom))]
                    Some(left) => thread::park_timeout(left),
                    #[cfg(loom)]
                    Some(_) => unreachable!("loom has no clock"),
                }
                // Acquire: the token.
                if self.state.load(Acquire) == TOKEN {
                    break;
                }
            }
        }
        // Acquire: the token, if there is one.
        self.state.swap(EMPTY, Acquire);
    }

    pub(super) fn unpark(&self) {
        // Release: what the caller did. Acquire pairs with the Release of `park`: the thread.
        if self.state.swap(TOKEN, AcqRel) == PARKED {
            let thread = self.thread.lock();
            if let Some(thread) = &*thread {
                thread.unpark();
            }
        }
    }
}
