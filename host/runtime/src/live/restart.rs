//! Whether there is a next instance.

use std::time::Duration;

/// What follows an instance that a call has ended. Whatever it had in memory is gone in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    is_allowed: bool,
    first: Duration,
    most: Duration,
}

impl Restart {
    /// Nothing follows: later calls fail.
    pub fn never() -> Self {
        Self {
            is_allowed: false,
            first: Duration::ZERO,
            most: Duration::ZERO,
        }
    }

    /// A new instance follows, at once.
    pub fn always() -> Self {
        Self {
            is_allowed: true,
            ..Self::never()
        }
    }

    /// It follows after `first`; after twice that where the one before did no call well, and so on up to `most`. Calls wait
    /// meanwhile.
    #[must_use]
    pub fn back_off(mut self, first: Duration, most: Duration) -> Self {
        self.first = first;
        self.most = most;
        self
    }

    /// When the next instance may follow one that has ended, if one may: `failures` have done no call well, one after the
    /// other.
    pub(super) fn after(&self, failures: u32) -> Option<Duration> {
        let doublings = failures.saturating_sub(1).min(31);
        let wait = self.first.saturating_mul(1 << doublings);
        self.is_allowed.then(|| wait.min(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn waits_double_up_to_the_most() {
        let restart = Restart::always().back_off(MS, 5 * MS);
        let waits: Vec<_> = (1..=5)
            .filter_map(|failures| restart.after(failures))
            .collect();
        assert_eq!(waits, [MS, 2 * MS, 4 * MS, 5 * MS, 5 * MS]);
        assert_eq!(restart.after(u32::MAX), Some(5 * MS));
        assert_eq!(Restart::always().after(3), Some(Duration::ZERO));
        assert_eq!(Restart::never().after(1), None);
    }
}
