//! Events per second.

use std::sync::atomic::{AtomicU64, Ordering};

/// Keeps events to so many per second, those of one second at once.
#[derive(Default)]
pub(super) struct Pace {
    /// When all that happened so far would have, had it come evenly: nanoseconds of the platform's clock.
    even: AtomicU64,
}

impl Pace {
    /// What one more event at `now` makes of it; `None` if that comes too soon. Under the lock of the books.
    pub(super) fn next(&self, per_second: u64, now: u64) -> Option<u64> {
        const SECOND: u64 = 1_000_000_000;
        let step = SECOND.checked_div(per_second).unwrap_or(u64::MAX).max(1);
        let next = self
            .even
            .load(Ordering::Relaxed)
            .max(now)
            .saturating_add(step);
        (next <= now.saturating_add(SECOND)).then_some(next)
    }

    /// Counts that event. Under the lock of the books.
    pub(super) fn count(&self, next: u64) {
        self.even.store(next, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    const SECOND: u64 = 1_000_000_000;

    // Fault: a rate that forgives what came too soon, one that never recovers, one that saves up.
    #[test]
    fn a_pace_admits_a_second_at_once_and_then_evenly() {
        let pace = Pace::default();
        let start = 77 * SECOND;
        let admits = |now| pace.next(10, now).map(|next| pace.count(next)).is_some();
        let admitted = |now| (0..1_000).filter(|_| admits(now)).count();
        assert_eq!(admitted(start), 10);
        assert_eq!(admitted(start + SECOND / 20), 0);
        assert_eq!(admitted(start + SECOND / 10), 1);
        assert_eq!(admitted(start + SECOND / 2), 4);
        assert_eq!(admitted(start + 100 * SECOND), 10);
        assert!(Pace::default().next(0, start).is_none());
    }
}
