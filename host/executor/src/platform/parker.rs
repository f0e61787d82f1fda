//! Where a worker of an OS thread sleeps.
//!
//! 1. `park` takes a token if there is one. Else it notes its thread, says `PARKED`, and sleeps until the token is
//!    there, however often the thread is woken for other reasons: `std`'s own token is anybody's.
//! 2. `unpark` leaves the token, and wakes the thread if it finds `PARKED`.

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
    /// Whose state it is. Written before `PARKED` is, read by who finds that.
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
        // Acquire pairs with the Release of `unpark`: what was done before it.
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
                if self.state.load(Acquire) == TOKEN {
                    break;
                }
            }
        }
        self.state.swap(EMPTY, AcqRel);
    }

    pub(super) fn unpark(&self) {
        if self.state.swap(TOKEN, AcqRel) == PARKED {
            let thread = self.thread.lock();
            if let Some(thread) = &*thread {
                thread.unpark();
            }
        }
    }
}

#[cfg(all(loom, test))]
mod models {
    use super::*;
    use crate::sync::{Arc, AtomicBool, Ordering::Relaxed};

    /// Hunts: a token that is lost between a worker's look for one and its sleep, and one that says nothing of what
    /// was done before it was left.
    #[test]
    fn unpark_against_park() {
        loom::model(|| {
            let shared = Arc::new((Parker::default(), AtomicBool::new(false)));
            let theirs = shared.clone();
            let waking = thread::spawn(move || {
                theirs.1.store(true, Relaxed);
                theirs.0.unpark();
            });
            shared.0.park(|| None);
            assert!(shared.1.load(Relaxed));
            waking.join().unwrap();
        });
    }

    /// Hunts: two tokens at once of which one is left behind for a sleep that nobody ends, or by which one of two
    /// sleeps does not end: the second waker comes when the first sleep may be over, or not.
    #[test]
    fn two_tokens() {
        loom::model(|| {
            let shared = Arc::new((Parker::default(), AtomicUsize::new(0)));
            let wakers = [(); 2].map(|()| {
                let theirs = shared.clone();
                thread::spawn(move || {
                    theirs.1.fetch_add(1, Relaxed);
                    theirs.0.unpark();
                })
            });
            // As a worker: it looks at what there is to do after every sleep.
            while shared.1.load(Relaxed) < 2 {
                shared.0.park(|| None);
            }
            for waker in wakers {
                waker.join().unwrap();
            }
        });
    }
}
