//! The waker of another executor that polls a worker.

use crate::{
    sync::{AtomicBool, Mutex, Ordering::Relaxed},
    task::quietly,
};
use core::task::Waker;

/// The waker of a worker whose [`run_async`](crate::Worker::run_async) is awaited: such a worker returns when others
/// park, and is polled again after the waker was called.
///
/// 1. The worker sets it before it announces that it sleeps (or returns because it has run for long enough, and then it
///    calls the waker itself). A thread that takes the worker out of the map of sleepers sees that it is set; so does `close`,
///    or the worker sees that the executor is closed: each has a SeqCst fence between the two.
/// 2. A thread that wakes the worker takes the waker and calls it. If there is none left, it was called already.
pub(crate) struct Awaited {
    is_set: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Awaited {
    pub(super) fn new() -> Self {
        Self {
            is_set: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }

    /// The worker is polled with this waker now. By the worker.
    pub(crate) fn set(&self, waker: &Waker) {
        let is_known = {
            let known = self.waker.lock();
            known.as_ref().is_some_and(|known| known.will_wake(waker))
        };
        if !is_known {
            // Wakers are foreign code, so not under the lock.
            let waker = waker.clone();
            let old = self.waker.lock().replace(waker);
            quietly(|| drop(old));
        }
        self.is_set.store(true, Relaxed);
    }

    /// The worker is not polled any more. By the worker.
    pub(crate) fn clear(&self) {
        if self.is_set.load(Relaxed) {
            self.is_set.store(false, Relaxed);
            let old = self.waker.lock().take();
            quietly(|| drop(old));
        }
    }

    /// Wakes the worker; `false` if it is not one that is polled.
    pub(crate) fn wake(&self) -> bool {
        if !self.is_set.load(Relaxed) {
            return false;
        }
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            quietly(|| waker.wake());
        }
        true
    }
}
