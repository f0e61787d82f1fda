//! CPU rates: how much of a core a group or a tenant may use, window by window.
//!
//! 1. Every window brings a quota of CPU time. What is left of it at the window's end is lost.
//! 2. What was used beyond it (time is charged at preemption points, so a little is) is taken from the
//!    windows that follow: over many windows the rate is exact.
//! 3. Who has used up its quota is runnable again when a window begins whose quota is not spoken for.

use core::time::Duration;

/// The length of the windows in which a CPU rate is kept.
///
/// # Examples
///
/// ```
/// use hart_executor::group::RATE_WINDOW;
///
/// // What a rate of half a core allows in each window:
/// assert_eq!(RATE_WINDOW * 500 / 1000, std::time::Duration::from_millis(50));
/// ```
pub const RATE_WINDOW: Duration = Duration::from_millis(100);

const WINDOW: u64 = RATE_WINDOW.as_nanos() as u64;

/// Nanoseconds per window that a thousandth of a core is worth.
const MILLICORE: u64 = WINDOW / 1000;

/// What a rate has left.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budget {
    /// When the present window began.
    window: u64,
    /// Nanoseconds used of it, and of those to come.
    used: u64,
}

impl Budget {
    /// Takes `cpu` nanoseconds from it that were used between `began` and `now`: the windows that begin
    /// meanwhile bring their quotas for them.
    pub(crate) fn charge(&mut self, cpu: u64, millicores: usize, began: u64, now: u64) {
        let quota = quota(millicores);
        self.roll(quota, began);
        self.used = self.used.saturating_add(cpu);
        self.roll(quota, now);
    }

    /// When it has something left again, if it has nothing now.
    pub(crate) fn exhausted_until(&mut self, millicores: usize, now: u64) -> Option<u64> {
        let quota = quota(millicores);
        self.roll(quota, now);
        (self.used >= quota).then(|| {
            self.window
                .saturating_add((self.used / quota).saturating_mul(WINDOW))
        })
    }

    fn roll(&mut self, quota: u64, now: u64) {
        let passed = now.saturating_sub(self.window) / WINDOW;
        self.window += passed * WINDOW;
        self.used = self.used.saturating_sub(passed.saturating_mul(quota));
    }
}

fn quota(millicores: usize) -> u64 {
    (millicores as u64).saturating_mul(MILLICORE).max(1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    // Hunts overshoot that is forgiven, quota that is saved up, and a wait that ends before there is any.
    #[test]
    fn debts_are_kept_and_savings_are_not() {
        let mut budget = Budget::default();
        let start = 1_234 * WINDOW;
        assert_eq!(budget.exhausted_until(500, start), None);
        budget.charge(WINDOW / 2 - 1, 500, start + 1, start + 1);
        assert_eq!(budget.exhausted_until(500, start + 2), None);
        budget.charge(1, 500, start + 3, start + 3);
        assert_eq!(budget.exhausted_until(500, start + 4), Some(start + WINDOW));
        // One and a half windows' quota too much: two further windows to wait for.
        budget.charge(3 * WINDOW / 4, 500, start + 5, start + 5);
        assert_eq!(
            budget.exhausted_until(500, start + 6),
            Some(start + 2 * WINDOW)
        );
        let free = start + 2 * WINDOW;
        assert_eq!(budget.exhausted_until(500, free), None);
        budget.charge(WINDOW / 4, 500, free, free);
        assert_eq!(budget.exhausted_until(500, free), Some(free + WINDOW));
        // A long sleep is worth one window and no more.
        let late = free + 1_000 * WINDOW;
        budget.charge(WINDOW / 2, 500, late, late);
        assert_eq!(budget.exhausted_until(500, late), Some(late + WINDOW));
        // Nor does a poll pay for windows that it has waited through, longer than one as it is: ten of them, half
        // used.
        let long = late + 1_000 * WINDOW;
        budget.charge(5 * WINDOW, 500, long, long + 10 * WINDOW);
        assert_eq!(budget.exhausted_until(500, long + 10 * WINDOW), None);
    }
}
