//! Where an in-guest executor sleeps, natively: on its thread.

use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A waker leaves it, and the thread takes it when it would sleep, so that no wake is lost in between.
#[derive(Default)]
pub(super) struct Token {
    left: Mutex<bool>,
    changed: Condvar,
}

impl Token {
    pub(super) fn leave(&self) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Sleeps until there is a token, which it takes, or until the time has come.
    pub(super) fn wait(&self, until: Option<u64>) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        while !*left {
            let time = until.map(|until| until.saturating_sub(now()));
            left = match time {
                Some(0) => break,
                None => self
                    .changed
                    .wait(left)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(nanoseconds) => {
                    let time = Duration::from_nanos(nanoseconds);
                    let waited = self.changed.wait_timeout(left, time);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *left = false;
    }
}

/// Nanoseconds on a clock that never goes back.
pub(super) fn now() -> u64 {
    static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(STARTED.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
